"""Statements that ask for every column."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, PlannerStatistics, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, Location, Severity, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows
from checks.workload import (
    TEXT_LIMIT,
    counters,
    observed_selects,
    short_text,
    statement_places,
    statement_subject,
    table_in_words,
    unread_statements,
)

WIDE_TYPES = frozenset({"json", "jsonb", "bytea", "xml", "tsvector", "vector", "halfvec", "sparsevec", "hstore"})
LONG_TYPES = frozenset({"text", "varchar", "_text", "_varchar", "_jsonb"})
SHOWN = 5
TYPED_BY_HAND = 10


@check("plans.select-star", catalogue="P50", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def select_star(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements ask for every column of a table.

    Documents, vectors and long texts are stored out of line and fetched only when they are asked for: `SELECT *` asks for all
    of them, and sends them over the network, whether the code looks at them or not. It also changes its meaning with every
    migration. Of a table of short values it is no finding, and of one whose values nobody has measured a low one.

    Fix: Name the columns that the code reads.

    Example: SELECT * FROM documents WHERE owner_id = $1 for a list of titles, where a row has an embedding of 6 kB and a body
    of 30 kB.

    Source: PostgreSQL manual, "TOAST"; "Select Lists"

    Observed: statements, wide_columns, calls, examples
    """
    catalog = evidence.get(Catalog)
    statements = evidence.find(Statements)
    selects = observed_selects(evidence)
    starred: dict[int, list[AccessPattern]] = {}
    for pattern in selects:
        entry = statements.by_id.get(pattern.query_id or "") if statements else None
        if entry is not None and entry.calls < TYPED_BY_HAND and not statement_places(evidence, pattern):
            continue
        for oid in set(pattern.stars):
            table = catalog.table_by_oid.get(oid)
            if table is not None and table.kind in {"table", "partitioned", "foreign"} and table.extension is None:
                starred.setdefault(table.root or oid, []).append(pattern)
    every: set[int] = set()
    for oid, found in starred.items():
        table = catalog.table_by_oid[oid]
        if wide := _wide_columns(evidence, catalog, table):
            every.update(id(pattern) for pattern in found)
            yield _starred(evidence, catalog, table, found, wide)
    yield Examined(len(selects), len(selects), "SELECT statements", gap=unread_statements(evidence), unmet=len(every))


def _starred(
    evidence: Evidence, catalog: Catalog, table: Table, found: list[AccessPattern], wide: list[Column]
) -> Finding:
    measured = any(_width(evidence, table, column) is not None for column in wide)
    ordered = sorted(found, key=lambda pattern: -int(counters(evidence, pattern.query_id).get("calls", 0)))
    count = "A statement asks" if len(found) == 1 else f"{len(found)} statements ask"
    places: dict[Location, None] = {}
    for pattern in ordered:
        places.update(dict.fromkeys(statement_places(evidence, pattern)))
    return Finding(
        table.subject,
        f"{count} for every column of {table_in_words(catalog, table.oid)}, {_listed(wide)} among them",
        Fix("Name the columns that the code reads, in place of *."),
        severity=Severity.MEDIUM if measured and not _locks(found) else Severity.LOW,
        confidence=Confidence.MEASURED if any(pattern.query_id for pattern in found) else Confidence.INFERRED,
        observed={
            "statements": len(found),
            "wide_columns": [f"{column.name} {column.type}" for column in wide],
            "calls": sum(int(counters(evidence, pattern.query_id).get("calls", 0)) for pattern in found),
            "examples": [short_text(pattern.text, TEXT_LIMIT // 2) for pattern in ordered[:SHOWN]],
        },
        related=tuple(statement_subject(pattern) for pattern in ordered[:SHOWN]),
        locations=tuple(places),
    )


def _locks(found: list[AccessPattern]) -> bool:
    """Whether each of them locks the rows that it asks for: it is sent for that, and for few."""
    return all("FOR UPDATE" in pattern.text.upper() or "FOR SHARE" in pattern.text.upper() for pattern in found)


def _wide_columns(evidence: Evidence, catalog: Catalog, table: Table) -> list[Column]:
    """Columns whose values are large by what the planner knows of their width, by what stands out of line, or, where nothing was
    measured, by their type."""
    limit = evidence.limit("wide_column_bytes")
    out_of_line = _out_of_line(evidence, catalog, table)
    wide = []
    for column in catalog.columns_of(table.oid).values():
        if column.base_type not in WIDE_TYPES | LONG_TYPES:
            continue
        width = _width(evidence, table, column)
        by_type = column.base_type in WIDE_TYPES
        if (width or 0) >= limit or (by_type and (width is None or out_of_line >= limit)):
            wide.append(column)
    return wide


def _width(evidence: Evidence, table: Table, column: Column) -> int | None:
    """Average bytes of a value in its row, which of one out of line is a pointer; None where the planner knows nothing."""
    statistics = evidence.find(PlannerStatistics)
    entry = statistics.by_column.get((table.oid, column.number)) if statistics else None
    return None if entry is None else entry.average_width


def _out_of_line(evidence: Evidence, catalog: Catalog, table: Table) -> float:
    """Bytes out of line for each row."""
    parts = [part for part in catalog.tables if table.oid in (part.oid, part.root)]
    rows = estimated_rows(evidence, table) or 0
    return sum(part.toast_bytes or 0 for part in parts) / rows if rows else 0.0


def _listed(columns: list[Column]) -> str:
    names = [f"{quote_identifier(column.name)} ({column.type})" for column in columns]
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more wide ones"
