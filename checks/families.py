"""One finding for the same thing in many schemas, as an application with a schema per tenant has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import wraps

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding
from checks.registry import CheckFunction

FAMILY_SCHEMAS = 5
SHOWN = 5


def once_per_family(function: CheckFunction) -> CheckFunction:
    """A check whose findings about objects equal in all but their schema are one, from five schemas on.

    The finding is about the worst of them, of equals the first by name; `observed` says in how many schemas it is
    (`schemas`) and names the next worst (`also`). How many objects fail is counted before.
    """

    @wraps(function)
    def run(evidence: Evidence) -> Iterator[Finding | Examined]:
        findings: list[Finding] = []
        for item in function(evidence):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                unmet = len(findings) if item.unmet is None else item.unmet
                yield msgspec.structs.replace(item, unmet=unmet)
        yield from roll_up(findings)

    return run


def roll_up(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, those of a family as one. Subjects begin with a schema."""
    families: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.subject.kind, finding.subject.path[1:], finding.discriminator)
        families.setdefault(key, []).append(finding)
    for family in families.values():
        if len(family) < FAMILY_SCHEMAS:
            yield from family
        else:
            yield _one(sorted(family, key=_worst_first))


def _one(family: list[Finding]) -> Finding:
    first, *others = family
    summary = f"{first.fix.summary} The same holds for the other {len(others)} schemas."
    return msgspec.structs.replace(
        first,
        title=f"{first.title}, as in {len(others)} more schemas",
        observed={
            **first.observed,
            "schemas": len(family),
            "also": [other.subject.name for other in others[: SHOWN - 1]],
        },
        fix=msgspec.structs.replace(first.fix, summary=summary),
    )


def _worst_first(finding: Finding) -> tuple[int, tuple[str, ...]]:
    return (finding.severity.rank if finding.severity else 0, finding.subject.path)
