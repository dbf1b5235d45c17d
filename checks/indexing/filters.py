"""What statements that ran compare of large tables, and whether an index serves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from checks.evidence import patterns
from checks.evidence.database.facts import (
    Catalog,
    Column,
    Index,
    PlannerStatistics,
    Plans,
    Statement,
    Statements,
    Table,
)
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.indexing.duplicates import scans
from checks.relations import estimated_rows, is_reviewed, is_usable, leaves
from checks.workload import equality_columns

_RANGE = frozenset({"<", "<=", ">", ">=", "between"})
_MAXIMUM_COLUMNS = 3


class Filter(msgspec.Struct, frozen=True):
    """What one statement compares of one table: `equal` columns most selective first, `then` one range or sort column.

    `rows_left` is how many of the table's `rows` the equalities leave on average, as the planner would estimate from its
    statistics; None if nothing is known of those columns' values.
    """

    table: Table
    pattern: AccessPattern
    statement: Statement
    equal: tuple[str, ...]
    then: str | None
    rows: float
    rows_left: float | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of an index that would serve it, at most three."""
        tail = (self.then,) if self.then and self.then not in self.equal else ()
        return (*self.equal, *tail)[:_MAXIMUM_COLUMNS]


def filters_of_large_tables(evidence: Evidence) -> Iterator[Filter]:
    """Each statement that ran with each reviewed table of at least `seq_scan_rows` rows, or of unknown size, that it filters
    by equality."""
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    for pattern in patterns.workload(evidence):
        statement = statements.by_id.get(pattern.query_id or "")
        if statement is None or pattern.verb not in {"select", "update", "delete"}:
            continue
        for oid in dict.fromkeys(pattern.tables):
            table = catalog.table_by_oid.get(oid)
            if table is None or not is_reviewed(table) or not equality_columns(pattern, oid):
                continue
            rows = estimated_rows(evidence, table)
            if rows is None:
                yield Filter(table, pattern, statement, tuple(equality_columns(pattern, oid)), None, 0.0, None)
            elif rows >= evidence.limit("seq_scan_rows"):
                yield _filter(evidence, table, pattern, statement, rows)


def _filter(evidence: Evidence, table: Table, pattern: AccessPattern, statement: Statement, rows: float) -> Filter:
    catalog = evidence.get(Catalog)
    names = equality_columns(pattern, table.oid)
    columns = [column for name in names if (column := catalog.column_named(table.oid, name))]
    shares = {column.name: _share(evidence, column, rows) for column in columns}
    known = {name: share for name, share in shares.items() if share is not None}
    left = rows if known else None
    for share in known.values():
        left = (left or 0.0) * share
    equal = sorted(shares, key=lambda name: known.get(name, 1.0))
    return Filter(table, pattern, statement, tuple(equal), _range_or_sort(pattern, table.oid), rows, left)


def _share(evidence: Evidence, column: Column, rows: float) -> float | None:
    """Share of the rows that one value of the column leaves on average; None if nothing is known of its values."""
    for index in evidence.get(Catalog).indexes_of(column.table):
        if index.unique and index.valid and index.predicate is None and index.columns == (column.number,):
            return 1 / rows
    statistics = evidence.find(PlannerStatistics)
    entry = statistics.by_column.get((column.table, column.number)) if statistics else None
    if entry is None:
        return None
    distinct = entry.distinct if entry.distinct > 0 else -entry.distinct * rows
    return (1 - entry.null_share) / distinct if distinct >= 1 else 1.0


def _comparisons(pattern: AccessPattern, table: int) -> list[Comparison]:
    """Plain comparisons of the table's columns with values, ANDed."""
    return [
        entry
        for entry in pattern.comparisons
        if entry.column.table == table
        and entry.other is None
        and not (entry.under_or or entry.function or entry.json_operator)
    ]


def _range_or_sort(pattern: AccessPattern, table: int) -> str | None:
    for entry in _comparisons(pattern, table):
        if entry.operator in _RANGE:
            return entry.column.column
    first = pattern.order_by[0] if pattern.order_by else None
    if first and first.bare and not first.distance_operator and first.column and first.column.table == table:
        return first.column.column
    return None


def is_served(evidence: Evidence, entry: Filter) -> bool:
    """Whether some index leads with compared columns that together leave a small part of the table."""
    return any(_serves(evidence, index, entry) for index in evidence.get(Catalog).indexes_of(entry.table.oid))


def _serves(evidence: Evidence, index: Index, entry: Filter) -> bool:
    catalog = evidence.get(Catalog)
    comparisons = _comparisons(entry.pattern, entry.table.oid)
    compared = {item.column.column for item in comparisons}
    ranges = {item.column.column for item in comparisons if item.operator in _RANGE}
    keys = [catalog.column(index.table, number).name if number else None for number in index.columns]
    if not is_usable(index):
        return False
    if index.predicate is not None and not _predicate_holds(index, catalog, compared):
        return _predicate_mentions(index, entry.equal) and bool(scans(evidence, index))
    if index.method == "hash":
        return keys[0] in entry.equal
    if index.method == "brin":
        return not compared.isdisjoint(key for key in keys if key)
    if index.method == "gist":
        return keys[0] in compared and index.keys[0].operator_class.startswith("gist_")
    if index.method != "btree":
        return False
    if keys[0] in ranges and keys[0] not in entry.equal:
        return not index.keys[0].operator_class.endswith("_pattern_ops")
    return keys[0] in entry.equal and _leaves_little(evidence, index, entry, ranges)


def _leaves_little(evidence: Evidence, index: Index, entry: Filter, ranges: set[str]) -> bool:
    """Whether the leading keys compared for equality leave a small part; yes where nothing is known of them."""
    catalog, share = evidence.get(Catalog), 1.0
    for number in index.columns:
        column = catalog.columns_of(index.table).get(number)
        if column is None or column.name not in entry.equal:
            if column is not None and column.name in ranges:
                return True
            break
        known = _share(evidence, column, entry.rows)
        if known is None:
            return True
        share *= known
    return share < evidence.limit("seq_scan_selectivity")


def _predicate_holds(index: Index, catalog: Catalog, compared: set[str]) -> bool:
    """Whether the predicate is only that compared columns are not null."""
    not_null = {catalog.column(index.table, number).name for number in index.predicate_not_null}
    return bool(not_null) and not_null <= compared


def _predicate_mentions(index: Index, names: Iterable[str]) -> bool:
    """Whether the predicate is about one of these columns: its constant may be the one that a parameter now stands for."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", index.predicate or "") for name in names)


def planned_as_scan(evidence: Evidence, entry: Filter) -> bool | None:
    """Whether the statement's plan reads the table by sequential scan; None if it has no plan."""
    plans = evidence.find(Plans)
    plan = plans.by_id.get(entry.statement.query_id) if plans else None
    if plan is None:
        return None
    parts = {(leaf.schema, leaf.name) for leaf in leaves(evidence.get(Catalog), entry.table)}
    return any(
        node.node_type.endswith("Seq Scan") and (node.schema, node.relation) in parts for node in plan.root.walk()
    )
