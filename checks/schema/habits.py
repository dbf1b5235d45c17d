"""Many findings of one schema that say the same are one: a habit, which is changed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Severity, Subject, quote_identifier
from checks.registry import CheckFunction

HABIT = 8
CROWD = 20
SHOWN = 5
_LISTED = 50


def once_per_habit(title: Callable[[str, int], str], at: int = HABIT) -> Callable[[CheckFunction], CheckFunction]:
    """A check whose findings of one schema are one from `at` on, with the severity and the fix of the worst of them.

    `title` is given the quoted schema and their number; `observed` then says `number` and `names`, and of the worst what it says
    by itself (`worst`). How many objects fail is counted before.
    """

    def wrap(function: CheckFunction) -> CheckFunction:
        @wraps(function)
        def run(evidence: Evidence) -> Iterator[Finding | Examined]:
            findings: list[Finding] = []
            for item in function(evidence):
                if isinstance(item, Finding):
                    findings.append(item)
                else:
                    yield msgspec.structs.replace(item, unmet=len(findings) if item.unmet is None else item.unmet)
            yield from _rolled_up(findings, title, at)

        return run

    return wrap


def _rolled_up(findings: Iterable[Finding], title: Callable[[str, int], str], at: int) -> Iterator[Finding]:
    by_schema: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.subject.kind == "schema":
            yield finding
        else:
            by_schema.setdefault(finding.subject.path[0], []).append(finding)
    for schema, found in by_schema.items():
        if len(found) < at:
            yield from found
            continue
        worst, *others = sorted(found, key=_worst_first)
        summary = f"{worst.fix.summary} The same holds for the other {len(others)}."
        yield Finding(
            Subject("schema", (schema,)),
            title(quote_identifier(schema), len(found)),
            msgspec.structs.replace(worst.fix, summary=summary),
            severity=worst.severity,
            confidence=worst.confidence,
            observed={
                "number": len(found),
                "names": [finding.subject.name for finding in (worst, *others)[:_LISTED]],
                "worst": dict(worst.observed),
            },
            related=tuple(finding.subject for finding in (worst, *others)[:SHOWN]),
        )


def _worst_first(finding: Finding) -> tuple[int, tuple[str, ...]]:
    return ((finding.severity or Severity.NOTE).rank, finding.subject.path)
