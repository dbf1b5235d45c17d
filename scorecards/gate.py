"""The gate of a CI job: red flags, what is new since a baseline, and lowest levels. Never a number of points.

Only the gate uses today's date: a waiver holds until it expires, whenever the evidence was observed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from checks.configuration import Waiver
from checks.errors import UsageError
from checks.model import Area, Severity
from checks.text import visible_line
from scorecards.history import read_side
from scorecards.maturity import HIGHEST
from scorecards.model import CriterionStatus, FindingEntry, Gate, Scorecard
from scorecards.waivers import holds, is_expired, waives_criterion, waives_finding, why_not

OVERALL = "overall"
_COUNTS = frozenset({Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM})


class Baseline(msgspec.Struct, frozen=True):
    """What an earlier scorecard had: finding ids, and criteria that were unmet."""

    findings: frozenset[str]
    unmet: frozenset[str]


def parse_minimums(words: Iterable[str]) -> dict[str, int]:
    """`AREA=LEVEL` by area, `overall` among them. Raises UsageError."""
    minimums: dict[str, int] = {}
    for word in words:
        area, equals, level = word.partition("=")
        if not equals or area not in (*Area, OVERALL):
            raise UsageError(f"--min {word}: this is not AREA=LEVEL", f"areas are {', '.join((*Area, OVERALL))}")
        if not (level.isascii() and level.isdigit() and int(level) <= HIGHEST):
            raise UsageError(f"--min {word}: a level is 0 to {HIGHEST}", f"for example --min {area}=2")
        minimums[area] = max(int(level), minimums.get(area, 0))
    return minimums


def read_baseline(argument: str, root: Path | None = None) -> Baseline:
    """Of a review folder, its id, a milestone, or a scorecard written as JSON. Raises UsageError, StoreError, EvidenceError."""
    return baseline_of(read_side(argument, root).scorecard)


def baseline_of(scorecard: Scorecard) -> Baseline:
    unmet = frozenset(entry.id for entry in _criteria(scorecard) if entry.status == "unmet")
    return Baseline(frozenset(finding.id for finding in scorecard.findings), unmet)


def judge(
    scorecard: Scorecard,
    fail_on: Sequence[str],
    minimums: Mapping[str, int],
    baseline: Baseline | None,
    today: dt.date,
    waivers: Sequence[Waiver] = (),
) -> Gate:
    """What was asked, and every reason to fail, in the order red, new, expired waivers, minimums.

    Raises UsageError if `new` is asked without a baseline.
    """
    asked = [word for word in ("red", "new") if word in fail_on]
    if "new" in asked and baseline is None:
        raise UsageError("--fail-on new needs --baseline", "give the review or scorecard to compare with")
    silence = _Silence(today, waivers)
    by_check: dict[str, list[FindingEntry]] = {}
    for finding in scorecard.findings:
        by_check.setdefault(finding.check, []).append(finding)
    failed: list[str] = []
    if "red" in asked:
        failed += [
            f"red flag {entry.id}: {entry.statement} ({entry.observed})"
            for entry in _criteria(scorecard)
            if entry.id in scorecard.overall.red_flags and not silence.covers_criterion(entry)
        ]
    if "new" in asked and baseline is not None:
        failed += [
            f"new finding {finding.id}: {finding.title}"
            for finding in scorecard.findings
            if finding.severity in _COUNTS and finding.id not in baseline.findings and not silence.covers(finding)
        ]
        failed += [
            f"newly unmet {entry.id}: {entry.statement} ({entry.observed})"
            for entry in _criteria(scorecard)
            if entry.status == "unmet"
            and not entry.provisional
            and entry.id not in baseline.unmet
            and not silence.covers_criterion(entry)
        ]
    if asked:
        failed += silence.expired(scorecard)
    failed += _below(scorecard, minimums)
    words = [*(f"fail-on {word}" for word in asked), *(f"min {area}={level}" for area, level in minimums.items())]
    return Gate(tuple(words), tuple(visible_line(line) for line in failed))


class _Silence:
    """What waivers cover today."""

    def __init__(self, today: dt.date, waivers: Sequence[Waiver]) -> None:
        self.today = today
        self.waivers = waivers

    def covers(self, finding: FindingEntry) -> bool:
        """By a decision taken in the review or by a waiver in a configuration file, whichever holds."""
        decision = finding.decision
        until = decision.expires if decision and decision.kind == "waive" else None
        if until and not is_expired(dt.date.fromisoformat(until), self.today):
            return True
        return any(holds(waiver, self.today) for waiver in self._for(finding))

    def covers_criterion(self, entry: CriterionStatus) -> bool:
        if entry.accepted and not is_expired(dt.date.fromisoformat(entry.accepted.until), self.today):
            return True
        return any(waives_criterion(waiver, entry.id) and holds(waiver, self.today) for waiver in self.waivers)

    def expired(self, scorecard: Scorecard) -> list[str]:
        """Of what is still there, and covered by nothing else."""
        lines = []
        for finding in scorecard.findings:
            if self.covers(finding):
                continue
            ends = [(waiver.expires.isoformat(), why_not(waiver, self.today)) for waiver in self._for(finding)]
            decision = finding.decision
            if decision and decision.kind == "waive" and decision.expires:
                said = f"waiver expired on {decision.expires} (@{decision.owner or decision.by or ''})"
                ends.append((decision.expires, said))
            if ends:
                lines.append(f"{max(ends)[1]}: {finding.id}: {finding.title}")
        for entry in _criteria(scorecard):
            past = [waiver for waiver in self.waivers if waives_criterion(waiver, entry.id)]
            if entry.status == "unmet" and past and not self.covers_criterion(entry):
                last = max(past, key=lambda waiver: (waiver.expires, waiver.owner))
                lines.append(f"{why_not(last, self.today)}: {entry.id}: {entry.statement}")
        return lines

    def _for(self, finding: FindingEntry) -> list[Waiver]:
        return [
            waiver for waiver in self.waivers if waives_finding(waiver, finding.id, finding.check, finding.subject.name)
        ]


def _criteria(scorecard: Scorecard) -> list[CriterionStatus]:
    return [entry for area in scorecard.areas for entry in area.criteria]


def _below(scorecard: Scorecard, minimums: Mapping[str, int]) -> list[str]:
    """An area that is not applicable passes."""
    levels: dict[str, int | None] = {area.area: area.demonstrated for area in scorecard.areas}
    levels[OVERALL] = scorecard.overall.demonstrated
    return [
        f"{area} is at level {levels[area]}, at least {minimum} is asked"
        for area, minimum in minimums.items()
        if (level := levels[area]) is not None and level < minimum
    ]
