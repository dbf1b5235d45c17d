"""Memory that vector indexes need, to be searched and to be built, and what halves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.evidence.database.facts import Catalog, Column, Index, Server, Settings, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.hybrid.searches import ann_indexes
from checks.hybrid.sizing import build_bytes_per_row, hnsw_bytes_per_row, index_rows, indexed_kind, m_of, vector_bytes
from checks.hybrid.vectors import dimensions, filled_rows, vector_columns
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
from checks.relations import estimated_rows, grant, size_bytes
from checks.settings import setting_fix, settings_in_code, size_in_bytes

SHOWN = 5
# What is reckoned is not exact, and a graph that just does not fit is built nearly as fast.
_CLEARLY = 1.25


def _indexed(evidence: Evidence) -> list[tuple[Table, Column, Index]]:
    """Vector indexes. Raises NotApplicable if there is none."""
    catalog = evidence.get(Catalog)
    found = [
        (table, column, index)
        for table, column in vector_columns(catalog)
        for index in ann_indexes(catalog, column)
        if index.parent is None
    ]
    if not found:
        raise NotApplicable("no vector column has an index for approximate search")
    return found


def shared_buffers(evidence: Evidence) -> float:
    """In bytes. Raises Unknown where the role may not see it."""
    found = size_in_bytes(evidence.get(Settings), "shared_buffers")
    if found is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    return found


def cache_size(evidence: Evidence) -> float | None:
    """effective_cache_size in bytes, where somebody has said it: its default says nothing of this machine."""
    settings = evidence.get(Settings)
    entry = settings.by_name.get("effective_cache_size")
    return size_in_bytes(settings, "effective_cache_size") if entry and entry.source != "default" else None


@check("hybrid.vector-index-exceeds-memory", catalogue="H29", severity=Severity.HIGH, needs=[Catalog, Settings, Server])
@once_per_family
def vector_index_exceeds_memory(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A vector index is larger than the memory that the server has for it.

    A graph search jumps from page to page without any order. While the index is in memory that takes milliseconds; as soon as
    it is not, each jump is a read, and latency rises a hundredfold, at once and not gradually.

    Fix: halfvec halves the index, fewer dimensions or quantisation with re-ranking shrink it further; else more memory,
    pg_prewarm after restarts, or partitions of which a search needs one.

    Example: an HNSW index of 24 GB on a server with shared_buffers = 4GB and 16 GB of memory: searches that took 5 ms at 10 GB
    take 400 ms.

    Source: pgvector README, "Scaling", "Half-Precision Vectors"; Supabase, "Choosing your compute add-on"

    Observed: index_bytes, shared_buffers_bytes, cache_bytes, rows, bytes_per_row, rows_that_fit
    """
    indexes = _indexed(evidence)
    buffers, cache = shared_buffers(evidence), cache_size(evidence)
    catalog = evidence.get(Catalog)
    for table, column, index in indexes:
        size, rows = size_bytes(catalog, index), estimated_rows(evidence, table) or 0
        if size <= buffers:
            continue
        room = max(buffers, cache or 0)
        exceeds = cache is not None and size > cache
        words = (
            f"{bytes_in_words(cache)} that the server counts on for caching" if exceeds and cache
            else f"shared_buffers of {bytes_in_words(buffers)}"
        )  # fmt: skip
        yield Finding(
            index.subject,
            f"Vector index {index.subject.name} has {bytes_in_words(size)}, more than {words}",
            _smaller(table, column, index),
            severity=Severity.HIGH if exceeds else Severity.MEDIUM if cache is None else Severity.LOW,
            confidence=Confidence.MEASURED if exceeds else Confidence.INFERRED,
            observed={
                "index_bytes": size,
                "shared_buffers_bytes": round(buffers),
                "cache_bytes": None if cache is None else round(cache),
                "rows": round(rows),
                "bytes_per_row": round(size / rows) if rows else None,
                "rows_that_fit": round(room * rows / size) if rows else None,
            },
            related=(table.subject,),
            locations=evidence.locations(index.subject),
        )
    yield Examined(len(indexes), len(indexes), "vector indexes")


def _smaller(table: Table, column: Column, index: Index) -> Fix:
    count = dimensions(column)
    if column.base_type != "vector" or indexed_kind(index, column) != "vector" or count is None:
        return Fix(
            "Fewer dimensions, quantisation with re-ranking, partitions of which a search needs one, or more memory."
        )
    name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    suffix = index.keys[0].operator_class.rpartition(".")[2].removeprefix("vector_")
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    return Fix(
        "Index the column as halfvec: half the size, at hardly any loss of recall; searches must write the same cast. Change "
        "the column after that.",
        sql=f"CREATE INDEX {concurrently}ON {relation} USING hnsw (({name}::halfvec({count})) halfvec_{suffix});",
        lock="SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
        undo="DROP INDEX on the new one; keep the old one until the searches are rewritten.",
    )


def _halved(table: Table, column: Column, count: int) -> Fix:
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(column.name)} TYPE"
    return Fix(
        "Change the column's type, on a large table by a new column that is filled in batches.",
        sql=f"{alter} halfvec({count});",
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=f"{alter} vector({count}); (the lost digits stay lost)",
    )


@check("hybrid.vector-build-memory", catalogue="H31", severity=Severity.MEDIUM, needs=[Catalog, Settings, Server])
@once_per_family
def vector_build_memory(evidence: Evidence) -> Iterator[Finding | Examined]:
    """maintenance_work_mem does not hold the graph that an HNSW build makes.

    When the graph no longer fits, the build goes on row by row on disk and takes many times as long: with the default of 64 MB
    that is after 9,665 rows of 1,536 dimensions. REINDEX, and the next migration of the model, need it as the first build did.

    Fix: SET maintenance_work_mem for the session that builds, to the size of the graph; more max_parallel_maintenance_workers.

    Example: CREATE INDEX ... USING hnsw over a million rows of vector(1536) with maintenance_work_mem = 64MB: "hnsw graph no
    longer fits into maintenance_work_mem after 9665 tuples"; 7 GB hold it.

    Source: pgvector README, "Index Build Time" ("hnsw graph no longer fits into maintenance_work_mem after ... tuples")

    Observed: rows, needed_bytes, maintenance_work_mem_bytes, rows_that_fit, parallel_workers
    """
    indexes = [entry for entry in _indexed(evidence) if entry[2].method == "hnsw"]
    settings, server = evidence.get(Settings), evidence.get(Server)
    if not indexes:
        raise NotApplicable("no HNSW index")
    memory = size_in_bytes(settings, "maintenance_work_mem")
    if memory is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    told = settings_in_code(evidence, "maintenance_work_mem")
    short: list[tuple[float, float, Index]] = []
    for table, column, index in indexes:
        count, rows = dimensions(column), index_rows(index, estimated_rows(evidence, table) or 0)
        each = build_bytes_per_row(count, indexed_kind(index, column), m_of(index)) if count else 0
        parts = max(1, len(evidence.get(Catalog).partitions_of(table.oid)))
        if rows > evidence.limit("vector_rows") and rows / parts * each > _CLEARLY * memory and not told:
            short.append((rows / parts * each, rows, index))
    yield Examined(len(indexes), len(indexes), "HNSW indexes", unmet=len(short))
    if short:
        yield _builds_slowly(server, settings, memory, sorted(short, key=lambda entry: entry[0], reverse=True))


def _builds_slowly(
    server: Server, settings: Settings, memory: float, short: list[tuple[float, float, Index]]
) -> Finding:
    needed, rows, index = short[0]
    observed: dict[str, Any] = {
        "rows": round(rows),
        "needed_bytes": round(needed),
        "maintenance_work_mem_bytes": round(memory),
        "rows_that_fit": round(memory / needed * rows),
        "parallel_workers": settings.value("max_parallel_maintenance_workers"),
        "indexes": [entry.subject.name for _, _, entry in short],
    }
    wanted = max(1, round(needed * 1.1 / 1024**2))
    fix = setting_fix(server, "For all builds:", {"maintenance_work_mem": f"{wanted}MB"})
    return Finding(
        index.subject,
        f"A build of {index.subject.name} takes about {bytes_in_words(needed)}, and maintenance_work_mem is "
        f"{bytes_in_words(memory)}" + (f"; so with {len(short) - 1} more" if len(short) > 1 else ""),
        Fix(
            f"Give the session that builds {wanted:,} MB, as far as the machine has them. {fix.summary}",
            sql=f"SET maintenance_work_mem = '{wanted}MB';",
            undo="RESET maintenance_work_mem;",
        ),
        severity=Severity.MEDIUM,
        confidence=Confidence.INFERRED,
        observed=observed,
        related=tuple(entry.subject for _, _, entry in short[1:SHOWN]),
    )


@check("hybrid.halfvec-candidate", catalogue="H28", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def halfvec_candidate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large vector column is stored with 4 bytes a dimension where 2 would do.

    Embeddings do not need the precision of a float4: halfvec halves the table, its TOAST, the index, the memory and the backups,
    and measured recall hardly changes.

    Fix: Index the column as halfvec first, measure recall, then change the column too.

    Example: a million rows of vector(1536) take 6 GB and their HNSW index 8 GB; CREATE INDEX ON chunks USING hnsw
    ((embedding::halfvec(1536)) halfvec_cosine_ops) takes 4 GB, and a column halfvec(1536) 3 GB.

    Source: pgvector README, "Half-Precision Vectors"

    Observed: rows, dimensions, saved_bytes, saved_index_bytes
    """
    catalog = evidence.get(Catalog)
    columns = [pair for pair in vector_columns(catalog) if pair[1].base_type == "vector"]
    if not columns:
        raise NotApplicable("no column of type vector")
    for table, column in columns:
        count, rows = dimensions(column), filled_rows(evidence, table, column) or 0
        if count is None:
            continue
        stored = rows * (vector_bytes(count) - vector_bytes(count, "halfvec"))
        indexes = [index for index in ann_indexes(catalog, column) if indexed_kind(index, column) == "vector"]
        of_index = sum(
            index_rows(index, rows) * (hnsw_bytes_per_row(count) - hnsw_bytes_per_row(count, "halfvec"))
            for index in indexes
            if index.method == "hnsw"
        )
        if stored + of_index < evidence.limit("halfvec_saved_bytes"):
            continue
        subject = catalog.column_subject(column)
        yield Finding(
            subject,
            f"{subject.name} as halfvec would save {bytes_in_words(stored + of_index)}",
            _smaller(table, column, indexes[0]) if indexes else _halved(table, column, count),
            severity=Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "rows": round(rows),
                "dimensions": count,
                "saved_bytes": round(stored),
                "saved_index_bytes": round(of_index),
            },
            related=(table.subject, *(index.subject for index in indexes)),
        )
    yield Examined(len(columns), len(columns), "vector columns")
