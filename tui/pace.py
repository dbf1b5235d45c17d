"""What is left of a review, what was promised, and at which pace people decide. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from checks.model import Area, Finding, Severity
from scorecards.review import Decision, Event, ReviewState

BREAK = dt.timedelta(minutes=15)
LEAST = 3


class AreaLeft(msgspec.Struct, frozen=True):
    """Findings of one area: all, undecided, and the worst severity among the undecided."""

    area: Area
    findings: int
    undecided: int
    worst: Severity | None


class Promise(msgspec.Struct, frozen=True):
    """A decision that leaves something to do: an accepted finding or a follow-up, and by when."""

    id: str
    finding: Finding
    decision: Decision
    owner: str
    overdue: bool


def left_by_area(findings: Mapping[str, Finding], state: ReviewState) -> tuple[AreaLeft, ...]:
    counted = Counter(finding.area for finding in findings.values())
    left = [finding for id, finding in findings.items() if id not in state.decisions]
    undecided = Counter(finding.area for finding in left)
    worst = {
        area: min(
            (finding.severity for finding in left if finding.area is area and finding.severity),
            key=lambda severity: severity.rank,
            default=None,
        )
        for area in Area
    }
    return tuple(AreaLeft(area, counted[area], undecided[area], worst[area]) for area in Area)


def promises(findings: Mapping[str, Finding], state: ReviewState, today: dt.date) -> tuple[Promise, ...]:
    """What is to be done, the earliest due day first, then what has none."""
    found = []
    for id, decision in state.decisions.items():
        finding = findings.get(id)
        if finding is not None and decision.kind in {"accept", "follow-up"}:
            owner = state.owners.get(id) or decision.owner or ""
            found.append(Promise(id, finding, decision, owner, decision.due is not None and decision.due < today))
    return tuple(sorted(found, key=lambda one: (one.decision.due or dt.date.max, one.owner, one.id)))


def pace(events: Sequence[Event]) -> dt.timedelta | None:
    """The median time from one decision to the next, breaks left out; None for fewer than four decisions. Several findings
    decided at one moment are one decision."""
    moments = sorted({event.at for event in events if event.kind == "decided"})
    gaps = [later - earlier for earlier, later in pairwise(moments) if later - earlier < BREAK]
    return dt.timedelta(seconds=median(gap.total_seconds() for gap in gaps)) if len(gaps) >= LEAST else None


def duration(time: dt.timedelta) -> str:
    """`40 s`, `12 min`, `1 h 20 min`."""
    seconds = int(time.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
