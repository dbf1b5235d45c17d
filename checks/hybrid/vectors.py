"""Vector columns, and the indexes that could be built on them."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, Column, PlannerStatistics, Table
from checks.evidence.evidence import Evidence
from checks.hybrid.searches import ANN_METHODS, OPERATOR_OF_CLASS
from checks.model import NotApplicable, qualified_name, quote_identifier
from checks.relations import estimated_rows, is_of_the_application, new_name

VECTOR_TYPES = frozenset({"vector", "halfvec", "sparsevec"})
CLASS_OF_OPERATOR = {operator: suffix for suffix, operator in OPERATOR_OF_CLASS.items()}
DISTANCE_NAMES = {
    "<->": "Euclidean distance", "<#>": "inner product", "<=>": "cosine distance", "<+>": "taxicab distance",
    "<~>": "Hamming distance", "<%>": "Jaccard distance",
}  # fmt: skip
INDEXED_DIMENSIONS = {"vector": 2_000, "halfvec": 4_000, "bit": 64_000}


def vector_columns(catalog: Catalog) -> list[tuple[Table, Column]]:
    """Vector columns of tables, of partitioned tables once; bit strings if a vector index is on them. Raises NotApplicable if
    there is none."""
    found = [
        (table, column)
        for column in catalog.columns
        if (column.base_type in VECTOR_TYPES or (column.base_type == "bit" and _searched_as_bits(catalog, column)))
        and (table := catalog.table_by_oid.get(column.table)) is not None
        and table.kind in {"table", "partitioned", "materialized_view"}
        and not table.is_partition
        and is_of_the_application(table)
    ]
    if not found:
        raise NotApplicable("no table has a vector column")
    return found


def _searched_as_bits(catalog: Catalog, column: Column) -> bool:
    return any(
        index.method in ANN_METHODS and any(key.column == column.number for key in index.keys)
        for index in catalog.indexes_of(column.table)
    )


def filled_rows(evidence: Evidence, table: Table, column: Column) -> float | None:
    """Rows that have a vector, as the planner's statistics know it; None if nothing is known of the table's rows."""
    rows = estimated_rows(evidence, table)
    statistics = evidence.find(PlannerStatistics)
    known = statistics.by_column.get((table.oid, column.number)) if statistics else None
    return rows if rows is None or known is None else rows * (1 - known.null_share)


def is_left_empty(evidence: Evidence, table: Table, column: Column) -> bool:
    """Whether no row has this vector and every row there is has room for another of other dimensions, which some have: tables
    keep a column for each model that could be used, and fill those in use."""
    filled = filled_rows(evidence, table, column)
    if filled is None or filled >= 1 or dimensions(column) is None:
        return False
    return any(
        other.table == column.table
        and other.number != column.number
        and dimensions(other) not in {None, dimensions(column)}
        and (filled_rows(evidence, table, other) or 0) >= 1
        for _, other in vector_columns(evidence.get(Catalog))
    )


def dimensions(column: Column) -> int | None:
    """Declared dimensions, None if the column takes vectors of any."""
    return column.type_modifier if column.type_modifier > 0 else None


def index_sql(catalog: Catalog, table: Table, column: Column, operator: str) -> str | None:
    """CREATE INDEX for searches by that operator; None if the column cannot be indexed as it is."""
    count, suffix = dimensions(column), CLASS_OF_OPERATOR[operator]
    name, base = quote_identifier(column.name), column.base_type
    if base == "sparsevec":
        key, kind = name, "sparsevec"
    elif count is None or count > INDEXED_DIMENSIONS["halfvec"]:
        return None
    elif count <= INDEXED_DIMENSIONS.get(base, 0):
        key, kind = name, base
    else:
        key, kind = f"({name}::halfvec({count}))", "halfvec"
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    relation, index = (
        qualified_name(table.schema, table.name),
        quote_identifier(_index_name(catalog, table, column, operator)),
    )
    return f"CREATE INDEX {concurrently}{index} ON {relation} USING hnsw ({key} {kind}_{suffix});"


def index_lock(table: Table) -> str:
    """The lock that `index_sql` takes: a partitioned table cannot be indexed concurrently."""
    return "SHARE" if table.kind == "partitioned" else "SHARE UPDATE EXCLUSIVE"


def index_undo(catalog: Catalog, table: Table, column: Column, operator: str) -> str:
    """How to drop what `index_sql` makes."""
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    return f"DROP INDEX {concurrently}{qualified_name(table.schema, _index_name(catalog, table, column, operator))};"


def _index_name(catalog: Catalog, table: Table, column: Column, operator: str) -> str:
    return new_name(
        catalog, table.schema, table.name, column.name, CLASS_OF_OPERATOR[operator].removesuffix("_ops"), "idx"
    )
