"""Rows behind vector indexes: those that change all the time, how they are stored, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, PlannerStatistics, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words, days_in_words
from checks.hybrid.searches import (
    ann_indexes,
    search_confidence,
    search_places,
    search_subjects,
    searches_of,
    serving_indexes,
)
from checks.hybrid.sizing import vector_bytes
from checks.hybrid.vectors import dimensions, vector_columns
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Unknown,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows, leaves

TOAST_THRESHOLD = 2_000
PAGE_ROOM = 8_100
TENANTS = 10


def indexed_columns(catalog: Catalog) -> list[tuple[Table, Column, list[Index]]]:
    """Vector columns with their indexes. Raises NotApplicable if none has one."""
    found = [
        (table, column, indexes)
        for table, column in vector_columns(catalog)
        if (indexes := [index for index in ann_indexes(catalog, column) if index.parent is None])
    ]
    if not found:
        raise NotApplicable("no vector column has an index for approximate search")
    return found


@check("hybrid.vector-index-churn", catalogue="H34", severity=Severity.MEDIUM, needs=[Catalog, Usage, Server])
@once_per_family
def vector_index_churn(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The rows behind an HNSW index are replaced all the time.

    Each new row version is a new element of the graph, and vacuum must repair the graph around every dead one: it takes hours on
    large indexes, and until then searches walk through the dead. An update of another column costs it too, unless it is HOT.

    Fix: Vectors in a table of their own, changed only when the text changed; REINDEX INDEX CONCURRENTLY before VACUUM after a
    large change.

    Example: UPDATE chunks SET views = views + 1 on rows with an HNSW index: where no room is left on the page, each update puts
    the same vector into the graph once more.

    Source: pgvector README, "Vacuuming"

    Observed: changes, live_rows, changes_per_row, dead_rows, hot_share, days
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    graphs = [
        (table, column, index)
        for table, column, indexes in indexed_columns(catalog)
        for index in indexes
        if index.method == "hnsw"
    ]
    if not graphs:
        raise NotApplicable("no HNSW index")
    if evidence.get(Server).is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it counts changes")
    days = evidence.require_window("window_days")
    for table, column, index in graphs:
        parts = [entry for part in leaves(catalog, table) if (entry := usage.table_by_oid.get(part.oid))]
        live = sum(part.live_tuples for part in parts)
        changes = sum(part.updated - part.hot_updated + part.deleted for part in parts)
        updated = sum(part.updated for part in parts)
        hot = sum(part.hot_updated for part in parts) / updated if updated else None
        if live <= evidence.limit("vector_rows") or changes < live * evidence.limit("vector_churn"):
            continue
        dead = sum(part.dead_tuples for part in parts)
        yield Finding(
            index.subject,
            f"{index.subject.name}: {changes:,} of {live:,} elements were replaced in {days_in_words(days)}",
            Fix(
                f"Keep {quote_identifier(column.name)} in a table of its own if other columns change; write it only when its "
                "source changed. Rebuild the graph once it has lived through that.",
                sql=f"REINDEX INDEX CONCURRENTLY {qualified_name(index.schema, index.name)};",
                lock="SHARE UPDATE EXCLUSIVE",
                undo="None is needed.",
            ),
            severity=Severity.HIGH if dead > live else Severity.MEDIUM,
            observed={
                "changes": changes,
                "live_rows": live,
                "changes_per_row": round(changes / live, 2),
                "dead_rows": dead,
                "hot_share": None if hot is None else round(hot, 4),
                "days": round(days, 1),
            },
            related=(table.subject, catalog.column_subject(column)),
        )
    yield Examined(len(graphs), len(graphs), "HNSW indexes")


@check("hybrid.vector-toast-storage", catalogue="H36", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def vector_toast_storage(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Vectors that are searched exactly stand out of line, where the planner does not count them.

    A vector of more than about 500 dimensions goes to TOAST. The planner counts only the slim rows that are left, finds a
    sequential scan cheap, and plans it without parallel workers, while each row costs two more reads. Storage extended tries to
    compress vectors besides, which they never are.

    Fix: ALTER COLUMN ... SET STORAGE PLAIN for vectors that fit a page (up to about 2,000 dimensions), then rewrite the table.

    Example: 20,000 rows of vector(1536), searched without an index: the heap has 2 MB and TOAST 160 MB; ALTER TABLE chunks
    ALTER COLUMN embedding SET STORAGE PLAIN and VACUUM FULL put the vectors where a parallel scan counts them.

    Source: pgvector README, "Why isn't a query using parallel scans?"

    Observed: storage, vector_bytes, rows, heap_bytes, toast_bytes
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    for table, column in columns:
        count, rows = dimensions(column), estimated_rows(evidence, table) or 0
        size = vector_bytes(count, column.base_type) if count else 0
        if not TOAST_THRESHOLD < size < PAGE_ROOM or rows <= evidence.limit("vector_rows"):
            continue
        if column.storage not in {"external", "extended"}:
            continue
        exact = [entry for entry in searches_of(evidence, column) if not serving_indexes(catalog, column, entry)]
        if not exact and column.storage == "external":
            continue
        subject = catalog.column_subject(column)
        relation, name = qualified_name(table.schema, table.name), quote_identifier(column.name)
        wanted = "PLAIN" if exact else "EXTERNAL"
        why = "is searched exactly and stands in TOAST" if exact else "is compressed in vain with each insert"
        yield Finding(
            subject,
            f"{subject.name}, {bytes_in_words(size)} a vector, {why} (storage {column.storage})",
            Fix(
                "Change the storage; existing rows keep theirs until they are written again.",
                sql=f"ALTER TABLE {relation} ALTER COLUMN {name} SET STORAGE {wanted};",
                lock="ACCESS EXCLUSIVE",
                undo=f"ALTER TABLE {relation} ALTER COLUMN {name} SET STORAGE {column.storage.upper()};",
            ),
            severity=Severity.LOW,
            confidence=Confidence.MEASURED if exact else Confidence.INFERRED,
            observed={
                "storage": column.storage,
                "vector_bytes": size,
                "rows": round(rows),
                "heap_bytes": table.heap_bytes,
                "toast_bytes": table.toast_bytes,
            },
            related=(table.subject, *search_subjects(exact)),
            locations=search_places(evidence, exact),
        )
    yield Examined(len(columns), len(columns), "vector columns")


@check("hybrid.tenants-share-vector-index", catalogue="H37", severity=Severity.LOW, needs=[Catalog, PlannerStatistics])
@once_per_family
def tenants_share_vector_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Every search is for one tenant, and all tenants share one vector index.

    The graph connects everybody's rows: a search for one tenant walks through those of the others, is slower with each new
    customer, and one customer's bulk load worsens the recall of all. The index cannot leave others out, only a filter can.

    Fix: Partition the table by tenant, or by hash of the tenant, with an index on each partition; where tenants are small, an
    index on the tenant and exact search.

    Example: 500 tenants in chunks, each search with WHERE tenant_id = $1, and one HNSW index over all: the graph is walked
    through the rows of 499 others. PARTITION BY LIST (tenant_id), or BY HASH, gives each part a graph of its own.

    Source: pgvector README, "Filtering" (list partitioning), "Multitenancy"

    Observed: tenant_column, tenants, rows, rows_per_tenant, searches
    """
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    columns = indexed_columns(catalog)
    examined = 0
    for table, column, indexes in columns:
        searches = searches_of(evidence, column)
        if not searches or table.kind == "partitioned":
            continue
        examined += 1
        always = set.intersection(
            *(
                {
                    entry.column.column
                    for entry in search.nearest.filters
                    if entry.column.table == table.oid and entry.operator in {"=", "in"} and entry.other is None
                    and not (entry.json_operator or entry.function or entry.under_or)
                }
                for search in searches
            )
        )  # fmt: skip
        rows = estimated_rows(evidence, table) or 0
        for name in sorted(always):
            known = catalog.column_named(table.oid, name)
            entry = statistics.by_column.get((table.oid, known.number)) if known else None
            if entry is None or rows <= evidence.limit("vector_rows"):
                continue
            tenants = entry.distinct if entry.distinct > 0 else -entry.distinct * rows
            if tenants < TENANTS or tenants > rows / 2 or any(index.predicate for index in indexes):
                continue
            subject = catalog.column_subject(column)
            yield Finding(
                subject,
                f"About {tenants:,.0f} values of {quote_identifier(name)} share the graph of {subject.name}, and every search "
                "is for one of them",
                Fix(
                    f"Partition {table.subject.name} by {quote_identifier(name)} (list for few, hash for many), each partition "
                    f"with an index of its own. With about {rows / tenants:,.0f} rows for each, an index on "
                    f"{quote_identifier(name)} and exact search may do."
                ),
                severity=Severity.LOW,
                confidence=search_confidence(searches),
                observed={
                    "tenant_column": name,
                    "tenants": round(tenants),
                    "rows": round(rows),
                    "rows_per_tenant": round(rows / tenants),
                    "searches": len(searches),
                },
                related=(*(index.subject for index in indexes), *search_subjects(searches)),
                locations=search_places(evidence, searches),
            )
            break
    yield Examined(examined, len(columns), "indexed vector columns")


@check("hybrid.hnsw-parameters", catalogue="H39", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def hnsw_parameters(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An HNSW index has parameters far from the usual.

    m (16) is how many neighbours each element keeps, ef_construction (64) how thoroughly they were looked for. Too small and no
    ef_search brings the recall back; too large and the index grows and builds for nothing.

    Fix: m from 12 to 48, ef_construction from 64 to 256, and measure.

    Example: WITH (m = 4, ef_construction = 16): each element knows four others, and parts of the graph cannot be reached from
    the rest, whatever hnsw.ef_search is.

    Source: pgvector README, "Index Options"; Malkov and Yashunin, 2016

    Observed: m, ef_construction
    """
    indexes = [
        (table, index)
        for table, _, found in indexed_columns(evidence.get(Catalog))
        for index in found
        if index.method == "hnsw"
    ]
    if not indexes:
        raise NotApplicable("no HNSW index")
    for table, index in indexes:
        m, thoroughness = int(index.options.get("m", 16)), int(index.options.get("ef_construction", 64))
        if 8 <= m <= 64 and 32 <= thoroughness <= 512:
            continue
        yield Finding(
            index.subject,
            f"HNSW index {index.subject.name} has m = {m} and ef_construction = {thoroughness}",
            Fix(
                "Rebuild it with m = 16 and ef_construction = 64 or 128, unless a measurement of recall speaks for these.",
                sql=f"ALTER INDEX {qualified_name(index.schema, index.name)} SET (m = 16, ef_construction = 128); "
                f"REINDEX INDEX CONCURRENTLY {qualified_name(index.schema, index.name)};",
                lock="SHARE UPDATE EXCLUSIVE",
                undo=f"ALTER INDEX {qualified_name(index.schema, index.name)} SET (m = {m}, "
                f"ef_construction = {thoroughness}); and rebuild it.",
            ),
            confidence=Confidence.INFERRED,
            observed={"m": m, "ef_construction": thoroughness},
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "HNSW indexes")
