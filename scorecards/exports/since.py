"""What changed between two reviews, in Markdown: what the team changed, and apart from it what the rubric changed."""

from __future__ import annotations

from collections.abc import Sequence

from scorecards.compare import OVERALL
from scorecards.exports.escape import code, inline
from scorecards.maturity import HIGHEST
from scorecards.model import Change, Comparison, TrendPoint

SHOWN = 20


def render_comparison(comparison: Comparison, points: Sequence[TrendPoint] = ()) -> str:
    """The document of `pgsurveyor compare`."""
    old, new = comparison.old, comparison.new
    blocks = [f"# PostgreSQL review: {inline(new.title)}, compared", verdict(comparison)]
    blocks.append(
        f"From {code(old.id)} {inline(old.title)}, {old.as_of}, to {code(new.id)} {inline(new.title)}, {new.as_of}; "
        f"rubric {new.rubric}."
    )
    blocks += ["## Levels", levels(comparison), *changes(comparison, 2)]
    if len(points) > 1:
        blocks += ["## Trend", trend_table(points)]
    return "\n\n".join(blocks) + "\n"


def since(comparison: Comparison, level: int = 3) -> list[str]:
    """The section of a scorecard: verdict, levels and what changed."""
    old = comparison.old
    head = f"Compared with {code(old.id)} {inline(old.title)} of {old.as_of}. {verdict(comparison)}"
    return [head, levels(comparison), *changes(comparison, level)]


def verdict(comparison: Comparison) -> str:
    """One sentence: what happened to the level, the index and the number of findings."""
    overall = next(entry for entry in comparison.levels if entry.area == OVERALL)
    words = f"Level {_moved(overall.was, overall.now)}, index {_moved(comparison.old.index, comparison.new.index)}: "
    counts = [
        f"{len(group)} {one if len(group) == 1 else several}"
        for one, several, group in (
            ("criterion or finding better", "criteria or findings better", comparison.better),
            ("worse", "worse", comparison.worse),
            ("new finding", "new findings", comparison.new_findings),
            ("gone", "gone", comparison.gone),
            ("out of sight", "out of sight", comparison.unseen),
        )
        if group
    ]
    return words + (", ".join(counts) if counts else "nothing else changed") + "."


def levels(comparison: Comparison) -> str:
    """What the team moved, and what the rubric moved, in columns of their own."""
    apart = any(entry.as_reported != entry.was for entry in comparison.levels)
    lines = [
        f"| Area | Was | Is | Yours |{' As reported then | Rubric |' if apart else ''}",
        f"|---|---|---|---|{'---|---|' if apart else ''}",
    ]
    for entry in comparison.levels:
        row = f"| {entry.area.capitalize()} | {_level(entry.was)} | {_level(entry.now)} | {_delta(entry.was, entry.now)} |"
        if apart:
            row += f" {_level(entry.as_reported)} | {_delta(entry.as_reported, entry.was)} |"
        lines.append(row)
    return "\n".join(lines)


def changes(comparison: Comparison, level: int) -> list[str]:
    """A block for each kind of change that there is."""
    blocks = [f"{'#' * level} {title} ({len(entries)})\n\n{_lines(entries)}" for title, entries in groups(comparison)]
    notices = [f"> {inline(notice)}" for notice in comparison.notices]
    return [*(["\n>\n".join(notices)] if notices else []), *blocks]


def groups(comparison: Comparison) -> list[tuple[str, tuple[Change, ...]]]:
    """The kinds of change that there are, what is bad first, what the rubric did last and apart."""
    sections = (
        ("Worse", comparison.worse),
        ("New findings", comparison.new_findings),
        ("Better", comparison.better),
        ("Gone", comparison.gone),
        ("No longer in sight", comparison.unseen),
        (f"Effect of the rubric ({comparison.old.rubric} → {comparison.new.rubric})", comparison.rubric),
    )
    return [(title, entries) for title, entries in sections if entries]


def _lines(entries: Sequence[Change]) -> str:
    lines = []
    for entry in entries[:SHOWN]:
        move = " → ".join(inline(part, 120) for part in (entry.was, entry.now) if part)
        lines.append(f"- {code(entry.id)} {inline(entry.words)} ({entry.area}{': ' if move else ''}{move})")
    rest = len(entries) - SHOWN
    if rest > 0:
        lines.append(f"- and {rest} more")
    return "\n".join(lines)


def trend_table(points: Sequence[TrendPoint]) -> str:
    """The demonstrated levels, one line per review, all under the present rubric."""
    areas = list(points[-1].areas)
    lines = [
        f"| Date | Review | Overall | Index | {' | '.join(area.capitalize() for area in areas)} |",
        f"|---|---|---|---|{'---|' * len(areas)}",
    ]
    for point in points:
        name = f" {inline(point.name)}" if point.name else ""
        shown = " | ".join(_bar(point.areas.get(area)) for area in areas)
        index = "" if point.index is None else str(point.index)
        lines.append(f"| {point.as_of} | {code(point.id)}{name} | {_level(point.overall)} | {index} | {shown} |")
    return "\n".join(lines)


def _bar(level: int | None) -> str:
    return "n/a" if level is None else f"{'■' * level}{'□' * (HIGHEST - level)} {level}"


def _level(level: int | None) -> str:
    return "n/a" if level is None else str(level)


def _delta(was: int | None, now: int | None) -> str:
    if was is None or now is None or was == now:
        return ""
    return f"{now - was:+d}"


def _moved(was: int | None, now: int | None) -> str:
    return f"still {_level(now)}" if was == now else f"{_level(was)} → {_level(now)}"
