"""Does the workload find its rows by an index?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.evidence.database.facts import Catalog, PlannerStatistics, Statements, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.coverage import covering_index
from checks.indexing.filters import Filter, filters_of_large_tables, is_served, planned_as_scan
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Reason,
    Severity,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import column_list, new_name, reviewed_tables, user_name
from checks.workload import statement_places

_STATEMENTS_SHOWN = 5
_HIGH_SHARE = 0.05
_FEW_CALLS = 10


@check("indexing.missing-index", catalogue="I19", severity=Severity.MEDIUM, needs=[Catalog, Statements])
@once_per_family
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
    reviewed_tables(evidence.get(Catalog))
    filters = list(filters_of_large_tables(evidence))
    if not filters and not evidence.get(Statements).hidden:
        raise NotApplicable("no statement that ran filters a large table by equality")
    known = [entry for entry in filters if entry.rows_left is not None]
    found = [
        entry
        for entry in known
        if (entry.rows_left or 0.0) < evidence.limit("seq_scan_selectivity") * entry.rows
        and not is_served(evidence, entry)
        and planned_as_scan(evidence, entry) is not False
    ]
    for group in _same_index(found):
        yield _finding(evidence, group)
    gap = _gap(evidence, len(filters) - len(known))
    yield Examined(len(known), len(filters), "filters of large tables", gap)


def _same_index(found: Iterable[Filter]) -> list[list[Filter]]:
    """Filters that one index would serve, the one with most columns first: a shorter list joins a longer that it begins."""
    groups: dict[tuple[int, tuple[str, ...]], list[Filter]] = {}
    for entry in sorted(found, key=lambda entry: (-len(entry.columns), entry.columns, entry.statement.query_id)):
        match = next(
            (key for key in groups if key[0] == entry.table.oid and key[1][: len(entry.columns)] == entry.columns),
            (entry.table.oid, entry.columns),
        )
        groups.setdefault(match, []).append(entry)
    return list(groups.values())


def _finding(evidence: Evidence, group: list[Filter]) -> Finding:
    catalog, statements, usage = evidence.get(Catalog), evidence.get(Statements), evidence.find(Usage)
    table, columns = group[0].table, group[0].columns
    ran = sorted({entry.statement.query_id: entry.statement for entry in group}.values(), key=lambda one: -one.total_ms)
    calls, total_ms = sum(one.calls for one in ran), sum(one.total_ms for one in ran)
    share = sum(statements.share(one) for one in ran)
    counted = usage.table_by_oid.get(table.oid) if usage else None
    severity = Severity.HIGH if share >= _HIGH_SHARE else Severity.MEDIUM if calls >= _FEW_CALLS else Severity.LOW
    planned = any(planned_as_scan(evidence, entry) for entry in group)
    return Finding(
        table.subject,
        f"No index of {table.subject.name} serves the filter on ({column_list(columns)})",
        _fix(evidence, table, columns),
        severity=severity,
        confidence=Confidence.MEASURED if planned else Confidence.INFERRED,
        observed={
            "columns": list(columns),
            "rows": round(group[0].rows),
            "rows_left": round(min(entry.rows_left or 0.0 for entry in group), 1),
            "statements": [one.query_id for one in ran][:_STATEMENTS_SHOWN],
            "calls": calls,
            "mean_ms": round(total_ms / calls, 3) if calls else None,
            "share": round(share, 4),
            "indexes_on_table": len(catalog.indexes_of(table.oid)),
            "table_writes": counted.inserted + counted.updated + counted.deleted if counted else None,
            "planned": planned,
        },
        locations=_places(evidence, group),
        discriminator=",".join(columns),
    )


def _places(evidence: Evidence, group: list[Filter]) -> tuple[Location, ...]:
    """Where the code sends these statements from, of the costliest first."""
    ordered = sorted(group, key=lambda entry: -entry.statement.total_ms)
    return tuple(dict.fromkeys(place for entry in ordered for place in statement_places(evidence, entry.pattern)))


def _fix(evidence: Evidence, table: Table, columns: tuple[str, ...]) -> Fix:
    catalog = evidence.get(Catalog)
    name, index = qualified_name(table.schema, table.name), new_name(catalog, table.schema, table.name, *columns, "idx")
    numbers = [column.number for one in columns if (column := catalog.column_named(table.oid, one))]
    keys = [
        key
        for key in catalog.constraints_of(table.oid)
        if key.kind == "foreign_key"
        and set(numbers[: len(key.columns)]) == set(key.columns)
        and not covering_index(catalog, key)
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
    if evidence.get(PlannerStatistics).hidden_tables:
        return Unobserved(Reason.NOT_PERMITTED, f"GRANT pg_read_all_data TO {user_name(evidence)};")
    return Unobserved(Reason.NOT_RUN, "ANALYZE the tables that never were")
