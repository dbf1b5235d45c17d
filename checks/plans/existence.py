"""Counting, where looking for one row is enough."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import Place, by_file, code_followed, file_subject, locations_of, places_of, ran_seldom, table_of
from checks.evidence.database.facts import Catalog, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.plans.lookups import by_unique_key
from checks.registry import check
from checks.workload import TEXT_LIMIT, short_text, statement_in_words


@check("plans.count-for-existence", catalogue="P53", severity=Severity.LOW, needs=[Repository])
def count_for_existence(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code counts rows to see whether there is one.

    A count reads every row that matches, and there are more of them every month; EXISTS stops at the first. Only code is told
    whose number is compared with zero and used for nothing else, and no count by a unique key, of which there is one row at most.

    Fix: SELECT EXISTS (SELECT 1 FROM ... WHERE ...), or the ORM's exists(); findFirst with one column in Prisma.

    Example: if Order.objects.filter(user=user).count() > 0: counts 40,000 orders of one user; .exists() stops at the first.

    Source: PostgreSQL manual, "Subquery Expressions", EXISTS

    Observed: places, statement, calls, mean_ms
    """
    places = [place for place in places_of(evidence, "count_for_existence") if not _counts_one(evidence, place)]
    yield code_followed(evidence, unmet=len(places))
    for found in by_file(places).values():
        first = max(found, key=lambda place: place.ran.total_ms if place.ran else 0.0)
        words = "rows" if first.pattern is None else statement_in_words(first.pattern, evidence.find(Catalog))
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        tables = {table.subject: None for place in found if (table := table_of(evidence, place)) is not None}
        yield Finding(
            file_subject(first),
            f"{words} is counted to see whether there is one ({first.location.path}:{first.location.line}){more}",
            Fix("Ask for EXISTS (SELECT 1 ...): it stops at the first row."),
            severity=_severity(evidence, found),
            confidence=Confidence.INFERRED,
            observed={"places": len(found), "statement": short_text(first.behaviour.text or "", TEXT_LIMIT),
                      "calls": first.ran.calls if first.ran else None,
                      "mean_ms": round(first.ran.mean_ms, 3) if first.ran else None},
            related=tuple(tables),
            locations=locations_of(found),
        )  # fmt: skip


def _counts_one(evidence: Evidence, place: Place) -> bool:
    catalog = evidence.find(Catalog)
    pattern = place.pattern
    return bool(catalog and pattern and len(set(pattern.tables)) == 1 and by_unique_key(catalog, pattern))


def _severity(evidence: Evidence, places: list[Place]) -> Severity:
    """By the time that the counts take, where they ran."""
    statements = evidence.find(Statements)
    ran = [place.ran for place in places if place.ran is not None]
    if statements is not None and any(
        entry.mean_ms >= evidence.limit("plan_ms") or statements.share(entry) >= evidence.limit("heavy_share")
        for entry in ran
        if entry.calls >= evidence.limit("chatty_calls_min") / 10
    ):
        return Severity.MEDIUM
    return Severity.NOTE if all(ran_seldom(evidence, place) for place in places) else Severity.LOW
