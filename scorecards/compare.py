"""Two scorecards of one target: what is better, worse, new and gone. Findings are the same by fingerprint.

The old evidence is scored again with the present rubric, so that a change of the rubric is never taken for one of the target.
"""

from __future__ import annotations

from checks.model import Area, Severity
from scorecards.model import (
    Change,
    Compared,
    Comparison,
    CriterionStatus,
    FindingEntry,
    LevelChange,
    Scorecard,
)

OVERALL = "overall"
_DECIDED = frozenset({"passed", "found", "not_applicable"})
_RANK = {"unmet": 0, "unknown": 1, "met": 2, "not_applicable": 2}


def compare(old: Scorecard, new: Scorecard, as_reported: Scorecard | None = None, *notices: str) -> Comparison:
    """`old` is scored with the rubric of `new`; `as_reported` is the same evidence under the rubric of its time, if that is
    another one."""
    before, after = _findings(old), _findings(new)
    better, worse, unseen = _criteria(old, new)
    for id in sorted(before.keys() & after.keys()):
        was, now = Severity(before[id].severity), Severity(after[id].severity)
        if was is not now:
            (better if now.rank > was.rank else worse).append(_finding(after[id], was, now))
    unseen.sort(key=_order)
    left = [finding for id, finding in before.items() if id not in after]
    decided = {check.id for check in new.checks if check.outcome in _DECIDED and not check.reason}
    return Comparison(
        old=_compared(old, as_reported),
        new=_compared(new, None),
        levels=_levels(old, new, as_reported),
        better=tuple(sorted(better, key=_order)),
        worse=tuple(sorted(worse, key=_order)),
        new_findings=tuple(_finding(entry, "", entry.severity) for id, entry in after.items() if id not in before),
        gone=tuple(_finding(entry, entry.severity, "") for entry in left if entry.check in decided),
        unseen=(*unseen, *(_finding(entry, entry.severity, "unknown") for entry in left if entry.check not in decided)),
        rubric=_rubric_effect(as_reported, old) if as_reported else (),
        notices=notices,
    )


def _findings(scorecard: Scorecard) -> dict[str, FindingEntry]:
    return {finding.id: finding for finding in scorecard.findings}


def _by_id(scorecard: Scorecard) -> dict[str, tuple[str, CriterionStatus]]:
    return {entry.id: (area.area, entry) for area in scorecard.areas for entry in area.criteria}


def _criteria(old: Scorecard, new: Scorecard) -> tuple[list[Change], list[Change], list[Change]]:
    """Better, worse, and no longer known. One that was unknown and is unmet is worse: the old review did not see it."""
    better: list[Change] = []
    worse: list[Change] = []
    unseen: list[Change] = []
    before = _by_id(old)
    for id, (area, entry) in _by_id(new).items():
        was = before[id][1] if id in before else None
        if was is None or entry.provisional or was.status == entry.status:
            continue
        change = Change(id, area, entry.statement, _status(was), _status(entry))
        if entry.status == "unknown":
            unseen.append(change)
        elif _RANK[entry.status] != _RANK[was.status]:
            (better if _RANK[entry.status] > _RANK[was.status] else worse).append(change)
    return better, worse, unseen


def _status(entry: CriterionStatus) -> str:
    detail = entry.observed if entry.status in ("met", "unmet") else (entry.reason or "").replace("_", " ")
    words = entry.status.replace("_", " ")
    return f"{words} ({detail})" if detail else words


def _finding(entry: FindingEntry, was: str, now: str) -> Change:
    return Change(entry.id, entry.area, entry.title, str(was), str(now))


def _order(change: Change) -> tuple[int, str]:
    return list(Area).index(Area(change.area)), change.id


def _levels(old: Scorecard, new: Scorecard, as_reported: Scorecard | None) -> tuple[LevelChange, ...]:
    def level(scorecard: Scorecard | None, area: str) -> int | None:
        if scorecard is None:
            return None
        if area == OVERALL:
            return scorecard.overall.demonstrated
        return next((entry.demonstrated for entry in scorecard.areas if entry.area == area), None)

    return tuple(
        LevelChange(str(name), level(old, name), level(new, name), level(as_reported or old, name))
        for name in (*Area, OVERALL)
    )


def _compared(scorecard: Scorecard, as_reported: Scorecard | None) -> Compared:
    told = as_reported or scorecard
    return Compared(
        scorecard.review.id,
        scorecard.review.title,
        scorecard.as_of.isoformat(),
        told.rubric,
        scorecard.tool.version,
        scorecard.overall.index,
        told.overall.index,
    )


def _rubric_effect(as_reported: Scorecard, rescored: Scorecard) -> tuple[Change, ...]:
    """Criteria that the old evidence meets, or fails, only under the other rubric, and those that one of the two has not."""
    before, after = _by_id(as_reported), _by_id(rescored)
    changes = []
    for id in sorted(before.keys() | after.keys()):
        area, entry = after.get(id) or before[id]
        was = _counted(before[id][1]) if id in before else "not asked"
        now = _counted(after[id][1]) if id in after else "not asked"
        if was != now:
            changes.append(Change(id, area, entry.statement, was, now))
    return tuple(sorted(changes, key=_order))


def _counted(entry: CriterionStatus) -> str:
    return "provisional" if entry.provisional else entry.status.replace("_", " ")
