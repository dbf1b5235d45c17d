"""Does the workload find its rows by an index?"""

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
    Usage,
)
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.indexing.coverage import covering_index
from checks.indexing.duplicates import scans
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    Reason,
    Severity,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import (
    column_list,
    estimated_rows,
    is_reviewed,
    is_usable,
    leaves,
    new_name,
    reviewed_tables,
    user_name,
)
from checks.workload import equality_columns, statement_places

_RANGE = frozenset({"<", "<=", ">", ">=", "between"})
_MAXIMUM_COLUMNS = 3
_STATEMENTS_SHOWN = 5
_HIGH_SHARE = 0.05
_FEW_CALLS = 10


class _Filter(msgspec.Struct, frozen=True):
    """What one statement compares of one table: `equal` columns most selective first, `then` one range or sort column."""

    table: Table
    pattern: AccessPattern
    statement: Statement
    equal: tuple[str, ...]
    then: str | None
    rows: float
    rows_left: float | None
    planned: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of an index that would serve it, at most three."""
        tail = (self.then,) if self.then and self.then not in self.equal else ()
        return (*self.equal, *tail)[:_MAXIMUM_COLUMNS]


@check("indexing.missing-index", catalogue="I19", severity=Severity.MEDIUM, needs=[Catalog, Statements])
def missing_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements that ran filter a large table by columns that no index serves.

    The planner's statistics say that the filter leaves a small part of the table, yet without an index every call reads all
    of it, and twice as much when the table has doubled. Where the statement's plan is known, it shows the sequential scan; a
    statement whose plan uses an index is not reported. One finding stands for all statements that the same index would serve:
    its fingerprint holds the table and the list of columns.

    Fix: Create an index with the columns compared for equality first, then one range or sort column.

    Source: PostgreSQL manual, "Indexes", section "Multicolumn Indexes"; "pg_stats"

    Observed: columns, rows, rows_left, statements, calls, mean_ms, share, indexes_on_table, table_writes, planned.
    """
    catalog = evidence.get(Catalog)
    reviewed_tables(catalog)
    found, unknown = [], 0
    filters = list(_filters(evidence))
    for entry in filters:
        if entry.rows_left is None:
            unknown += 1
        elif entry.rows_left < evidence.limit("seq_scan_selectivity") * entry.rows and not _served(evidence, entry):
            planned = _planned(evidence, entry)
            if planned is not False:
                found.append(msgspec.structs.replace(entry, planned=bool(planned)))
    for group in _same_index(found):
        yield _finding(evidence, group)
    yield Examined(len(filters) - unknown, len(filters), "filters of large tables", _gap(evidence, unknown))


def _filters(evidence: Evidence) -> Iterator[_Filter]:
    """Each statement that ran with each large table that it filters by equality."""
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    statistics = evidence.find(PlannerStatistics)
    for pattern in patterns.workload(evidence):
        statement = statements.by_id.get(pattern.query_id or "")
        if statement is None or pattern.verb not in {"select", "update", "delete"}:
            continue
        for oid in dict.fromkeys(pattern.tables):
            table = catalog.table_by_oid.get(oid)
            if table is None or not is_reviewed(table) or not (names := equality_columns(pattern, oid)):
                continue
            rows = estimated_rows(evidence, table)
            if rows is None or rows < evidence.limit("seq_scan_rows"):
                continue
            columns = [column for name in names if (column := catalog.column_named(oid, name))]
            shares = {column.name: _share(catalog, statistics, column, rows) for column in columns}
            known = [share for share in shares.values() if share is not None]
            equal = sorted(shares, key=lambda name: 1.0 if shares[name] is None else shares[name] or 0.0)
            yield _Filter(
                table,
                pattern,
                statement,
                tuple(equal),
                _range_or_sort(pattern, oid),
                rows,
                min(known) * rows if known else None,
            )


def _share(catalog: Catalog, statistics: PlannerStatistics | None, column: Column, rows: float) -> float | None:
    """Share of the rows that one value of the column leaves on average; None if nothing is known of its values."""
    for index in catalog.indexes_of(column.table):
        if index.unique and index.valid and index.predicate is None and index.columns == (column.number,):
            return 1 / rows
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


def _served(evidence: Evidence, entry: _Filter) -> bool:
    """Whether some index leads with a compared column, unless that column alone leaves too much of the table."""
    catalog = evidence.get(Catalog)
    return any(_serves(evidence, index, entry) for index in catalog.indexes_of(entry.table.oid))


def _serves(evidence: Evidence, index: Index, entry: _Filter) -> bool:
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    compared = {item.column.column for item in _comparisons(entry.pattern, entry.table.oid)}
    ranges = {item.column.column for item in _comparisons(entry.pattern, entry.table.oid) if item.operator in _RANGE}
    keys = [catalog.column(index.table, number).name if number else None for number in index.columns]
    if not is_usable(index) or not _predicate_may_hold(evidence, index, compared):
        return False
    if index.method == "hash":
        return keys[0] in entry.equal
    if index.method == "brin":
        return not compared.isdisjoint(key for key in keys if key)
    if index.method == "gist":
        return keys[0] in compared and index.keys[0].operator_class.startswith("gist_")
    if index.method != "btree" or keys[0] not in compared:
        return False
    if keys[0] not in entry.equal:
        return keys[0] in ranges and not index.keys[0].operator_class.endswith("_pattern_ops")
    share = 1.0
    for key, number in zip(keys, index.columns, strict=True):
        if key not in entry.equal:
            return True if key in ranges else share < evidence.limit("seq_scan_selectivity")
        known = _share(catalog, statistics, catalog.column(index.table, number), entry.rows)
        if known is None:
            return True
        share *= known
    return share < evidence.limit("seq_scan_selectivity")


def _predicate_may_hold(evidence: Evidence, index: Index, compared: set[str]) -> bool:
    """Whether the comparisons imply the index's predicate; one over the same columns that is being used is believed to."""
    if index.predicate is None:
        return True
    catalog = evidence.get(Catalog)
    if (
        index.predicate_not_null
        and {catalog.column(index.table, one).name for one in index.predicate_not_null} <= compared
    ):
        return True
    mentioned = any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", index.predicate) for name in compared)
    return mentioned and bool(scans(evidence, index))


def _planned(evidence: Evidence, entry: _Filter) -> bool | None:
    """Whether the statement's plan reads the table by sequential scan; None if it has no plan."""
    plans = evidence.find(Plans)
    plan = plans.by_id.get(entry.statement.query_id) if plans else None
    if plan is None:
        return None
    parts = {(entry.table.schema, entry.table.name)}
    parts |= {(leaf.schema, leaf.name) for leaf in leaves(evidence.get(Catalog), entry.table)}
    return any(
        node.node_type.endswith("Seq Scan") and (node.schema, node.relation) in parts for node in plan.root.walk()
    )


def _same_index(found: Iterable[_Filter]) -> list[list[_Filter]]:
    """Filters that one index would serve, the one with most columns first: a shorter list joins a longer that it begins."""
    groups: dict[tuple[int, tuple[str, ...]], list[_Filter]] = {}
    for entry in sorted(found, key=lambda entry: (-len(entry.columns), entry.columns, entry.statement.query_id)):
        match = next(
            (key for key in groups if key[0] == entry.table.oid and key[1][: len(entry.columns)] == entry.columns),
            (entry.table.oid, entry.columns),
        )
        groups.setdefault(match, []).append(entry)
    return list(groups.values())


def _finding(evidence: Evidence, group: list[_Filter]) -> Finding:
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    first, columns = group[0], group[0].columns
    ran = sorted({entry.statement.query_id: entry.statement for entry in group}.values(), key=lambda one: -one.total_ms)
    calls, total_ms = sum(one.calls for one in ran), sum(one.total_ms for one in ran)
    share = sum(statements.share(one) for one in ran)
    usage = evidence.find(Usage)
    counted = usage.table_by_oid.get(first.table.oid) if usage else None
    severity = Severity.HIGH if share >= _HIGH_SHARE else Severity.MEDIUM if calls >= _FEW_CALLS else Severity.LOW
    planned = any(entry.planned for entry in group)
    return Finding(
        first.table.subject,
        f"No index of {first.table.subject.name} serves the filter on ({column_list(columns)})",
        _fix(evidence, first.table, columns),
        severity=severity,
        confidence=Confidence.MEASURED if planned else Confidence.INFERRED,
        observed={
            "columns": list(columns),
            "rows": round(first.rows),
            "rows_left": round(min(entry.rows_left or 0.0 for entry in group), 1),
            "statements": [one.query_id for one in ran][:_STATEMENTS_SHOWN],
            "calls": calls,
            "mean_ms": round(total_ms / calls, 3) if calls else None,
            "share": round(share, 4),
            "indexes_on_table": len(catalog.indexes_of(first.table.oid)),
            "table_writes": counted.inserted + counted.updated + counted.deleted if counted else None,
            "planned": planned,
        },
        locations=_places(evidence, group),
        discriminator=",".join(columns),
    )


def _places(evidence: Evidence, group: list[_Filter]) -> tuple[Location, ...]:
    """Where the code sends these statements from, of the costliest first."""
    ordered = sorted(group, key=lambda entry: -entry.statement.total_ms)
    return tuple(dict.fromkeys(place for entry in ordered for place in statement_places(evidence, entry.pattern)))


def _fix(evidence: Evidence, table: Table, columns: tuple[str, ...]) -> Fix:
    catalog = evidence.get(Catalog)
    name, index = qualified_name(table.schema, table.name), new_name(catalog, table.schema, table.name, *columns, "idx")
    numbers = {column.number for one in columns if (column := catalog.column_named(table.oid, one))}
    keys = [
        key
        for key in catalog.constraints_of(table.oid)
        if key.kind == "foreign_key" and set(key.columns) <= numbers and not covering_index(catalog, key)
    ]
    summary = "Create an index with the columns compared for equality first."
    if keys:
        summary += f" It serves the foreign key {catalog.constraint_subject(keys[0]).name} too."
    partitioned = table.kind == "partitioned"
    how = "" if partitioned else " CONCURRENTLY"
    return Fix(
        summary,
        f"CREATE INDEX{how} {quote_identifier(index)} ON {name} ({column_list(columns)});",
        lock="SHARE" if partitioned else "SHARE UPDATE EXCLUSIVE",
        undo=f"DROP INDEX{how} {qualified_name(table.schema, index)};",
    )


def _gap(evidence: Evidence, unknown: int) -> Unobserved | None:
    """Why part of the filters could not be judged."""
    if evidence.get(Statements).hidden:
        return Unobserved(Reason.NOT_PERMITTED, f"GRANT pg_read_all_stats TO {user_name(evidence)};")
    if not unknown:
        return None
    if gap := evidence.gap(PlannerStatistics):
        return gap
    statistics = evidence.get(PlannerStatistics)
    if statistics.hidden_tables:
        return Unobserved(Reason.NOT_PERMITTED, f"GRANT pg_read_all_data TO {user_name(evidence)};")
    return Unobserved(Reason.NOT_RUN, "ANALYZE the tables that never were")
