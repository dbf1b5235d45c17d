"""Many small findings of one kind are one: a list to go through once, with one script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Finding, Location, Severity, Subject, quote_identifier

_SHOWN = 5
_NAMED = 100


def as_one(
    evidence: Evidence,
    findings: Sequence[Finding],
    at: int,
    title: Callable[[int, str], str],
    summary: str,
    *,
    undo: str = "",
) -> Iterator[Finding]:
    """The findings of a schema as one about the schema where there are `at` or more of them, else as they are. `title` is given
    their number and the quoted schema; `observed` says `number` and `names`, and `kept` where each names an index that stays. The
    fix has the SQL of all, and undoes all unless `undo` says it for them."""
    by_schema: dict[str, list[Finding]] = {}
    for finding in findings:
        by_schema.setdefault(finding.subject.path[0], []).append(finding)
    for schema, found in by_schema.items():
        if len(found) < at:
            yield from found
            continue
        found.sort(key=lambda finding: ((finding.severity or Severity.NOTE).rank, finding.subject.path))
        first = found[0]
        sql = [finding.fix.sql for finding in found if finding.fix.sql]
        undone = [finding.fix.undo for finding in found if finding.fix.undo]
        kept = [str(finding.observed["duplicate_of"]) for finding in found if "duplicate_of" in finding.observed]
        yield Finding(
            Subject("schema", (schema,)),
            title(len(found), quote_identifier(schema)),
            msgspec.structs.replace(first.fix, summary=summary, sql="\n".join(sql), undo=undo or "\n".join(undone)),
            severity=first.severity,
            confidence=first.confidence,
            observed={
                "number": len(found),
                "names": [finding.subject.name for finding in found[:_NAMED]],
                **({"kept": kept[:_NAMED]} if kept else {}),
            },
            locations=_locations(evidence, found),
            related=tuple(finding.subject for finding in found[:_SHOWN]),
        )


def _locations(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Location, ...]:
    found: list[Location] = []
    for finding in findings:
        subjects = (finding.subject, *finding.related)
        place = next((places[0] for subject in subjects if (places := evidence.locations(subject))), None)
        if place is not None and place not in found:
            found.append(place)
        if len(found) == _SHOWN:
            break
    return tuple(found)
