"""Whether vector searches find an index that serves them."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.framework_tables import advised
from checks.hybrid.searches import (
    Search,
    ann_indexes,
    index_operators,
    search_figures,
    search_places,
    search_subjects,
    searches_of,
)
from checks.hybrid.vectors import (
    DISTANCE_NAMES,
    dimensions,
    filled_rows,
    index_lock,
    index_sql,
    index_undo,
    vector_columns,
)
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity
from checks.registry import check
from checks.relations import estimated_rows
from checks.workload import place_in_words, statement_in_words, unread_statements


@check("hybrid.vector-without-index", catalogue="H20", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def vector_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large vector column has no index for nearest-neighbour search.

    Each search then computes the distance to every row: exact, but its time grows with the table, and with 1,536 dimensions a
    hundred thousand rows are read from TOAST for ten answers. Where each search is confined to one tenant or document first,
    exact search over those few rows is right and no index is needed.

    Fix: An HNSW index with the operator class of the distance that the application uses.

    Example: ORDER BY embedding <=> $1 LIMIT 10 over 300,000 rows without an index reads 300,000 vectors; CREATE INDEX
    CONCURRENTLY ON chunks USING hnsw (embedding vector_cosine_ops).

    Source: pgvector README, "Indexing"; "Filtering"

    Observed: rows, dimensions, searches, operators, filtered_searches
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    sized = [(table, column) for table, column in columns if estimated_rows(evidence, table) is not None]
    for table, column in sized:
        rows = filled_rows(evidence, table, column) or 0
        if rows > evidence.limit("vector_rows") and not ann_indexes(catalog, column):
            yield _unindexed(evidence, table, column, rows)
    yield Examined(len(sized), len(columns), "vector columns")


def _unindexed(evidence: Evidence, table: Table, column: Column, rows: float) -> Finding:
    searches = searches_of(evidence, column)
    narrow = [entry for entry in searches if _is_narrow(evidence, entry)]
    catalog = evidence.get(Catalog)
    subject = catalog.column_subject(column)
    title = f"Vector column {subject.name} has {rows:,.0f} rows and no index for nearest-neighbour search"
    severity, confidence = Severity.HIGH, Confidence.MEASURED
    if not searches:
        title += ", and no search of it was seen" if unread_statements(evidence) is None else ""
        severity, confidence = Severity.LOW, Confidence.INFERRED
    elif len(narrow) == len(searches):
        most = max(entry.rows_left or 0 for entry in narrow)
        title += f"; every search is confined to about {most:,.0f} rows first"
        severity = Severity.NOTE
    elif all(entry.pattern.query_id is None for entry in searches):
        confidence = Confidence.INFERRED
        if not any(entry.pattern.all_filters_known for entry in searches if entry not in narrow):
            severity = Severity.MEDIUM
    wide = [entry for entry in searches if entry not in narrow] or searches
    return Finding(
        subject,
        title,
        advised(
            catalog,
            table,
            _index_fix(catalog, table, column, wide, confined=bool(searches) and len(narrow) == len(searches)),
        ),
        severity=severity,
        confidence=confidence,
        observed={
            "rows": round(rows),
            "dimensions": dimensions(column),
            "searches": len(searches),
            "operators": sorted({entry.operator for entry in searches}),
            "filtered_searches": len(narrow),
            "table_bytes": table.total_bytes,
            **(search_figures(evidence, wide[0]) if wide else {}),
        },
        related=(table.subject, *search_subjects(wide)),
        locations=search_places(evidence, searches),
    )


def _is_narrow(evidence: Evidence, search: Search) -> bool:
    return search.rows_left is not None and search.rows_left <= evidence.limit("vector_rows")


def _index_fix(catalog: Catalog, table: Table, column: Column, searches: list[Search], *, confined: bool) -> Fix:
    if confined:
        return Fix("Exact search is right here as long as these conditions stay: see that an index serves them, and write "
                   "the decision down.")  # fmt: skip
    operator = searches[0].operator if searches else "<=>"
    sql = index_sql(catalog, table, column, operator)
    if sql is None:
        return Fix("Give the column its dimension first (at most 2,000 for vector, 4,000 for halfvec): without it no index "
                   "can be built.")  # fmt: skip
    seen = "as the searches use it" if searches else "take the operator class of the distance that will be searched by"
    return Fix(
        f"An HNSW index for {DISTANCE_NAMES[operator]}, {seen}. Give maintenance_work_mem room for the graph.",
        sql=sql, lock=index_lock(table), undo=index_undo(catalog, table, column, operator),
    )  # fmt: skip


@check("hybrid.distance-operator-mismatch", catalogue="H21", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def distance_operator_mismatch(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Searches use a distance that the vector index does not serve.

    An HNSW or IVFFlat index is built for one distance. A search by another one cannot use it, even with sequential scans
    switched off: it computes every distance and sorts them, while the index is maintained for nothing.

    Fix: One distance everywhere: that of the embedding model, in the index and in every statement.

    Example: CREATE INDEX ON chunks USING hnsw (embedding vector_l2_ops), and ORDER BY embedding <=> $1 LIMIT 10: the index
    serves <-> alone, and every search sorts all rows.

    Source: pgvector README, "Querying"; "Indexing"

    Observed: operator, index_operators, rows, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    indexed = [
        (table, column, found) for table, column in vector_columns(catalog) if (found := ann_indexes(catalog, column))
    ]
    if not indexed:
        raise NotApplicable("no vector column has an index for approximate search")
    searched = [(table, column, found, searches_of(evidence, column)) for table, column, found in indexed]
    for table, column, indexes, searches in searched:
        served = {operator for index in indexes for operator in index_operators(index)}
        if not served:
            continue
        # What sorts the few rows that a search below it gave asks no index.
        unserved = [entry for entry in searches if entry.operator not in served and not entry.nearest.reranks]
        for operator in sorted({entry.operator for entry in unserved}):
            yield _mismatch(
                evidence, table, column, indexes, [entry for entry in unserved if entry.operator == operator]
            )
    count = sum(len(searches) for *_, searches in searched)
    yield Examined(count, count, "searches of indexed vector columns", gap=unread_statements(evidence))


def _mismatch(
    evidence: Evidence, table: Table, column: Column, indexes: list[Index], searches: list[Search]
) -> Finding:
    catalog = evidence.get(Catalog)
    rows = estimated_rows(evidence, table) or 0
    first = searches[0]
    places = search_places(evidence, searches)
    served = sorted({operator for index in indexes for operator in index_operators(index)})
    subject = catalog.column_subject(column)
    low = rows <= evidence.limit("vector_rows") or all(_is_narrow(evidence, entry) for entry in searches)
    meant = " and ".join(DISTANCE_NAMES[operator] for operator in served)
    return Finding(
        subject,
        f"{subject.name} is searched by {DISTANCE_NAMES[first.operator]} ({first.operator}) but indexed for "
        f"{meant}{place_in_words(places)}",
        Fix(
            f"Use {served[0]} in these statements if {DISTANCE_NAMES[served[0]]} is the embedding model's; otherwise build "
            f"an index for {first.operator} and drop {indexes[0].subject.name}.",
            sql=index_sql(catalog, table, column, first.operator),
            lock=index_lock(table),
            undo=index_undo(catalog, table, column, first.operator),
        ),
        severity=Severity.LOW if low else Severity.HIGH,
        confidence=Confidence.MEASURED if any(entry.pattern.query_id for entry in searches) else Confidence.INFERRED,
        observed={
            "operator": first.operator,
            "index_operators": served,
            "rows": round(rows),
            "does": statement_in_words(first.pattern, catalog),
            "searches": len(searches),
            **search_figures(evidence, first),
        },
        related=(
            *(index.subject for index in indexes),
            *search_subjects(searches),
        ),
        locations=places,
        discriminator=first.operator,
    )
