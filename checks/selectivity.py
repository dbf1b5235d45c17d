"""How many rows a comparison leaves, by the planner's own statistics."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, ColumnStatistics, PlannerStatistics
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.workload import equality_columns


def rows_left_by_equalities(evidence: Evidence, pattern: AccessPattern, table: int, rows: float) -> float | None:
    """Rows of `table` that the most selective `column = value` of the statement leaves on average.

    None if it compares no plain column of that table for equality, or nothing is known of those columns' values.
    """
    catalog = evidence.get(Catalog)
    statistics = evidence.find(PlannerStatistics)
    left: list[float] = []
    for name in equality_columns(pattern, table):
        column = catalog.column_named(table, name)
        if column is None:
            continue
        if _is_unique(catalog, table, column.number):
            left.append(1.0)
        elif statistics and (entry := statistics.by_column.get((table, column.number))):
            left.append(rows * equal_share(entry, rows))
    return min(left) if left else None


def equal_share(entry: ColumnStatistics, rows: float) -> float:
    """Share of the rows that hold one value, on average; n_distinct below zero is minus a share of the rows."""
    distinct = entry.distinct if entry.distinct > 0 else -entry.distinct * rows
    return (1 - entry.null_share) / distinct if distinct >= 1 else 1.0


def _is_unique(catalog: Catalog, table: int, column: int) -> bool:
    return any(
        index.unique and index.valid and index.columns == (column,) and index.predicate is None
        for index in catalog.indexes_of(table)
    )
