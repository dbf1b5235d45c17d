"""Rows that are searched by vectors and have none: NULL, or of length 0."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, PlannerStatistics, Recall, RowSamples, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.searches import index_operators
from checks.hybrid.vector_rows import indexed_columns
from checks.hybrid.vectors import is_left_empty
from checks.model import Confidence, Examined, Finding, Fix, Reason, Severity, Unknown, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, new_name

MANY = 0.2


@check("hybrid.null-vectors", catalogue="H33", severity=Severity.MEDIUM, needs=[Catalog, PlannerStatistics])
@once_per_family
def null_vectors(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows without a vector stand in a table that is searched by vectors.

    NULL vectors, and zero vectors with cosine distance, are not in the index: those rows are never found, and no error says so.
    They are rows whose embedding is still to come, or failed and is never tried again. Vectors of zeros are what code writes
    for texts that the model gave nothing for; they are looked for in the rows that --read-rows or --measure-recall samples.

    Fix: Watch how many there are and for how long; try again; a partial index WHERE embedding IS NULL finds them quickly. NULL
    in place of zeros, and a CHECK that there are none.

    Example: ORDER BY embedding <=> $1 over 100,000 chunks, of which a job that failed left 12,000 with NULL: they are in no
    answer, and no error says so. Rows with '[0,0,0]' are left out by vector_cosine_ops in the same way.

    Source: pgvector README, "Why are there less results for a query after adding an HNSW index?"

    Observed: null_share, null_rows, zero_share, sampled, rows
    """
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    columns = indexed_columns(catalog)
    known = [
        (table, column, entry)
        for table, column, _ in columns
        if (entry := statistics.by_column.get((table.oid, column.number))) is not None
    ]
    for table, column, entry in known:
        rows = estimated_rows(evidence, table) or 0
        if is_left_empty(evidence, table, column):
            continue
        if entry.null_share < evidence.limit("null_vectors_share") or rows * entry.null_share < 1:
            continue
        # Whoever indexes the rows without a vector looks after them.
        if any(column.number in index.predicate_not_null or _finds_nulls(index, column)
               for index in catalog.indexes_of(table.oid)):  # fmt: skip
            continue
        subject = catalog.column_subject(column)
        relation, name = qualified_name(table.schema, table.name), quote_identifier(column.name)
        key = next((index for index in catalog.indexes_of(table.oid) if index.primary and all(index.columns)), None)
        keys = (
            ", ".join(quote_identifier(catalog.column(table.oid, number).name) for number in key.columns) if key else ""
        )
        concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
        yield Finding(
            subject,
            f"{entry.null_share:.0%} of {rows:,.0f} rows have no {subject.name} and cannot be found by it",
            Fix(
                "Embed them, and have a job that looks for such rows; a small partial index makes that cheap.",
                sql=f"CREATE INDEX {concurrently}ON {relation} ({keys}) WHERE {name} IS NULL;" if keys else None,
                lock=("SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE") if keys else None,
                undo="DROP INDEX on it." if keys else None,
            ),
            severity=Severity.MEDIUM if entry.null_share >= MANY else Severity.LOW,
            observed={
                "null_share": round(entry.null_share, 4),
                "null_rows": round(rows * entry.null_share),
                "rows": round(rows),
            },
            related=(table.subject,),
        )
    yield from _of_zeros(evidence, columns)
    gap = None
    if len(known) < len(columns):
        gap = Unknown(Reason.NOT_RUN, "ANALYZE the tables that have no statistics yet").gap
    yield Examined(len(known), len(columns), "indexed vector columns", gap=gap)


def _of_zeros(evidence: Evidence, columns: list[tuple[Table, Column, list[Index]]]) -> Iterator[Finding]:
    """Columns with vectors of length 0 among the sampled rows, where an index leaves those out: their cosine is no number."""
    catalog = evidence.get(Catalog)
    for table, column, indexes in columns:
        cosine = [index for index in indexes if "<=>" in index_operators(index)]
        share, sampled = _zeros(evidence, table, column)
        if not cosine or not share:
            continue
        subject, name = catalog.column_subject(column), quote_identifier(column.name)
        rows, relation = estimated_rows(evidence, table) or 0, qualified_name(table.schema, table.name)
        rule = quote_identifier(new_name(catalog, table.schema, table.name, column.name, "not_zero"))
        length = "vector_norm" if column.base_type == "vector" else "l2_norm"
        seen = (
            f"{share:.1%} of the sampled rows"
            if sampled is None
            else f"{share * sampled:,.0f} of {sampled:,} sampled rows"
        )
        yield Finding(
            subject,
            f"{seen} hold a vector of zeros in {subject.name}, which {cosine[0].subject.name} leaves out",
            Fix(
                f"Set them to NULL (WHERE {length}({name}) = 0), embed their texts again, and let nobody write zeros.",
                sql=f"ALTER TABLE {relation} ADD CONSTRAINT {rule} CHECK ({length}({name}) > 0) NOT VALID;",
                lock="ACCESS EXCLUSIVE",
                undo=f"ALTER TABLE {relation} DROP CONSTRAINT {rule};",
            ),
            severity=Severity.MEDIUM if share >= MANY else Severity.LOW,
            confidence=Confidence.MEASURED,
            observed={"zero_share": round(share, 4), "sampled": sampled, "rows": round(rows)},
            related=(table.subject, *(index.subject for index in cosine)),
            discriminator="zero",
        )


def _zeros(evidence: Evidence, table: Table, column: Column) -> tuple[float, int | None]:
    """The share of vectors of length 0 among the rows that were sampled, 0 if none was, and how many were, where that is
    known."""
    samples, recall = evidence.find(RowSamples), evidence.find(Recall)
    for sample in samples.columns if samples else ():
        if (sample.table, sample.column) == (table.oid, column.number) and sample.values:
            return sample.zeros / sample.values, sample.values
    for entry in recall.measurements if recall else ():
        if (entry.table, entry.column) == (table.oid, column.number) and entry.zero_length is not None:
            return entry.zero_length, None
    return 0.0, None


def _finds_nulls(index: Index, column: Column) -> bool:
    predicate = (index.predicate or "").replace('"', "")
    return f"{column.name} IS NULL" in predicate
