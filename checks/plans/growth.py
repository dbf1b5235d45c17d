"""What larger tables will do, as planned in a shadow."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.growth import GrownStatement, Growth
from checks.model import Confidence, Examined, Finding, Fix, Location, NotApplicable, Severity, Subject
from checks.registry import check
from checks.workload import (
    as_subject,
    pattern_by_query_id,
    place_in_words,
    statement_figures,
    statement_in_words,
    statement_places,
)

SHOWN_AT_MOST = 10
SOON_DAYS = 90
SOON_FACTOR = 3.0


@check("plans.breaks-first", catalogue="P90", severity=Severity.MEDIUM, needs=[Growth])
def breaks_first(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement that is quick enough now will not be when its tables have grown a little.

    Planned in a shadow whose tables are larger, its cost grows with them; its measured mean, grown alike, passes the budget.
    Those that break first are where work on performance pays before users complain. A statement above the budget already is
    for other checks to report; so is why it reads so much.

    Fix: Have it read as many rows however large the table is: an index for its condition and order, a bounded page, a
    precomputed figure; or keep the table small by partitions and archiving.

    Example: a search by lower(title) LIKE $1 takes 40 ms over 20,000 rows; with a hundred times as many it takes 4 s, long
    before any other statement does.

    Source: rubric 2026.1: ours; GitLab's budget of 100 ms for a statement

    Observed: factor, budget_ms, exponent, costs, on, tables, statement
    """
    growth = evidence.get(Growth)
    if not growth.statements:
        raise NotApplicable("no statement was planned at another size")
    yield Examined(len(growth.statements), len(growth.statements) + growth.unplanned, "statements planned at all sizes")
    within = evidence.limit("breaks_within_factor")
    found = [entry for entry in growth.breaking if entry.breaks_at and 1.0 < entry.breaks_at.factor <= within]
    for entry in found[:SHOWN_AT_MOST]:
        yield _breaking(evidence, growth, entry)


def _breaking(evidence: Evidence, growth: Growth, entry: GrownStatement) -> Finding:
    pattern = pattern_by_query_id(evidence).get(entry.statement)
    breaks = entry.breaks_at
    assert breaks is not None
    places: tuple[Location, ...] = statement_places(evidence, pattern) if pattern else ()
    words = as_subject(statement_in_words(pattern, evidence.find(Catalog))) if pattern else "A statement"
    soon = breaks.on is not None and (breaks.on - evidence.observed_at.date()).days <= SOON_DAYS
    when = f", about {breaks.on}" if breaks.on else ""
    return Finding(
        Subject("statement", (entry.statement,)),
        f"{words} passes {growth.budget_ms:g} ms when its tables are {breaks.factor:g} times as large{when}"
        f"{place_in_words(places)}",
        Fix(
            "Have it read as many rows however large the table is: an index for its condition and order, a bounded page, or a "
            "precomputed figure."
        ),
        severity=Severity.MEDIUM if soon or breaks.factor <= SOON_FACTOR else Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={
            **(statement_figures(evidence, pattern) if pattern else {}),
            "factor": breaks.factor,
            "budget_ms": growth.budget_ms,
            "exponent": entry.exponent,
            "costs": list(entry.costs),
            "on": breaks.on.isoformat() if breaks.on else None,
            "tables": list(entry.tables[:5]),
        },
        locations=places,
    )


@check("plans.relation-exceeds-limit", catalogue="P91", severity=Severity.MEDIUM, needs=[Growth])
def relation_exceeds_limit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table, or its fullest partition, will pass the 32 TB that a relation can have.

    A relation has at most 2^32 blocks of 8 kB. At the end, inserts fail, and to divide a table of that size takes days.

    Fix: Partition it long before, by what the statements compare.

    Example: events, not partitioned, has 19 TB and grows by 40 GB a day: in ten months no row can be added to it.

    Source: PostgreSQL manual, "PostgreSQL Limits"

    Observed: full_at, full_on, bytes, rows_per_day
    """
    growth = evidence.get(Growth)
    if not growth.tables:
        raise NotApplicable("there are no tables")
    yield Examined(len(growth.tables), len(growth.tables), "tables")
    for table in growth.full:
        assert table.full_at is not None
        subject = Subject("table", (table.schema, table.name))
        when = f", about {table.full_on}" if table.full_on else ""
        yield Finding(
            subject,
            f"{subject.name} ({bytes_in_words(table.bytes)}) exceeds 32 TB at {table.full_at:g} times its size{when}",
            Fix("Partition it long before, by what the statements compare; or keep less in it."),
            severity=Severity.HIGH if table.full_at <= SOON_FACTOR else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "full_at": table.full_at,
                "full_on": table.full_on.isoformat() if table.full_on else None,
                "bytes": table.bytes,
                "rows_per_day": table.rows_per_day,
            },
            locations=evidence.locations(subject),
        )
