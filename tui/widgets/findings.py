"""The lines of a list of findings: one for each finding, one with the areas above, one with the counts below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from checks.model import Area, Finding, Severity
from tui.queue import Standing
from tui.text import AREA_SHORT, IN_PUBLIC, SEVERITY_SYMBOLS, STATUS_SYMBOLS, Part, line, severity_mark, severity_style


def finding_row(finding: Finding, standing: Standing, width: int) -> Content:
    """Mark, severity, title, what was decided, and area."""
    assert finding.severity is not None
    decided = standing.decided
    ending = line(
        ("≠!", "bold $warning")
        if standing.conflict
        else (f" {STATUS_SYMBOLS.get(standing.status, '·')}", "bold $accent"),
        ("▪" if standing.noted else " ", "$muted"),
        (AREA_SHORT[finding.area], "$muted"),
    )
    title = IN_PUBLIC.sub("", finding.title[: width * 2])
    begin = line(
        ("* " if standing.marked else "  ", "bold $accent"),
        severity_mark(finding.severity) if not decided else line((severity_mark(finding.severity).plain, "$muted")),
        " ",
        (title, "$muted" if decided else "$foreground"),
    )
    room = width - ending.cell_length - 1
    kept = begin.truncate(room, ellipsis=True)
    return line(kept, " " * (room - kept.cell_length + 1), ending)


def areas_line(counts: Mapping[Area, int], chosen: Area | None, width: int) -> Content:
    """The areas with their keys and counts, as far apart as there is room; the chosen one underlined."""
    for with_counts, gap in ((True, "   "), (True, "  "), (True, "│"), (False, " ")):
        parts: list[Part] = [" "]
        for number, area in enumerate(Area, 1):
            look = "bold $strong underline" if area is chosen else "$muted"
            count = f" {counts[area]}" if with_counts else ""
            parts += [(f"{number} ", "bold $accent"), (f"{AREA_SHORT[area].lower()}{count}", look), (gap, "$muted")]
        everything = ("all", "bold $strong underline" if chosen is None else "$muted")
        shown = line(*parts, ("0 ", "bold $accent"), everything)
        if shown.cell_length < width:
            break
    return shown


def severities_parts(severities: Sequence[tuple[Severity, int]]) -> list[Part]:
    """How many there are of each severity."""
    parts: list[Part] = []
    for severity, count in severities:
        parts += [(f"{SEVERITY_SYMBOLS[severity]}", severity_style(severity)), (f" {count}  ", "$muted")]
    return parts
