"""Which indexes can find the rows that refer to a parent row."""

from __future__ import annotations

from collections.abc import Sequence

from checks.evidence.database.facts import Catalog, Constraint, Index, PlannerStatistics, Table
from checks.relations import is_usable, keys_of, leaves

_FEW_ROWS = 100


def covering_index(
    catalog: Catalog, key: Constraint, statistics: PlannerStatistics | None = None, rows: float | None = None
) -> Index | None:
    """An index that serves `WHERE fk_column = $1 AND ...` over the whole referencing table, if there is one.

    Its leading keys are the foreign key's columns in any order, or some of them that already leave few rows or refer to a
    parent by themselves; of a partitioned table it is the partitioned index or one that every partition has.
    """
    table = catalog.table_by_oid[key.table]
    for index in catalog.indexes_of(table.oid):
        if covers_key(catalog, index, key, statistics, rows):
            return index
    if table.kind != "partitioned":
        return None
    found = [_covering_of_leaf(catalog, table, leaf, key) for leaf in leaves(catalog, table)]
    return found[0] if found and all(found) else None


def _covering_of_leaf(catalog: Catalog, table: Table, leaf: Table, key: Constraint) -> Index | None:
    ways = []
    for way in _ways(catalog, key):
        names = [catalog.column(table.oid, number).name for number in way]
        ways.append([column.number for name in names if (column := catalog.column_named(leaf.oid, name))])
    indexes = catalog.indexes_of(leaf.oid)
    return next((index for index in indexes if any(covers(catalog, index, way) for way in ways)), None)


def covers_key(
    catalog: Catalog,
    index: Index,
    key: Constraint,
    statistics: PlannerStatistics | None = None,
    rows: float | None = None,
) -> bool:
    """Whether the index finds the rows that refer to one parent by that foreign key, and hardly any others."""
    return any(covers(catalog, index, way, statistics, rows) for way in _ways(catalog, key))


def _ways(catalog: Catalog, key: Constraint) -> list[list[int]]:
    """The columns of the foreign key, and those among them that refer to a key of the parent alone: a child's (order_id,
    tenant_id) is found by order_id where that is unique among the parents."""
    own = dict(zip(key.referenced_columns, key.columns, strict=True))
    narrower = [
        [own[number] for number in index.columns]
        for index in keys_of(catalog, key.referenced_table or 0)
        if set(index.columns) < own.keys()
    ]
    return [list(key.columns), *narrower]


def covers(
    catalog: Catalog,
    index: Index,
    columns: Sequence[int],
    statistics: PlannerStatistics | None = None,
    rows: float | None = None,
) -> bool:
    """Whether the planner can use the index to compare all of `columns` for equality, or enough of them."""
    if not is_usable(index) or (index.predicate is not None and not _only_not_null(index, columns)):
        return False
    if index.method == "hash":
        return list(index.columns) == list(columns) and _equality(catalog, index, 0)
    if index.method not in {"btree", "gist"}:
        return False
    leading = []
    for position, number in enumerate(index.columns):
        if number not in columns or not _equality(catalog, index, position):
            break
        leading.append(number)
    if set(leading) == set(columns):
        return True
    if index.unique and len(leading) == len(index.keys):
        return True
    return bool(leading) and index.method == "btree" and _leaves_few(leading, index.table, statistics, rows)


def _only_not_null(index: Index, columns: Sequence[int]) -> bool:
    return bool(index.predicate_not_null) and set(index.predicate_not_null) <= set(columns)


def _equality(catalog: Catalog, index: Index, position: int) -> bool:
    """Whether that key compares as the column does: any b-tree operator class, but only the column's own collation."""
    key = index.keys[position]
    if index.method == "gist" and not key.operator_class.startswith("gist_"):
        return False
    return collation(key.collation) == collation(catalog.column(index.table, key.column).collation)


def collation(name: str | None) -> str | None:
    """None for the database's default collation, however it is spelled."""
    return None if name in {None, "", "default", "pg_catalog.default"} else name


def _leaves_few(columns: Sequence[int], table: int, statistics: PlannerStatistics | None, rows: float | None) -> bool:
    """Whether one value of some column leaves a handful of rows, as a column that is nearly unique does."""
    if statistics is None or rows is None:
        return False
    for number in columns:
        entry = statistics.by_column.get((table, number))
        if entry is None:
            continue
        distinct = entry.distinct if entry.distinct > 0 else -entry.distinct * rows
        if distinct >= 1 and rows / distinct <= _FEW_ROWS and (entry.common_share or 0.0) * rows <= _FEW_ROWS:
            return True
    return False
