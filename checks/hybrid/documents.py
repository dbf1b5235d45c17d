"""Columns that hold JSON documents."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.patterns import Comparison
from checks.relations import is_reviewed


def document_columns(catalog: Catalog, base_type: str) -> list[tuple[Table, Column]]:
    """Columns of that type (`json`, `jsonb`) in tables of the application, of partitioned tables once."""
    return [
        (table, column)
        for column in catalog.columns
        if column.base_type == base_type
        and (table := catalog.table_by_oid.get(column.table)) is not None
        and is_reviewed(table)
    ]


def compares(catalog: Catalog, comparison: Comparison, column: Column) -> bool:
    """Whether the comparison is about that column, be it of the table or of one of its partitions."""
    table = catalog.table_by_oid.get(comparison.column.table or 0)
    return table is not None and comparison.column.column == column.name and column.table in {table.oid, table.root}


def gin_indexes(catalog: Catalog, column: Column) -> list[Index]:
    """Valid GIN indexes with the whole column among their keys."""
    return [
        index
        for index in catalog.indexes_of(column.table)
        if index.method == "gin" and index.valid and column.number in index.columns
    ]
