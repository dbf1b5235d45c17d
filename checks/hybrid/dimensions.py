"""Dimensions: whether vector columns have them, whether an index takes so many, and whether code means the same."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import EmbeddingModel, Model, ModelColumn, Repository
from checks.families import once_per_family
from checks.hybrid.framework_tables import advised
from checks.hybrid.models import dimensions_of, is_certain
from checks.hybrid.provenance import model_columns
from checks.hybrid.searches import ann_indexes
from checks.hybrid.vectors import INDEXED_DIMENSIONS, dimensions, is_left_empty, vector_columns
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows

WIDE = 4_000


@check("hybrid.vector-without-dimension", catalogue="H26", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def vector_without_dimension(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A vector column has no dimension.

    It takes vectors of any length: an index cannot be built on it, and vectors of two models may stand side by side until a
    search compares them and fails. An index on a cast with a dimension, for one model's rows, is the only one there can be.

    Fix: Give the column its model's dimension; where it holds several models, an index on a cast for each, with a predicate.

    Example: embedding vector, as LangChain's PGVector makes it without embedding_length: CREATE INDEX fails with "column does
    not have dimensions"; ALTER TABLE ... ALTER COLUMN embedding TYPE vector(1536) comes first.

    Source: pgvector README, "Can I store vectors with different dimensions in the same column?"

    Observed: rows, indexes, dimensions_in_code
    """
    catalog = evidence.get(Catalog)
    columns = [pair for pair in vector_columns(catalog) if pair[1].base_type != "sparsevec"]
    for table, column in columns:
        if dimensions(column) is not None:
            continue
        subject, rows = catalog.column_subject(column), estimated_rows(evidence, table)
        indexes, models = ann_indexes(catalog, column), model_columns(catalog, table)
        # Vectors of several models side by side, each with an index of its own: that is how it is done.
        if models and indexes and all(index.predicate for index in indexes):
            continue
        told = {model.dimensions or dimensions_of(model.name) for model in _models(evidence)}
        known = sorted(count for count in told if count is not None)
        # Beside a model of unknown dimensions nobody can say which the rows have.
        wanted = str(known[0]) if len(known) == len(told) == 1 and not models else None
        relation, name = qualified_name(table.schema, table.name), quote_identifier(column.name)
        title = f"Vector column {subject.name} has no dimension"
        title += ": it cannot be indexed as it is" if not indexes else ""
        severity = Severity.LOW if indexes else Severity.MEDIUM
        if not indexes and (rows or 0) > evidence.limit("vector_rows"):
            severity = Severity.HIGH
        yield Finding(
            subject,
            title,
            advised(
                catalog,
                table,
                Fix(
                    _remedy(catalog, column, models),
                    sql=f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE {column.base_type}({wanted});"
                    if wanted
                    else None,
                    lock="ACCESS EXCLUSIVE" if wanted else None,
                    rewrites=bool(wanted),
                    undo=f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE {column.base_type};" if wanted else None,
                ),
            ),
            severity=severity,
            observed={
                "rows": None if rows is None else round(rows),
                "indexes": [index.subject.name for index in indexes],
                "dimensions_in_code": known,
            },
            related=(table.subject,),
            locations=evidence.locations(subject),
        )
    yield Examined(len(columns), len(columns), "vector columns")


def _remedy(catalog: Catalog, column: Column, models: list[Column]) -> str:
    if models:
        return (
            f"Its rows may be of several models ({catalog.column_subject(models[0]).name}): for each an index on "
            f"({quote_identifier(column.name)}::{column.base_type}(n)) WHERE it is that model's, with the same cast in its "
            "searches. If all are of one model, give the column its dimension; the rows are checked under an exclusive lock."
        )
    return "Give it the dimension of its model. The rows are checked under an exclusive lock."


def _models(evidence: Evidence) -> tuple[EmbeddingModel, ...]:
    repository = evidence.find(Repository)
    return repository.embedding_models if repository else ()


@check("hybrid.too-many-dimensions", catalogue="H27", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def too_many_dimensions(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A vector column has more dimensions than an index takes.

    HNSW and IVFFlat take at most 2,000 dimensions of a vector and 4,000 of a halfvec: a column of text-embedding-3-large's 3,072
    cannot be indexed as it is, and CREATE INDEX says so only when the table is large enough to need one.

    Fix: An index on a cast to halfvec, with the same cast in every search; above 4,000 fewer dimensions, or bits re-ranked.

    Example: embedding vector(3072): CREATE INDEX ... USING hnsw (embedding vector_cosine_ops) fails with "column cannot have
    more than 2000 dimensions for hnsw index"; ((embedding::halfvec(3072)) halfvec_cosine_ops) is built.

    Source: pgvector README, "HNSW", "Half-Precision Indexing"

    Observed: dimensions, limit, rows
    """
    catalog = evidence.get(Catalog)
    columns = [pair for pair in vector_columns(catalog) if pair[1].base_type in INDEXED_DIMENSIONS]
    for table, column in columns:
        count = dimensions(column)
        limit = INDEXED_DIMENSIONS[column.base_type]
        # An index on an expression shows that somebody knows.
        if count is None or count <= limit or ann_indexes(catalog, column) or is_left_empty(evidence, table, column):
            continue
        yield _too_wide(evidence, table, column, count, limit)
    yield Examined(len(columns), len(columns), "vector columns")


def _too_wide(evidence: Evidence, table: Table, column: Column, count: int, limit: int) -> Finding:
    catalog = evidence.get(Catalog)
    subject, rows = catalog.column_subject(column), estimated_rows(evidence, table) or 0
    name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    sql = None
    if count <= WIDE:
        summary = (
            "Index the column as halfvec, and write the same cast on both sides of the operator in every search. The operator "
            "class is that of the distance searched by."
        )
        concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
        sql = f"CREATE INDEX {concurrently}ON {relation} USING hnsw (({name}::halfvec({count})) halfvec_cosine_ops);"
    else:
        summary = (
            "Ask the model for fewer dimensions (Matryoshka models give them), or index binary_quantize() and re-rank."
        )
    return Finding(
        subject,
        f"{subject.name} has {count:,} dimensions, and an index takes at most {limit:,} of a {column.base_type}",
        Fix(summary, sql=sql, lock="SHARE UPDATE EXCLUSIVE" if sql else None, undo="DROP INDEX." if sql else None),
        # That a large column has no index is a finding of its own; only where none can be built it is this one.
        severity=Severity.HIGH if sql is None and rows > evidence.limit("vector_rows") else Severity.LOW,
        observed={"dimensions": count, "limit": limit, "rows": round(rows)},
        related=(table.subject,),
        locations=evidence.locations(subject),
    )


@check("hybrid.dimension-differs-from-code", catalogue="N07", severity=Severity.HIGH, needs=[Catalog, Repository])
@once_per_family
def dimension_differs_from_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code and database disagree on how many dimensions a vector column has.

    Every insert of such a vector fails, at run time only: a model was changed in code without a migration, or the other way
    round.

    Fix: One dimension, in the model, the column and the code: a new column, a backfill with the new model, and a swap.

    Example: embedding: Mapped[list[float]] = mapped_column(Vector(768)) in the model and vector(1536) in the database: each
    insert fails with "expected 1536 dimensions, not 768".

    Source: pgvector, "expected 1536 dimensions, not 768"

    Observed: dimensions, dimensions_in_code, in_code
    """
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    columns = [(table, column) for table, column in vector_columns(catalog) if dimensions(column) is not None]
    if not columns:
        raise NotApplicable("no vector column has a dimension")
    told = 0
    for table, column in columns:
        declared = [
            (model, entry)
            for model in repository.models
            if model.table == table.name and model.schema in {None, table.schema}
            for entry in model.columns
            if entry.name == column.name and entry.dimensions is not None
        ]
        told += bool(declared)
        for model, entry in declared:
            if entry.dimensions != dimensions(column):
                yield _differs(catalog, column, model, entry)
                break
        else:
            if not declared and (model_used := _only_model(repository.embedding_models, len(columns))):
                told += 1
                size = model_used.dimensions or dimensions_of(model_used.name)
                if size is not None and size != dimensions(column):
                    yield _differs_from_model(catalog, column, model_used, size)
    yield Examined(told, len(columns), "vector columns with a dimension in code")


def _only_model(models: tuple[EmbeddingModel, ...], columns: int) -> EmbeddingModel | None:
    """The one model that the code names, where there is one column that its vectors can stand in."""
    names = {(entry.name, entry.dimensions) for entry in models}
    return models[0] if columns == 1 and len(names) == 1 and is_certain(models[0]) else None


def _differs(catalog: Catalog, column: Column, model: Model, entry: ModelColumn) -> Finding:
    subject, count = catalog.column_subject(column), dimensions(column)
    return Finding(
        subject,
        f"{subject.name} has {count:,} dimensions, and model {model.name} declares {entry.dimensions:,} "
        f"({entry.location.path}:{entry.location.line})",
        Fix("Bring both to the embedding model's dimension: by a new column, a backfill and a swap."),
        observed={"dimensions": count, "dimensions_in_code": entry.dimensions, "in_code": model.name},
        locations=(entry.location,),
    )


def _differs_from_model(catalog: Catalog, column: Column, model: EmbeddingModel, size: int) -> Finding:
    subject, count = catalog.column_subject(column), dimensions(column)
    return Finding(
        subject,
        f"{subject.name} has {count:,} dimensions, and {model.name} gives {size:,} "
        f"({model.location.path}:{model.location.line})",
        Fix("Ask the model for the column's dimensions where it can give them, or change the column to the model's."),
        severity=Severity.MEDIUM,
        confidence=Confidence.INFERRED,
        observed={"dimensions": count, "dimensions_in_code": size, "in_code": model.name},
        locations=(model.location,),
    )
