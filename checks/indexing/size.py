"""Are indexes larger than they have to be, or soon will be?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, PlannerStatistics, Server, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.indexing.storage import needed_bytes
from checks.model import Confidence, Examined, Finding, Fix, Severity, qualified_name
from checks.registry import check
from checks.relations import estimated_rows, is_usable, leaves, reviewed_indexes, reviewed_tables, size_bytes

# nbtree leaves these alone: equal values may look different (numeric, float, jsonb), or hold others (arrays, composites, ranges).
_NOT_SHARED = frozenset({"numeric", "float4", "float8", "jsonb"})
_NOT_SHARED_CATEGORIES = frozenset({"A", "C", "R"})
_ROWS_PER_VALUE = 10
# Entries shared by ten rows and more take less than half of what they take apart.
_AS_IF_APART = 0.8
_SHARED = 0.4
_MONTH_DAYS = 30.0


@check(
    "indexing.index-without-deduplication", catalogue="I39", severity=Severity.LOW, needs=[Catalog, PlannerStatistics]
)
@once_per_family
def index_without_deduplication(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A B-tree of few distinct values is as large as if each row had an entry to itself.

    Since PostgreSQL 13 rows with an equal key share one entry, which makes such an index two to three times smaller. One that was
    built before, and came here by pg_upgrade, does not until it is built anew; nor does one with deduplicate_items off.

    Fix: REINDEX INDEX CONCURRENTLY.

    Example: an index on orders (status), of 50 million rows and six values, takes 1.1 GB; built anew it takes 340 MB.

    Source: PostgreSQL manual, "B-Tree Indexes", section "Deduplication"

    Observed: table, size_bytes, rebuilt_bytes, rows_per_value, switched_off.
    """
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    indexes = [index for index in reviewed_indexes(catalog) if _could_share(catalog, index)]
    known = 0
    for index in indexes:
        apart, entry = needed_bytes(evidence, index), statistics.by_column.get((index.table, index.columns[0]))
        size, rows = index.size_bytes or 0, index.rows or 0.0
        if apart is None or entry is None:
            continue
        known += 1
        values = entry.distinct if entry.distinct > 0 else -entry.distinct * rows
        per_value = rows / (values + (rows * entry.null_share > 1)) if values >= 1 else rows
        off = index.options.get("deduplicate_items", "").lower() in {"off", "false", "0", "no"}
        bloated = size - apart >= evidence.limit("large_index_bytes") and 1 - apart / size >= evidence.limit(
            "index_bloat_share"
        )
        if per_value < _ROWS_PER_VALUE or bloated or size < evidence.limit("large_index_bytes"):
            continue
        if not off and size < _AS_IF_APART * apart:
            continue
        name = qualified_name(index.schema, index.name)
        switch = f"ALTER INDEX {name} RESET (deduplicate_items); " if off else ""
        yield Finding(
            index.subject,
            f"Index {index.subject.name} ({bytes_in_words(size)}) shares no entries among {per_value:,.0f} rows for each value",
            Fix(
                "Build it anew; that needs room for both meanwhile.",
                f"{switch}REINDEX INDEX CONCURRENTLY {name};",
                lock="SHARE UPDATE EXCLUSIVE",
                undo="There is nothing to undo.",
            ),
            confidence=Confidence.MEASURED if off else Confidence.INFERRED,
            observed={
                "table": catalog.table_by_oid[index.table].subject.name,
                "size_bytes": size,
                "rebuilt_bytes": round(apart * _SHARED),
                "rows_per_value": round(per_value),
                "switched_off": off,
            },
            related=(catalog.table_by_oid[index.table].subject,),
        )
    yield Examined(known, len(indexes), "single-column B-trees that are not unique", evidence.gap(PlannerStatistics))


def _could_share(catalog: Catalog, index: Index) -> bool:
    if index.method != "btree" or len(index.keys) != 1 or not index.columns[0] or not is_usable(index):
        return False
    if index.unique or index.included or index.predicate is not None:
        return False
    column = catalog.column(index.table, index.columns[0])
    return column.base_type not in _NOT_SHARED and column.type_category not in _NOT_SHARED_CATEGORIES


@check("indexing.fast-growing-index", catalogue="I36", severity=Severity.NOTE, needs=[Catalog, Usage, Server],
       window="window_days")  # fmt: skip
@once_per_family
def fast_growing_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large index doubles within a month, at the pace at which rows came since statistics began.

    It is no defect, and the time to think of partitions, of a retention, or of a narrower index is before it no longer fits in
    memory. Of a table that grows so, the largest index is named.

    Fix: Say how long rows are needed, and partition by that; see whether all of its columns are.

    Example: messages_pkey, 4 GB, after a week in which a third of the rows came.

    Source: PostgreSQL manual, "Table Partitioning"; "The Cumulative Statistics System", pg_stat_all_tables

    Observed: table, size_bytes, bytes_per_day, all_indexes_bytes_per_day, rows_per_day, doubles_in_days.
    """
    days = evidence.require_window("window_days")
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    tables = reviewed_tables(catalog)
    for table in tables:
        rows = estimated_rows(evidence, table)
        counted = [entry for leaf in leaves(catalog, table) if (entry := usage.table_by_oid.get(leaf.oid))]
        came = sum(entry.inserted - entry.deleted for entry in counted) / max(days, 1.0)
        indexes = [index for index in catalog.indexes_of(table.oid) if index.extension is None]
        if not rows or came <= 0 or not indexes or came * _MONTH_DAYS < rows:
            continue
        largest = max(indexes, key=lambda index: (size_bytes(catalog, index), -index.oid))
        size = size_bytes(catalog, largest)
        if size < 10 * evidence.limit("large_index_bytes"):
            continue
        yield Finding(
            largest.subject,
            f"Index {largest.subject.name} ({bytes_in_words(size)}) grows by {bytes_in_words(size * came / rows)} a day",
            Fix(
                "Decide how long its rows are needed, and partition by that; leave out of it what no statement narrows by."
            ),
            confidence=Confidence.INFERRED,
            observed={
                "table": table.subject.name,
                "size_bytes": size,
                "bytes_per_day": round(size * came / rows),
                "all_indexes_bytes_per_day": round(sum(size_bytes(catalog, index) for index in indexes) * came / rows),
                "rows_per_day": round(came),
                "doubles_in_days": round(rows / came, 1),
            },
            related=(table.subject,),
        )
    yield Examined(len(tables), len(tables), "tables")
