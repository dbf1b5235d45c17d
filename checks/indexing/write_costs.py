"""What a proposed index would cost whoever writes to its table."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, PlannerStatistics, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.indexing.proposals import Candidate
from checks.relations import column_list, leaves

# An IndexTuple's header, its line pointer and, on average, padding; CREATE INDEX leaves a tenth of each page free.
_TUPLE_BYTES = 12
_FILL = 0.9
_MANY_INDEXES = 10


class WriteCost(msgspec.Struct, frozen=True):
    """What an index costs beside its benefit. `indexes` the table has already; `writes` are rows inserted, updated and deleted
    in the window, None where they were not counted; `hot_share` (0 to 1) of updates were heap-only; `blocks_hot` names key
    columns that UPDATE statements of the workload set and no index holds yet: those updates would no longer be heap-only.
    `bytes` is an estimate, None where the width of a key is unknown or the method is no B-tree. `method` is the index's."""

    indexes: int
    writes: int | None = None
    hot_share: float | None = None
    blocks_hot: tuple[str, ...] = ()
    bytes: int | None = None
    method: str = "btree"


def write_cost(evidence: Evidence, candidate: Candidate) -> WriteCost:
    """What the index would cost the table's writers."""
    catalog, usage = evidence.get(Catalog), evidence.find(Usage)
    table = catalog.table_by_oid[candidate.table]
    parts = [entry for leaf in leaves(catalog, table) if usage and (entry := usage.table_by_oid.get(leaf.oid))]
    updated = sum(part.updated for part in parts)
    return WriteCost(
        len(catalog.indexes_of(table.oid)),
        sum(part.inserted + part.updated + part.deleted for part in parts) if parts else None,
        round(sum(part.hot_updated for part in parts) / updated, 3) if updated else None,
        _blocks_hot(evidence, candidate),
        _estimated_bytes(evidence, candidate),
        candidate.method,
    )


def _blocks_hot(evidence: Evidence, candidate: Candidate) -> tuple[str, ...]:
    if candidate.method == "brin":
        return ()
    catalog = evidence.get(Catalog)
    held = {
        number
        for index in catalog.indexes_of(candidate.table)
        if index.method != "brin"
        for number in (*index.columns, *index.included)
    }
    new = {
        name
        for name in (*candidate.columns, *candidate.included)
        if (column := catalog.column_named(candidate.table, name)) and column.number not in held
    }
    written = {
        entry.column
        for pattern in workload(evidence)
        if pattern.verb == "update"
        for entry in pattern.written_columns
        if entry.table == candidate.table
    }
    return tuple(sorted(new & written))


def _estimated_bytes(evidence: Evidence, candidate: Candidate) -> int | None:
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    rows = candidate.needs[0].rows
    if candidate.method != "btree" or statistics is None or rows is None or candidate.predicate:
        return None
    width = 0
    for name in (*candidate.columns, *candidate.included):
        column = catalog.column_named(candidate.table, name)
        entry = statistics.by_column.get((column.table, column.number)) if column else None
        if entry is None:
            return None
        width += entry.average_width
    return round(rows * (_TUPLE_BYTES + (width + 7) // 8 * 8) / _FILL)


def cost_in_words(cost: WriteCost) -> str:
    """A sentence to follow the advice, empty where the index has nothing against it."""
    against = []
    if cost.indexes >= _MANY_INDEXES:
        against.append(f"the table has {cost.indexes} indexes already")
    if cost.blocks_hot:
        against.append(f"updates of {column_list(cost.blocks_hot)} will no longer be heap-only")
    if cost.method == "gin" and cost.writes:
        against.append(f"GIN takes many entries for each row written, and {cost.writes:,} were")
    return f" Against it: {', and '.join(against)}." if against else ""
