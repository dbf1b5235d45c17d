"""Vector columns, the indexes on them, and the searches that the workload makes."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, Column, Index, IndexKey, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.model import NotApplicable, qualified_name, quote_identifier
from checks.relations import estimated_rows, is_of_the_application, new_name
from checks.selectivity import rows_left_by_equalities
from checks.workload import workload_seen

VECTOR_TYPES = frozenset({"vector", "halfvec", "sparsevec"})
ANN_METHODS = frozenset({"hnsw", "ivfflat", "diskann", "vchordrq", "vchordg", "scann"})
# pgvector's operators by what its operator classes end in.
OPERATOR_OF_CLASS = {
    "l2_ops": "<->", "ip_ops": "<#>", "cosine_ops": "<=>", "l1_ops": "<+>", "hamming_ops": "<~>", "jaccard_ops": "<%>",
}  # fmt: skip
CLASS_OF_OPERATOR = {operator: suffix for suffix, operator in OPERATOR_OF_CLASS.items()}
DISTANCE_NAMES = {
    "<->": "Euclidean distance", "<#>": "inner product", "<=>": "cosine distance", "<+>": "taxicab distance",
    "<~>": "Hamming distance", "<%>": "Jaccard distance",
}  # fmt: skip
INDEXED_DIMENSIONS = {"vector": 2_000, "halfvec": 4_000}


class Search(msgspec.Struct, frozen=True):
    """One statement that looks for the nearest vectors. `rows_left` are the rows of the table that its equality conditions
    leave, None if it has none or nothing is known of their values."""

    pattern: AccessPattern
    operator: str
    rows_left: float | None


def vector_columns(catalog: Catalog) -> list[tuple[Table, Column]]:
    """Vector columns of tables, of partitioned tables once. Raises NotApplicable if there is none."""
    found = [
        (table, column)
        for column in catalog.columns
        if column.base_type in VECTOR_TYPES
        and (table := catalog.table_by_oid.get(column.table)) is not None
        and table.kind in {"table", "partitioned", "materialized_view"}
        and not table.is_partition
        and is_of_the_application(table)
    ]
    if not found:
        raise NotApplicable("no table has a vector column")
    return found


def ann_indexes(catalog: Catalog, column: Column) -> list[Index]:
    """Valid indexes for approximate search over the column or an expression of it."""
    return [
        index
        for index in catalog.indexes_of(column.table)
        if index.method in ANN_METHODS and index.valid and any(_over(key, column) for key in index.keys)
    ]


def _over(key: IndexKey, column: Column) -> bool:
    return key.column == column.number or column.number in key.expression_columns


def index_operators(index: Index) -> set[str]:
    """Distance operators that the index serves, by its operator classes."""
    return {
        operator
        for key in index.keys
        for suffix, operator in OPERATOR_OF_CLASS.items()
        if key.operator_class.rpartition(".")[2].endswith(suffix)
    }


def searches_of(evidence: Evidence, column: Column) -> list[Search]:
    """Statements, run or only written, that order rows by a distance to the column or limit what a distance gives."""
    catalog = evidence.get(Catalog)
    rows = estimated_rows(evidence, catalog.table_by_oid[column.table]) or 0
    found = []
    for pattern in workload_seen(evidence):
        operators = {
            key.distance_operator
            for key in pattern.order_by
            if key.distance_operator and key.column and _is(catalog, key.column.table, key.column.column, column)
        }
        operators |= {
            key.distance_operator
            for key, limit in pattern.nested_order_by
            if limit is not None
            and key.distance_operator
            and key.column
            and _is(catalog, key.column.table, key.column.column, column)
        }
        if pattern.limit is not None:
            operators |= {sign for ref, sign in pattern.distances if _is(catalog, ref.table, ref.column, column)}
        for operator in sorted(operators):
            found.append(Search(pattern, operator, rows_left_by_equalities(evidence, pattern, column.table, rows)))
    return found


def _is(catalog: Catalog, oid: int | None, name: str, column: Column) -> bool:
    table = catalog.table_by_oid.get(oid) if oid is not None else None
    return table is not None and name == column.name and column.table in {table.oid, table.root}


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
