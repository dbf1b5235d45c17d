"""Paging through a table by counting rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.access import may_be
from checks.evidence.database.facts import Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, ColumnRef, OrderKey
from checks.evidence.shapes import first_relation
from checks.evidence.sql import has_open_clause, parse_tolerantly
from checks.model import Confidence, Examined, Finding, Fix, Severity, quote_identifier
from checks.registry import check
from checks.relations import column_names, estimated_rows, keys_of
from checks.selectivity import rows_left_by_equalities
from checks.workload import (
    is_of_this_database,
    observed_selects,
    place_in_words,
    statement_confidence,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    table_in_words,
    unread_statements,
)

NO_OFFSET = re.compile(r"\boffset\s+0\b", re.IGNORECASE)


@check("plans.offset-pagination", catalogue="P30", severity=Severity.MEDIUM, needs=[])
def offset_pagination(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Pages of a large table are found by OFFSET.

    OFFSET 50000 reads and throws away 50,000 rows before it returns the first: each page is slower than the one before, and
    rows that arrive meanwhile make pages overlap or skip. A crawler or an export that walks to the end costs the square of
    the table.

    Fix: Keyset pagination: remember the last row's sort key and ask for what follows it.

    Example: SELECT ... FROM messages ORDER BY id LIMIT 50 OFFSET 200000 reads 200,050 rows; WHERE id > $1 ORDER BY id LIMIT 50
    reads 50.

    Source: PostgreSQL manual, "LIMIT and OFFSET"; Markus Winand, "Use The Index, Luke", "Paging Through Results"

    Observed: table, table_rows, rows_to_page, calls, mean_ms, statement
    """
    catalog = evidence.find(Catalog)
    selects = observed_selects(evidence)
    yield Examined(len(selects), len(selects), "SELECT statements", gap=unread_statements(evidence))
    paged = [pattern for pattern in selects if _is_paged(pattern) and is_of_this_database(evidence, pattern)]
    ran = [pattern for pattern in paged if pattern.query_id is not None]
    for pattern in paged:
        if pattern.query_id is None and any(may_be(pattern, other) for other in ran):
            # It is that statement, most likely, and one finding is enough.
            continue
        found = _paged_table(evidence, catalog, pattern) if catalog else None
        if found is not None:
            table, rows = found
            left = rows_left_by_equalities(evidence, pattern, table.oid, rows)
            pages = rows if left is None else left
            if pages >= evidence.limit("seq_scan_rows"):
                narrowed = pattern.query_id is None and has_open_clause(pattern.text)
                yield _finding(evidence, pattern, table, rows, None if narrowed else pages)
        elif pattern.query_id is None:
            yield _finding(evidence, pattern, None, None, None)


def _is_paged(pattern: AccessPattern) -> bool:
    return (
        pattern.offset is not None
        and pattern.limit is not None
        and pattern.all_filters_known
        and not NO_OFFSET.search(pattern.text)
    )


def _paged_table(evidence: Evidence, catalog: Catalog, pattern: AccessPattern) -> tuple[Table, float] | None:
    """The table through whose rows the pages go, with their number: that with which FROM begins, and not one that a subquery
    looks into. Else the largest. None where the size is not known."""
    tree = parse_tolerantly(pattern.text)
    first = first_relation(tree) if tree is not None and tree.stmts else None
    if first is None:
        return _largest(evidence, catalog, pattern)
    schema, name = first
    for oid in pattern.tables:
        table = catalog.table_by_oid.get(oid)
        if table is not None and table.name == name and schema in {"", table.schema}:
            rows = estimated_rows(evidence, table)
            return None if rows is None else (table, rows)
    return None


def _largest(evidence: Evidence, catalog: Catalog, pattern: AccessPattern) -> tuple[Table, float] | None:
    """The table of the statement with most rows; None where the size of one is not known."""
    tables = [catalog.table_by_oid[oid] for oid in pattern.tables if oid in catalog.table_by_oid]
    sizes = [(estimated_rows(evidence, table), table) for table in tables]
    known = [(rows, table) for rows, table in sizes if rows is not None]
    if not known or len(known) < len(sizes):
        return None
    rows, table = max(known, key=lambda entry: entry[0])
    return table, rows


def _finding(
    evidence: Evidence, pattern: AccessPattern, table: Table | None, rows: float | None, pages: float | None
) -> Finding:
    places = statement_places(evidence, pattern)
    catalog = evidence.find(Catalog)
    observed = statement_figures(evidence, pattern)
    over = "a table of unknown size"
    if catalog and table is not None and rows is not None:
        name = table_in_words(catalog, table.oid)
        observed |= {"table": table.subject.name, "table_rows": round(rows),
                     "rows_to_page": None if pages is None else round(pages)}  # fmt: skip
        over = (
            f"those of the {rows:,.0f} rows of {name} that code chooses"
            if pages is None
            else f"{pages:,.0f} rows of {name}"
        )
    return Finding(
        statement_subject(pattern),
        f"OFFSET pages through {over}: {statement_in_words(pattern, catalog)}{place_in_words(places)}",
        Fix(_keyset(catalog, pattern)),
        severity=_severity(pages, pattern),
        confidence=statement_confidence(pattern) if pages is not None else Confidence.INFERRED,
        observed=observed,
        related=(table.subject,) if table else (),
        locations=places,
    )


def _severity(pages: float | None, pattern: AccessPattern) -> Severity:
    if pages is None:
        return Severity.LOW
    if pattern.query_id is None:
        return Severity.LOW if pages < 1_000_000 else Severity.MEDIUM
    return Severity.HIGH if pages >= 1_000_000 else Severity.MEDIUM if pages >= 100_000 else Severity.LOW


def _keyset(catalog: Catalog | None, pattern: AccessPattern) -> str:
    keys = [key for key in pattern.order_by if key.column is not None and key.bare]
    if not keys or any(key.distance_operator for key in pattern.order_by):
        return (
            "Give it an ORDER BY on unique columns, and ask for the rows after the last one seen instead of an OFFSET."
        )
    columns = [key.column for key in keys if key.column]
    given = [
        entry.column
        for entry in pattern.comparisons
        if entry.operator == "="
        and entry.other is None
        and not (entry.under_or or entry.function or entry.json_operator)
    ]
    unique = catalog is not None and _is_unique(catalog, [*columns, *given])
    listed = [quote_identifier(column.column) for column in columns]
    if len({key.descending for key in keys}) > 1:
        ways = ", ".join(f"{name} DESC" if key.descending else name for name, key in zip(listed, keys, strict=True))
        return (
            "Ask for the rows after the last one seen. Its keys run in different directions, so that no comparison of rows can: "
            f"sort all of them in one, or compare key by key ({listed[0]} {'<' if keys[0].descending else '>'} ... OR "
            f"{listed[0]} = ... AND ...), with an index on ({ways})."
        )
    names = ", ".join([*listed, *(() if unique else ("<key>",))])
    sign = "<" if keys[0].descending else ">"
    return (
        f"Ask for the rows after the last one seen: WHERE ({names}) {sign} (<those of the last row>) "
        f"ORDER BY {_in_order(keys, listed, unique)} LIMIT ..., with an index on these columns."
    )  # fmt: skip


def _in_order(keys: list[OrderKey], names: list[str], unique: bool) -> str:
    """All in the direction of the first, as one comparison of rows needs it."""
    way = " DESC" if keys[0].descending else ""
    return ", ".join(f"{name}{way}" for name in [*names, *(() if unique else ("<key>",))])


def _is_unique(catalog: Catalog, columns: list[ColumnRef]) -> bool:
    """Whether the columns contain a key of their table, so that no two rows are equal in them."""
    names = {(column.table, column.column) for column in columns}
    return any(
        {(table, name) for name in column_names(catalog, index.table, index.columns)} <= names
        for table in {column.table for column in columns if column.table is not None}
        for index in keys_of(catalog, table)
    )
