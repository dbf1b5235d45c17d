"""IVFFlat indexes whose lists do not fit their table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.sizing import index_rows
from checks.hybrid.vectors import filled_rows, is_left_empty, vector_columns
from checks.model import Confidence, Examined, Finding, Fix, Location, NotApplicable, Severity, qualified_name
from checks.registry import check
from checks.relations import estimated_rows

DEFAULT_LISTS = 100


@check("hybrid.ivfflat-lists", catalogue="H25", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def ivfflat_lists(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An IVFFlat index has lists that do not fit its rows, or was built before they came.

    The lists' centres are computed once, from the rows that are there when the index is built, and a search looks into a few
    lists only. Built on an empty table, or with far too many or too few lists, it misses neighbours silently: there is no
    error, only worse answers.

    Fix: Rebuild it on the loaded table with rows/1000 lists (the square root above a million rows), or take HNSW.

    Example: a migration that creates the table and, while it is empty, CREATE INDEX ON chunks USING ivfflat (embedding
    vector_cosine_ops): "ivfflat index created with little data", and six of the ten nearest rows are found afterwards.

    Source: pgvector README, "IVFFlat"

    Observed: lists, recommended_lists, rows, built_with_table
    """
    catalog = evidence.get(Catalog)
    vectors: dict[int, list[Column]] = defaultdict(list)
    for table, column in vector_columns(catalog):
        vectors[table.oid].append(column)
    indexes = [
        (index, catalog.table_by_oid[index.table])
        for index in catalog.indexes
        if index.method == "ivfflat" and index.valid and index.parent is None and index.table in catalog.table_by_oid
    ]
    if not indexes:
        raise NotApplicable("no IVFFlat index")
    for index, table in indexes:
        columns = [column for column in vectors[table.oid] if any(key.column == column.number for key in index.keys)]
        if any(is_left_empty(evidence, table, column) for column in columns):
            continue
        known = filled_rows(evidence, table, columns[0]) if columns else estimated_rows(evidence, table)
        rows = None if known is None else index_rows(index, known)
        if rows is None:
            continue
        lists = int(index.options.get("lists", DEFAULT_LISTS))
        off = lists_off(rows, lists)
        # Every search looks into the only list there is, wherever its centre lies.
        early = _built_with_table(evidence, index, table) if lists > 1 else None
        factor = evidence.limit("ivfflat_lists_factor")
        if off > factor or (early and rows > 0):
            yield _finding(
                index, table, rows, lists, early, fits=off <= factor, large=rows > evidence.limit("vector_rows")
            )
    yield Examined(len(indexes), len(indexes), "IVFFlat indexes")


def _recommended(rows: float) -> int:
    """The README's starting point: rows/1000 up to a million rows, the square root above."""
    return max(1, round(rows / 1000 if rows <= 1_000_000 else math.sqrt(rows)))


def lists_off(rows: float, lists: int) -> float:
    """How many times the lists are too many or too few."""
    recommended = _recommended(rows)
    return max(lists / recommended, recommended / lists)


def _built_with_table(evidence: Evidence, index: Index, table: Table) -> Location | None:
    """Where the repository creates the index in the very file that creates its table, which is empty then."""
    files = {place.path for place in evidence.locations(table.subject)}
    return next((place for place in evidence.locations(index.subject) if place.path in files), None)


def _finding(
    index: Index, table: Table, rows: float, lists: int, early: Location | None, *, fits: bool, large: bool
) -> Finding:
    name = index.subject.name
    recommended = _recommended(rows)
    if fits:
        title = f"IVFFlat index {name} was created together with its table, before its {rows:,.0f} rows"
    else:
        title = f"IVFFlat index {name} has {lists:,} lists for {rows:,.0f} rows, where {recommended:,} fit"
        title += "; it was created together with its table" if early else ""
    return Finding(
        index.subject,
        title,
        Fix(
            f"Set {recommended} lists and rebuild it on the loaded table; then set ivfflat.probes to about the square root "
            "of the lists. HNSW needs neither.",
            sql=f"ALTER INDEX {qualified_name(index.schema, index.name)} SET (lists = {recommended}); "
            f"REINDEX INDEX CONCURRENTLY {qualified_name(index.schema, index.name)};",
            lock="SHARE UPDATE EXCLUSIVE",
            undo=f"ALTER INDEX {qualified_name(index.schema, index.name)} SET (lists = {lists}); and rebuild it.",
        ),
        severity=Severity.MEDIUM if large else Severity.LOW,
        confidence=Confidence.INFERRED if fits else Confidence.MEASURED,
        observed={
            "lists": lists,
            "recommended_lists": recommended,
            "rows": round(rows),
            "built_with_table": bool(early),
            "index_bytes": index.size_bytes,
        },
        related=(table.subject,),
        locations=(early,) if early else (),
    )
