"""Inline SVG for the HTML report: numbers only go into it, and colours come from the page's own style."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from scorecards.maturity import HIGHEST
from scorecards.model import AreaScore, GrowthEntry, TrendPoint

CELL, GAP, HEIGHT = 34, 4, 16
STEP, TOP, LINE = 64, 6, 12


def area_bar(area: AreaScore) -> Markup:
    """Five levels: demonstrated, claimed and possible as ever lighter blocks; a tick under the target."""
    demonstrated, claimed, possible = area.demonstrated or 0, area.claimed or 0, area.possible or 0
    width = HIGHEST * (CELL + GAP) - GAP
    cells = []
    for level in range(1, HIGHEST + 1):
        kind = (
            "demonstrated"
            if level <= demonstrated
            else "claimed"
            if level <= claimed
            else "possible"
            if level <= possible
            else "none"
        )
        left = (level - 1) * (CELL + GAP)
        cells.append(f'<rect class="{kind}" x="{left}" y="0" width="{CELL}" height="{HEIGHT}" rx="2"/>')
    if area.target:
        middle = (area.target - 1) * (CELL + GAP) + CELL / 2
        cells.append(
            f'<path class="target" d="M{middle:g} {HEIGHT + 2}l4 5h-8z"><title>target {area.target}</title></path>'
        )
    label = f"level {demonstrated}, claimed {claimed}, possible {possible} of {HIGHEST}"
    return _svg(width, HEIGHT + 8, label, cells, "bar")


def trend_line(points: Sequence[TrendPoint], area: str | None) -> Markup:
    """The level of an area (None: of the whole) in each review, as steps; a gap where it was not applicable."""
    levels = [point.overall if area is None else point.areas.get(area) for point in points]
    width, height = max(1, len(points) - 1) * STEP + 2 * TOP, HIGHEST * LINE + 2 * TOP
    marks = [f'<path class="grid" d="M{TOP} {_y(level)}H{width - TOP}"/>' for level in range(HIGHEST + 1)]
    previous: tuple[int, int] | None = None
    for number, level in enumerate(levels):
        if level is None:
            previous = None
            continue
        x, y = TOP + number * STEP, _y(level)
        if previous is not None:
            marks.append(f'<path class="line" d="M{previous[0]} {previous[1]}L{x} {y}"/>')
        marks.append(f'<circle class="point" cx="{x}" cy="{y}" r="3"><title>level {level}</title></circle>')
        previous = (x, y)
    shown = ", ".join("n/a" if level is None else str(level) for level in levels)
    return _svg(width, height, f"levels {shown}", marks, "trend")


def growth_curve(entry: GrowthEntry, budget_ms: float) -> Markup:
    """Mean (else cost) over factor, both by powers of ten, with the budget as a line and rings where the plan changes."""
    points = [
        (math.log10(factor), math.log10(cost)) for factor, cost in zip(entry.factors, entry.costs, strict=True) if cost
    ]
    if len(points) < 2:
        return Markup("")
    budget = math.log10(budget_ms / entry.mean_ms) if entry.mean_ms and entry.mean_ms > 0 else None
    ends = [y for _, y in points] + ([budget] if budget is not None and entry.breaks_at is not None else [])
    low, high, right = min(0.0, *ends), max(*ends, 1.0), points[-1][0]
    width, height = 3 * STEP, 4 * LINE + 2 * TOP

    def at(x: float, y: float) -> tuple[float, float]:
        return round(TOP + x / right * (width - 2 * TOP), 1), round(
            height - TOP - (y - low) / (high - low) * (height - 2 * TOP), 1
        )

    marks = [f'<path class="grid" d="M{TOP} {height - TOP}H{width - TOP}"/>']
    if budget is not None and low <= budget <= high:
        marks.append(f'<path class="budget" d="M{TOP} {at(0, budget)[1]:g}H{width - TOP}"/>')
    path = "L".join(f"{x:g} {y:g}" for x, y in (at(*point) for point in points))
    marks.append(f'<path class="line" d="M{path}"/>')
    for factor, cost in zip(entry.factors, entry.costs, strict=True):
        if cost:
            x, y = at(math.log10(factor), math.log10(cost))
            kind = "changed" if factor in entry.changes_at else "point"
            marks.append(
                f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="3"><title>at {factor:g}: cost times {cost:g}</title></circle>'
            )
    shown = ", ".join("?" if cost is None else f"{cost:g}" for cost in entry.costs)
    return _svg(width, height, f"cost times {shown}", marks, "growth")


def _y(level: int) -> int:
    return TOP + (HIGHEST - level) * LINE


def _svg(width: float, height: float, label: str, parts: Sequence[str], name: str) -> Markup:
    """All that goes into it is numbers and words of this module, so it needs no escaping."""
    body = "".join(parts)
    return Markup(
        f'<svg class="{name}" role="img" aria-label="{label}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}">{body}</svg>'
    )
