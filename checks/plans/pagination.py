"""Paging through a table by counting rows."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.model import Confidence, Examined, Finding, Fix, Severity, Subject
from checks.registry import check
from checks.selectivity import rows_left_by_equalities, table_rows
from checks.workload import (
    observed_workload,
    place_in_words,
    statement_confidence,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    table_in_words,
    unread_statements,
)


@check("plans.offset-pagination", catalogue="P30", severity=Severity.MEDIUM, needs=[])
def offset_pagination(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Pages of a large table are found by OFFSET.

    OFFSET 50000 reads and throws away 50,000 rows before it returns the first: each page is slower than the one before, and
    rows that arrive meanwhile make pages overlap or skip. A crawler or an export that walks to the end costs the square of
    the table.

    Fix: Keyset pagination: remember the last row's sort key and ask for what follows it.

    Source: PostgreSQL manual, "LIMIT and OFFSET"; Markus Winand, "Use The Index, Luke", "Paging Through Results"

    Observed: table, table_rows, rows_to_page, calls, mean_ms, statement
    """
    catalog = evidence.find(Catalog)
    selects = [pattern for pattern in observed_workload(evidence) if pattern.verb == "select"]
    yield Examined(len(selects), len(selects), "SELECT statements", gap=unread_statements(evidence))
    for pattern in selects:
        if pattern.offset is None or pattern.limit is None:
            continue
        table, rows = _largest(catalog, pattern)
        if rows is not None and table is not None and catalog is not None:
            left = rows_left_by_equalities(evidence, pattern, table, rows)
            if (rows if left is None else left) < evidence.limit("seq_scan_rows"):
                continue
            yield _finding(evidence, catalog, pattern, table, rows, rows if left is None else left)
        elif pattern.query_id is None:
            yield _finding(evidence, catalog, pattern, None, None, None)


def _largest(catalog: Catalog | None, pattern: AccessPattern) -> tuple[int | None, float | None]:
    """The table of the statement with most rows; None where no size is known."""
    sizes = (
        [(table_rows(catalog, oid), oid) for oid in pattern.tables if oid in catalog.table_by_oid] if catalog else []
    )
    known = [(rows, oid) for rows, oid in sizes if rows is not None]
    if not known or len(known) < len(sizes):
        return None, None
    rows, oid = max(known)
    return oid, rows


def _finding(
    evidence: Evidence, catalog: Catalog | None, pattern: AccessPattern, table: int | None, rows: float | None,
    pages: float | None,
) -> Finding:  # fmt: skip
    places = statement_places(evidence, pattern)
    observed = statement_figures(evidence, pattern)
    over = "a table of unknown size"
    related: tuple[Subject, ...] = ()
    if catalog and table is not None and rows is not None and pages is not None:
        subject = catalog.table_by_oid[table].subject
        observed |= {"table": subject.name, "table_rows": round(rows), "rows_to_page": round(pages)}
        over = f"{pages:,.0f} rows of {table_in_words(catalog, table)}"
        related = (subject,)
    return Finding(
        statement_subject(pattern),
        f"{statement_in_words(pattern, catalog)} pages by OFFSET through {over}{place_in_words(places)}",
        Fix(_keyset(pattern)),
        severity=_severity(pages, pattern),
        confidence=statement_confidence(pattern) if pages is not None else Confidence.INFERRED,
        observed=observed,
        related=related,
        locations=places,
    )


def _severity(pages: float | None, pattern: AccessPattern) -> Severity:
    if pages is None:
        return Severity.LOW
    if pattern.query_id is None:
        return Severity.LOW if pages < 1_000_000 else Severity.MEDIUM
    return Severity.HIGH if pages >= 1_000_000 else Severity.MEDIUM if pages >= 100_000 else Severity.LOW


def _keyset(pattern: AccessPattern) -> str:
    keys = [key for key in pattern.order_by if key.column is not None and key.bare]
    if not keys or any(key.distance_operator for key in pattern.order_by):
        return (
            "Give it an ORDER BY on unique columns, and ask for the rows after the last one seen instead of an OFFSET."
        )
    names = ", ".join(key.column.column for key in keys if key.column)
    sign = "<" if keys[0].descending else ">"
    return (
        f"Ask for the rows after the last one seen: WHERE ({names}, <key>) {sign} (<those of the last row>) "
        f"ORDER BY {names}, <key> LIMIT ..., with an index on these columns."
    )
