"""Waivers: who accepted what, until when. They silence the gate and show in the report, and move no level."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from checks.configuration import Waiver
from checks.text import visible_line
from scorecards.model import CriterionStatus, FindingEntry

LONGEST_DAYS = 365


def is_expired(expires: dt.date, day: dt.date) -> bool:
    """A waiver holds on the day it expires, and no longer."""
    return day > expires


def holds(waiver: Waiver, day: dt.date) -> bool:
    """Whether it counts on that day: not past, and not further away than a waiver may be. One for ever would be a way to switch
    a check off unseen."""
    return not is_expired(waiver.expires, day) and (waiver.expires - day).days <= LONGEST_DAYS


def why_not(waiver: Waiver, day: dt.date) -> str:
    """Why a waiver does not hold, with who answers for it."""
    if is_expired(waiver.expires, day):
        return f"waiver expired on {waiver.expires} (@{waiver.owner})"
    return (
        f"waiver until {waiver.expires} (@{waiver.owner}) is more than {LONGEST_DAYS} days away and counts for nothing"
    )


def reopened(
    waivers: Sequence[Waiver],
    findings: Sequence[FindingEntry],
    criteria: Sequence[CriterionStatus],
    day: dt.date,
) -> tuple[str, ...]:
    """What is open again because its waiver ran out, or never counted: a line for each waiver, or decision, in words."""
    lines = []
    for waiver in waivers:
        if holds(waiver, day):
            continue
        open_again = [
            finding
            for finding in findings
            if waives_finding(waiver, finding.id, finding.check, finding.subject.name)
            and not (finding.decision and finding.decision.kind == "waive" and not finding.decision.expired)
        ]
        if open_again:
            more = f" and {len(open_again) - 1} more" if len(open_again) > 1 else ""
            lines.append(f"{why_not(waiver, day)}: {open_again[0].title}{more}")
        lines += [
            f"{why_not(waiver, day)}: {entry.id} {entry.statement}"
            for entry in criteria
            if entry.status == "unmet" and entry.accepted is None and waives_criterion(waiver, entry.id)
        ]
    for finding in findings:
        decision = finding.decision
        if decision and decision.kind == "waive" and decision.expired and decision.by:
            lines.append(f"waiver expired on {decision.expires} (@{decision.owner}): {finding.title}")
    return tuple(dict.fromkeys(visible_line(line, 400) for line in lines))


def waives_finding(waiver: Waiver, finding: str, check: str, subject: str) -> bool:
    """By fingerprint, or by check (id or glob) and, if any are given, globs over the subject's name."""
    if waiver.finding:
        return waiver.finding == finding
    return fnmatchcase(check, waiver.check) and (
        not waiver.objects or any(fnmatchcase(subject, pattern) for pattern in waiver.objects)
    )


def waives_criterion(waiver: Waiver, criterion: str) -> bool:
    """A waiver may name a criterion instead of a check; objects make no sense there."""
    return bool(waiver.check) and not waiver.objects and fnmatchcase(criterion, waiver.check)


def longest(waivers: Iterable[Waiver]) -> Waiver | None:
    """Of several that apply, the one that holds longest."""
    return max(waivers, key=lambda waiver: (waiver.expires, waiver.owner), default=None)
