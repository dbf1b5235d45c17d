"""Checks and the rubric, explained in plain text."""

from __future__ import annotations

import textwrap

from checks.limits import LIMITS
from checks.registry import Check
from scorecards.rubric import Rubric


def explain_check(check: Check) -> str:
    """The page of a check: what it finds, why one should care, what to do, where that comes from."""
    needs = ", ".join(need.__name__ for need in check.needs)
    parts = [
        f"{check.id}  ({check.severity}, catalogue {check.catalogue})",
        check.title,
        _wrapped("Why", check.why),
        _wrapped("Fix", check.fix),
        *([_wrapped("Example", check.example)] if check.example else []),
        _wrapped("Needs", needs + (f"; statistics over {_window(check)} days" if check.window else "")),
        _wrapped("Source", check.source),
    ]
    if check.observed:
        parts.append(_wrapped("Observed keys", ", ".join(check.observed)))
    return "\n\n".join(parts)


def list_check(check: Check) -> str:
    """One line: id, which begins with the area, severity, title, and the evidence that it needs."""
    return f"{check.id:<44} {check.severity:<9} {check.title} [{', '.join(need.__name__ for need in check.needs)}]"


def _window(check: Check) -> str:
    return f"{LIMITS[check.window].default:g}"


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(f"{label}: {text}", 100, subsequent_indent="  ", break_long_words=False)


def explain_rubric(rubric: Rubric) -> str:
    """Every criterion by area and level, with the evidence it needs at least."""
    lines = [f"Rubric {rubric.version}"]
    area = ""
    for criterion in rubric.criteria:
        if criterion.area != area:
            area = criterion.area
            lines += ["", area]
        level = "red flag" if criterion.level == 0 else f"level {criterion.level}"
        provisional = ", provisional" if criterion.provisional else ""
        lines.append(f"  {criterion.id:<8} {level:<9} {criterion.statement} [{criterion.minimum}{provisional}]")
    return "\n".join(lines)
