"""What becomes of a statement when its tables grow: its cost at each factor, where it breaks, and the plan before and after."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from textual.content import Content

from checks.growth import GrownStatement, Growth
from tui.text import Part, line
from tui.widgets.curve import curve_paragraphs, decades
from tui.widgets.document import Paragraph
from tui.words import milliseconds_in_words

BAR, SHORTEST_BAR = 24, 6
FIGURES = 52
CHANGED = "   another plan"
SIDE_BY_SIDE = 88
LINES_SHOWN = 30
SPACE = Content(" ")


def growth_paragraphs(growth: Growth, entry: GrownStatement, width: int) -> list[Paragraph]:
    """The curve of that statement and, where its plan changes, the plan now and at the largest factor."""
    shown = [Paragraph(), Paragraph(line(("When the tables grow", "bold $accent"), _planned(growth)), SPACE)]
    known = [(factor, cost) for factor, cost in zip(growth.factors, entry.costs, strict=False) if cost is not None]
    first = next((cost for _, cost in known if cost > 0), None)
    if first is None:
        return [*shown, Paragraph(line(("its cost could not be told", "$muted")), SPACE)]
    most = max(cost / first for _, cost in known)
    curve = _curve(known, entry.mean_ms, growth.budget_ms, width)
    bar = 0 if curve else max(SHORTEST_BAR, min(BAR, width - FIGURES))
    beside = bar + FIGURES + len(CHANGED) <= width
    for factor, cost in known:
        row = _row(factor, cost / first, most, entry, growth.budget_ms, bar)
        changed = CHANGED if beside and factor in entry.changes_at else ""
        shown.append(Paragraph(line(row, (changed, "$warning")), wrapped=False))
    if entry.changes_at and not beside:
        where = ", ".join(map(_times, entry.changes_at))
        shown.append(Paragraph(line((f"another plan at {where}", "$warning")), line((" ! ", "$warning"))))
    shown += curve
    if entry.breaks_at is not None:
        when = f", by {entry.breaks_at.on}" if entry.breaks_at.on else ""
        words: list[Part] = [
            (f"breaks at {_times(entry.breaks_at.factor)}{when}: ", "bold $error"),
            entry.breaks_at.reason,
        ]
        shown.append(Paragraph(line(*words), line((" ✗ ", "bold $error"))))
    elif entry.mean_ms is not None:
        words = [(f"stays below {growth.budget_ms:g} ms up to {_times(known[-1][0])}", "$muted")]
        shown.append(Paragraph(line(*words), line((" ✓ ", "$success"))))
    return [*shown, *_plans(entry, known[-1][0], width)]


def _curve(
    known: Sequence[tuple[float, float]], mean_ms: float | None, budget_ms: float, width: int
) -> list[Paragraph]:
    """The mean over the factor where a mean was measured, with the budget as a line."""
    if mean_ms is None or mean_ms <= 0:
        return []
    first = next(cost for _, cost in known if cost > 0)
    points = [(factor, mean_ms * cost / first) for factor, cost in known if cost > 0]
    lowest, highest = decades(points, budget_ms)
    names = [_power(power) for power in range(lowest, highest + 1)]
    drawn = curve_paragraphs(points, budget_ms, [_times(factor) for factor, _ in points], names, width)
    if not drawn:
        return []
    legend = f"mean time over size, both axes logarithmic; the line across is the budget, {budget_ms:g} ms"
    return [Paragraph(), *drawn, Paragraph(line((legend, "$muted")), SPACE)]


def _power(power: int) -> str:
    """Ten to that power of milliseconds."""
    return f"{10.0**power:g} ms" if power < 3 else f"{10 ** (power - 3):,} s"


def _planned(growth: Growth) -> Content:
    other = growth.server_major != growth.target_major
    return line((f"   planned in a shadow{f' by PostgreSQL {growth.server_major}' if other else ''}", "$muted"))


def _row(factor: float, ratio: float, most: float, entry: GrownStatement, budget_ms: float, bar: int) -> Content:
    """The bar, of `bar` cells, is as long as the logarithm of the cost; the words say how much it is, so nothing hangs on it."""
    share = log10(max(ratio, 1.0)) / log10(most) if most > 1.0 else 0.0
    filled = min(bar, max(1, round(bar * share)))
    mean = entry.mean_ms * ratio if entry.mean_ms is not None else None
    over = mean is not None and mean > budget_ms
    look = "bold $error" if over else "$accent"
    words = f"{ratio:,.1f}" if ratio < 100 else f"{ratio:,.0f}"
    estimate = "" if mean is None else f"   {'mean' if factor == 1 else 'about'} {milliseconds_in_words(mean)}"
    return line(
        (f" {_times(factor):>8}  ", "$foreground"), ("━" * filled, look), ("─" * (bar - filled), "$faint"),
        (f" {words:>6} times the cost", "$foreground"), (estimate, "bold $error" if over else "$muted"),
    )  # fmt: skip


def _plans(entry: GrownStatement, factor: float, width: int) -> list[Paragraph]:
    if not entry.plan_now or not entry.plan_then:
        return []
    return before_and_after("Now", entry.plan_now, f"At {_times(factor)}", entry.plan_then, width)


def before_and_after(name: str, before: Sequence[str], other: str, after: Sequence[str], width: int) -> list[Paragraph]:
    """Two plans, a line each node: side by side where there is room for every line, else one below the other."""
    half = (width - 3) // 2
    longest = max((len(text) for text in (*before[:LINES_SHOWN], *after[:LINES_SHOWN])), default=0)
    if width < SIDE_BY_SIDE or longest > half:
        shown = []
        for title, lines in ((name, before), (other, after)):
            shown += [Paragraph(), Paragraph(line((title, "bold $accent")), SPACE)]
            shown += [_node(text) for text in lines[:LINES_SHOWN]]
        return shown
    shown = [Paragraph(), Paragraph(line((f" {name:<{half}}  {other}", "bold $accent")), wrapped=False)]
    for number in range(min(LINES_SHOWN, max(len(before), len(after)))):
        left = line((before[number] if number < len(before) else "", "$code"), limit=400).truncate(half, ellipsis=True)
        right = line((after[number] if number < len(after) else "", "$code"), limit=400).truncate(half, ellipsis=True)
        gap = " " * (half - left.cell_length)
        shown.append(Paragraph(line(" ", left, gap, ("│ ", "$faint"), right), wrapped=False))
    return shown


def _node(text: str) -> Paragraph:
    """Wrapped below what it does, not below its indentation."""
    indent = len(text) - len(text.lstrip(" "))
    return Paragraph(line((text.lstrip(" "), "$code"), limit=400), line(" " * (indent + 1)), line(" " * (indent + 3)))


def _times(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 10 or factor == int(factor) else f"{factor:,.1f}x"
