"""Runs checks over evidence. Whatever a check does, there is a result for it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from checks.errors import UsageError
from checks.evidence.evidence import Evidence
from checks.model import (
    Area,
    CheckResult,
    Confidence,
    Examined,
    Finding,
    NotApplicable,
    Outcome,
    Reason,
    Unknown,
    Unobserved,
)
from checks.proven import with_proof
from checks.registry import Check, all_checks


class Selection(msgspec.Struct, frozen=True):
    """Which checks to run: ids, areas or globs. Checks of style only with `style`, or if `only` names them."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    style: bool = False

    def takes(self, check: Check) -> bool:
        if _matches(check, self.skip):
            return False
        if self.only:
            return _matches(check, self.only)
        return self.style or not check.style

    def validate(self, checks: Iterable[Check]) -> None:
        """Raises UsageError for a pattern that names no check, which would silently check nothing."""
        known = list(checks)
        for pattern in (*self.only, *self.skip):
            if not any(_matches(check, (pattern,)) for check in known):
                raise UsageError(f"no check or area is called {pattern!r}", "`pgsurveyor checks` lists them")


EVERYTHING = Selection()


def _matches(check: Check, patterns: Sequence[str]) -> bool:
    return any(pattern == check.area or fnmatchcase(check.id, pattern) for pattern in patterns)


def run_checks(
    evidence: Evidence,
    selection: Selection = EVERYTHING,
    progress: Callable[[CheckResult], None] | None = None,
) -> tuple[CheckResult, ...]:
    """The result of every known check, in the order of areas and ids; `progress` gets each as it is known.

    A check that was not selected is unknown(not_run). Raises UsageError if the selection names what does not exist.
    """
    checks = all_checks()
    selection.validate(checks.values())
    results = []
    for check in sorted(checks.values(), key=lambda check: (list(Area).index(check.area), check.id)):
        if selection.takes(check):
            result = run_check(check, evidence)
        else:
            unlock = "--style" if check.style and not selection.only else f"--only {check.id}"
            result = _unknown(check, Unobserved(Reason.NOT_RUN, unlock))
        if progress:
            progress(result)
        results.append(result)
    return tuple(results)


def run_check(check: Check, evidence: Evidence) -> CheckResult:
    """The result of one check. An exception in it is an `error` outcome that names the place."""
    findings: list[Finding] = []
    examined: Examined | None = None
    try:
        for section in check.needs:
            evidence.get(section)
        if check.window:
            evidence.require_window(check.window)
        for item in check.run(evidence):
            if isinstance(item, Examined):
                examined = item
            else:
                findings.append(_complete(item, check, evidence))
    except NotApplicable as fact:
        return CheckResult(check.id, Outcome.NOT_APPLICABLE, fact=str(fact))
    except Unknown as unknown:
        return _unknown(check, unknown.gap)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"
        return CheckResult(check.id, Outcome.ERROR, reason=Reason.CHECK_ERROR, message=message,
                           unlock="report this as a defect of pgsurveyor")  # fmt: skip
    return _conclude(check, _once(findings), examined)


def _complete(finding: Finding, check: Check, evidence: Evidence) -> Finding:
    """The finding with what the check's declaration and the repository add to it."""
    locations = finding.locations or evidence.locations(finding.subject)
    if not locations:
        locations = next((found for subject in finding.related if (found := evidence.locations(subject))), ())
    confidence = finding.confidence or Confidence.MEASURED
    complete = msgspec.structs.replace(
        finding,
        check=check.id,
        why=finding.why or check.why,
        severity=finding.severity or check.severity,
        confidence=confidence,
        locations=locations,
    )
    return with_proof(complete, evidence)


def _once(findings: list[Finding]) -> tuple[Finding, ...]:
    """Worst first, each fingerprint once."""
    unique: dict[str, Finding] = {}
    for finding in findings:
        unique.setdefault(finding.id, finding)
    return tuple(sorted(unique.values(), key=sort_key))


def sort_key(finding: Finding) -> tuple[int, str, tuple[str, ...], str]:
    """The order in which findings are listed everywhere: severity, check, subject."""
    assert finding.severity is not None
    return (finding.severity.rank, finding.check, finding.subject.path, finding.discriminator)


def _conclude(check: Check, findings: tuple[Finding, ...], examined: Examined | None) -> CheckResult:
    if not findings and examined is not None and examined.gap is not None:
        gap = examined.gap
        return msgspec.structs.replace(
            _unknown(check, gap), examined=examined.examined, of=examined.of, noun=examined.noun, unmet=0
        )
    return CheckResult(
        check.id,
        Outcome.FOUND if findings else Outcome.PASSED,
        findings,
        examined=examined.examined if examined else None,
        of=examined.of if examined else None,
        unmet=(len(findings) if examined.unmet is None else examined.unmet) if examined else None,
        noun=examined.noun if examined else "",
        reason=examined.gap.reason if examined and examined.gap else None,
        unlock=examined.gap.unlock if examined and examined.gap else None,
    )


def _unknown(check: Check, gap: Unobserved) -> CheckResult:
    return CheckResult(check.id, Outcome.UNKNOWN, reason=gap.reason, unlock=gap.unlock)
