"""When PostgreSQL is enough for the vectors, and up to which size: the sums."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Index, Server, Settings, Statements, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.hybrid.searches import ann_indexes, calls_of, searches_of
from checks.hybrid.sizing import hnsw_bytes_per_row, indexed_kind, m_of
from checks.hybrid.vector_memory import cache_size, shared_buffers
from checks.hybrid.vectors import INDEXED_DIMENSIONS, dimensions, filled_rows, vector_columns
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check
from checks.relations import size_bytes

SHOWN = 5
_SLOW_MS = 1000


class _Layout(msgspec.Struct, frozen=True):
    """One column as it is indexed, or, where it is not, as it could be: what an index holds (`kind`), `each` bytes a row."""

    table: Table
    column: Column
    rows: float
    dimensions: int
    kind: str
    each: float
    indexes: tuple[Index, ...]

    @property
    def needed(self) -> float:
        return self.rows * self.each


class _Pace(msgspec.Struct, frozen=True):
    """Searches of a column as pg_stat_statements counted them: how often, and how long one takes on average."""

    per_second: float | None
    mean_ms: float | None


@check("hybrid.vector-capacity", catalogue="N11", severity=Severity.NOTE, needs=[Catalog, Settings, Server])
@once_per_family
def vector_capacity(evidence: Evidence) -> Iterator[Finding | Examined]:
    """How far the present layout of vectors lasts.

    PostgreSQL is enough for vectors as long as the index is in memory and one node answers all searches: with 1,536 dimensions
    an HNSW index takes 8 kB a row, a million rows 8 GB. Without an index each search reads every row, and its time grows with
    them. The sums for this database are shown, and the size at which it stops: where that is nearer than the growth of the
    data, halfvec comes first, then partitions, then another store.

    Fix: Nothing yet. Write down at how many rows which step is taken.

    Example: 400,000 rows of vector(1536) with an HNSW index of 3.1 GB and shared_buffers of 8 GB: it lasts to about a million
    rows, and to two million with halfvec.

    Source: pgvector README, "Scaling"; sizes as measured (8,194 bytes a row with 1,536 dimensions)

    Observed: rows, dimensions, indexed, kind, bytes_per_row, index_bytes, memory_bytes, rows_that_fit, rows_that_fit_as_halfvec,
    headroom, searches_per_s, search_ms, searches_per_s_of_a_core, rows_at_one_second
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    memory = max(shared_buffers(evidence), cache_size(evidence) or 0)
    layouts = [found for table, column in columns if (found := _layout(evidence, table, column))]
    total = sum(entry.needed for entry in layouts)
    large = [entry for entry in layouts if entry.rows > evidence.limit("vector_rows")]
    yield Examined(len(large), len(columns), "vector columns", unmet=0)
    if large and memory < total * evidence.limit("vector_headroom"):
        yield _capacity(evidence, sorted(large, key=lambda entry: -entry.needed), memory, memory / total)


def _layout(evidence: Evidence, table: Table, column: Column) -> _Layout | None:
    count, rows = dimensions(column), filled_rows(evidence, table, column)
    if not count or not rows:
        return None
    indexes = ann_indexes(evidence.get(Catalog), column)
    if indexes:
        kind, m = indexed_kind(indexes[0], column), m_of(indexes[0])
        return _Layout(table, column, rows, count, kind, hnsw_bytes_per_row(count, kind, m), tuple(indexes))
    kinds = (column.base_type, "halfvec", "bit")
    kind = next((each for each in kinds if count <= INDEXED_DIMENSIONS.get(each, 0)), "bit")
    return _Layout(table, column, rows, count, kind, hnsw_bytes_per_row(count, kind), ())


def _capacity(evidence: Evidence, large: list[_Layout], memory: float, headroom: float) -> Finding:
    """About the column that takes most, with the others."""
    catalog = evidence.get(Catalog)
    first = large[0]
    subject, half = catalog.column_subject(first.column), hnsw_bytes_per_row(first.dimensions, "halfvec")
    pace = _pace(evidence, first.column)
    of_core = 1000 / pace.mean_ms if pace.mean_ms else None
    slow = first.rows * _SLOW_MS / pace.mean_ms if pace.mean_ms and not first.indexes else None
    return Finding(
        subject,
        _title(subject.name, first, memory, headroom),
        Fix(" ".join(_steps(first, memory, half, of_core, pace, slow))),
        severity=Severity.NOTE,
        confidence=Confidence.INFERRED,
        observed={
            "rows": round(first.rows),
            "dimensions": first.dimensions,
            "indexed": bool(first.indexes),
            "kind": first.kind,
            "bytes_per_row": round(first.each),
            "index_bytes": sum(size_bytes(catalog, index) for index in first.indexes) or None,
            "memory_bytes": round(memory),
            "rows_that_fit": round(memory / first.each),
            "rows_that_fit_as_halfvec": round(memory / half),
            "headroom": round(headroom, 2),
            "searches_per_s": None if pace.per_second is None else round(pace.per_second, 3),
            "search_ms": None if pace.mean_ms is None else round(pace.mean_ms, 3),
            "searches_per_s_of_a_core": None if of_core is None else round(of_core, 1),
            "rows_at_one_second": None if slow is None else round(slow),
        },
        related=(first.table.subject, *(catalog.column_subject(entry.column) for entry in large[1:SHOWN])),
        locations=evidence.locations(subject),
    )


def _title(name: str, first: _Layout, memory: float, headroom: float) -> str:
    take = "take" if first.indexes else "would take"
    of = "" if first.kind == first.column.base_type else f" of {first.kind}"
    title = (
        f"{name}: {first.rows:,.0f} rows {take} {bytes_in_words(first.each)} each in an HNSW index{of}; "
        f"{bytes_in_words(memory)} of memory hold {memory / first.each:,.0f}"
    )
    if headroom >= 1:
        return f"{title}, and {headroom:,.1f} times what all vectors need today"
    if first.needed <= memory:
        return f"{title}, and all vectors together need more"
    return f"{title}: the present layout is past its size" if first.indexes else f"{title}: fewer than there are"


def _steps(
    first: _Layout, memory: float, half: float, of_core: float | None, pace: _Pace, slow: float | None
) -> Iterator[str]:
    if first.kind == "vector":
        yield f"As halfvec the same memory holds {memory / half:,.0f} rows."
    if of_core is not None and pace.mean_ms is not None:
        come = "" if pace.per_second is None else f", and {pace.per_second:,.3g} come"
        yield f"A search takes {pace.mean_ms:,.1f} ms: one core answers {of_core:,.0f} a second{come}."
    if slow is not None:
        yield f"Without an index that grows with the rows: a second at {slow:,.0f}."
    yield (
        "Beyond that: partitions by tenant, of which a search needs one, a larger machine, or a store of its own for vectors. "
        "Write down which, and at how many rows."
    )


def _pace(evidence: Evidence, column: Column) -> _Pace:
    statements, server = evidence.find(Statements), evidence.find(Server)
    if statements is None or server is None:
        return _Pace(None, None)
    ids: set[str] = set()
    for search in searches_of(evidence, column):
        ids.update(calls_of(evidence, search.function) if search.function else filter(None, [search.pattern.query_id]))
    entries = [statements.by_id[each] for each in ids if each in statements.by_id]
    calls = sum(entry.calls for entry in entries)
    if not calls:
        return _Pace(0.0, None)
    seconds = (server.observed_at - statements.since).total_seconds() if statements.since else 0
    mean = sum(entry.mean_ms * entry.calls for entry in entries) / calls
    return _Pace(calls / seconds if seconds > 0 else None, mean)
