"""What do indexes cost whoever writes?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Index, Server, Statements, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.indexing.duplicates import drop_index, is_needed
from checks.indexing.usage import counted_entries, may_be_unused, nodes_asked, unseen_nodes, window_of
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity
from checks.registry import check
from checks.relations import is_usable, leaves, reviewed_indexes, reviewed_tables, size_bytes
from checks.workload import unread_statements

_BUSY_UPDATES = 100_000
_BUDGETED_HEAP_BYTES = 100 * 1024**2


class _Writes(msgspec.Struct, frozen=True):
    inserted: int
    updated: int
    hot_updated: int
    deleted: int

    @property
    def of_indexes(self) -> int:
        """Row versions that each index of the table had to take in."""
        return self.inserted + self.updated - self.hot_updated


def _writes(evidence: Evidence, table: Table) -> _Writes:
    usage, catalog = evidence.get(Usage), evidence.get(Catalog)
    parts = [entry for leaf in leaves(catalog, table) if (entry := usage.table_by_oid.get(leaf.oid))]
    return _Writes(
        sum(part.inserted for part in parts),
        sum(part.updated for part in parts),
        sum(part.hot_updated for part in parts),
        sum(part.deleted for part in parts),
    )


@check("indexing.rarely-used-index", catalogue="I07", severity=Severity.LOW, needs=[Server, Catalog, Usage],
       window="window_days")  # fmt: skip
@once_per_family
def rarely_used_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large index is written a thousand times for each time it is read.

    It is not unused, so somebody may need it: a report at the end of the month, a screen that few people open. But every write of
    the table pays for it. The scans of all nodes are counted together.

    Fix: Find the statement that reads it, and ask whether that one may be slower, or may run elsewhere.

    Example: an index of 3 GB, written 40 million times in a month and read 12 times, for a report.

    Source: PostgreSQL manual, "The Cumulative Statistics System", pg_stat_all_indexes

    Observed: table, size_bytes, scans, table_writes, window_days, nodes.
    """
    catalog, nodes = evidence.get(Catalog), nodes_asked(evidence)
    evidence.require_window("window_days")
    window = min(window_of(evidence, node, "window_days") for node in nodes)
    found = [index for index in reviewed_indexes(catalog) if may_be_unused(catalog, index)]
    if gap := unseen_nodes(evidence, nodes):
        yield Examined(0, len(found), "indexes", gap)
        return
    for index in found:
        entries, size = counted_entries(catalog, index, nodes), size_bytes(catalog, index)
        if entries is None or size < evidence.limit("large_index_bytes"):
            continue
        table = catalog.table_by_oid[index.table]
        scanned, written = sum(entry.scans for entry in entries), _writes(evidence, table).of_indexes
        if not 0 < scanned < evidence.limit("rare_scans_share") * written:
            continue
        yield Finding(
            index.subject,
            f"Index {index.subject.name} ({bytes_in_words(size)}) was read {scanned:,} times and written {written:,} times",
            drop_index(catalog, index, "Find what reads it; drop it if that may do without."),
            observed={
                "table": table.subject.name,
                "size_bytes": size,
                "scans": scanned,
                "table_writes": written,
                "window_days": round(window, 1),
                "nodes": len(nodes),
            },
            related=(table.subject,),
        )
    yield Examined(len(found), len(found), "indexes")


@check("indexing.index-blocks-hot", catalogue="I21", severity=Severity.LOW, needs=[Server, Catalog, Usage, Statements],
       window="window_days")  # fmt: skip
@once_per_family
def index_blocks_hot(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index covers a column that statements update all the time.

    An update that changes no indexed column writes no index at all. Because this one holds a column that updates set, those
    updates write every index of the table, and leave dead entries in each. Setting the column to the value that it has already
    does no harm: what is reported is seen in the share of heap-only updates, which is low.

    Fix: Drop the index if little reads it; else leave the column out of it, or move the column into a table of its own.

    Example: an index on last_seen_at, which every request updates: no update of users is heap-only, and each writes all its
    indexes.

    Source: PostgreSQL manual, "Heap-Only Tuples (HOT)"

    Observed: table, columns, updates, hot_share, scans, indexes_on_table, statements.
    """
    evidence.require_window("window_days")
    catalog, usage, statements = evidence.get(Catalog), evidence.get(Usage), evidence.get(Statements)
    indexes = [index for index in reviewed_indexes(catalog) if is_usable(index) and index.method != "brin"]
    setters: dict[int, dict[str, list[str]]] = {}
    for pattern in workload(evidence):
        if pattern.verb == "update" and pattern.query_id in statements.by_id:
            for entry in pattern.written_columns:
                if entry.table is not None and pattern.query_id is not None:
                    setters.setdefault(entry.table, {}).setdefault(entry.column, []).append(pattern.query_id)
    for index in indexes:
        table = catalog.table_by_oid[index.table]
        held = {
            catalog.column(index.table, number).name
            for number in (*index.columns, *index.included, *(n for key in index.keys for n in key.expression_columns))
            if number
        }
        written = {name: ids for name, ids in setters.get(table.oid, {}).items() if name in held}
        counted = _writes(evidence, table)
        if is_needed(index) or not written or counted.updated < _BUSY_UPDATES:
            continue
        hot = counted.hot_updated / counted.updated
        by_these = sum(statements.by_id[one].rows for one in {one for ids in written.values() for one in ids})
        if hot >= evidence.limit("hot_share") or by_these < counted.updated / 4:
            continue
        used = usage.index_by_oid.get(index.oid)
        yield Finding(
            index.subject,
            f"Index {index.subject.name} holds {' and '.join(sorted(written)[:2])}, which updates set: {hot:.0%} of "
            f"{counted.updated:,} updates are heap-only",
            Fix("See how much it is read, and whether the column has to be in it; else drop it and build it without."),
            severity=Severity.MEDIUM if used is not None and used.scans < counted.updated / 1000 else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "table": table.subject.name,
                "columns": sorted(written),
                "updates": counted.updated,
                "hot_share": round(hot, 4),
                "scans": used.scans if used else None,
                "indexes_on_table": len(catalog.indexes_of(table.oid)),
                "statements": sorted({one for ids in written.values() for one in ids})[:5],
            },
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "indexes", unread_statements(evidence))


@check("indexing.too-many-indexes", catalogue="I22", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def too_many_indexes(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has very many indexes, or its indexes are much larger than itself.

    Every insert writes all of them, and so does every update that is not heap-only; planning considers each, and a statement
    locks each: from the sixteenth lock on, they no longer go by the fast path. Tables that are written in bulk feel it first.

    Fix: Drop what duplicates, what nothing reads, and what others begin with; merge what is left.

    Example: a table of documents with 26 indexes, one for each tag column: every insert writes 27 times.

    Source: PostgreSQL manual, "pg_locks" (fast path); "Indexes", introduction

    Observed: indexes, index_bytes, heap_bytes, unused, table_writes.
    """
    catalog, usage = evidence.get(Catalog), evidence.find(Usage)
    tables = [table for table in reviewed_tables(catalog) if catalog.indexes_of(table.oid)]
    if not tables:
        raise NotApplicable("no table has an index")
    for table in tables:
        indexes = [index for index in catalog.indexes_of(table.oid) if is_usable(index)]
        size = sum(
            size_bytes(catalog, index) for index in indexes if index.method in {"btree", "hash", "gin", "gist", "brin"}
        )
        heap = sum((part.heap_bytes or 0) + (part.toast_bytes or 0) for part in leaves(catalog, table))
        many = len(indexes) > evidence.limit("indexes_per_table")
        heavy = heap >= _BUDGETED_HEAP_BYTES and size > evidence.limit("index_to_heap") * heap
        if not (many or heavy):
            continue
        idle = [index for index in indexes if _idle(usage, index) and not is_needed(index)]
        title = f"Table {table.subject.name} has {len(indexes)} indexes"
        if heavy:
            title += f" of {bytes_in_words(size)}, {size / heap:.1f} times the table"
        yield Finding(
            table.subject,
            title,
            Fix("Go through them: what duplicates, what others begin with, what nothing reads; then merge the rest."),
            severity=Severity.MEDIUM if many and heavy else Severity.LOW,
            observed={
                "indexes": len(indexes),
                "index_bytes": size,
                "heap_bytes": heap,
                "unused": [index.name for index in idle][:10],
                "table_writes": _writes(evidence, table).of_indexes if usage else None,
            },
        )
    yield Examined(len(tables), len(tables), "tables with indexes")


def _idle(usage: Usage | None, index: Index) -> bool:
    entry = usage.index_by_oid.get(index.oid) if usage else None
    return entry is not None and entry.scans == 0
