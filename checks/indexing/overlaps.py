"""Indexes of other methods than B-tree that do the same work twice."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.hybrid.searches import ANN_METHODS, index_operators, searches_of
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, qualified_name
from checks.registry import check
from checks.relations import counters_believed, is_usable, reviewed_indexes, size_bytes
from checks.workload import unread_statements

_METHODS = ANN_METHODS | {"gin"}


@check("indexing.overlapping-index", catalogue="N35", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def overlapping_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Two GIN or vector indexes on one column do the same work.

    GIN with jsonb_ops serves all that jsonb_path_ops does. Two vector indexes for one distance are one too many, and one
    for a distance that nobody searches by is kept up to date for nothing: each insert walks its graph.

    Fix: Drop the one that nothing asks for.

    Example: documents.metadata has a GIN index with jsonb_ops and one with jsonb_path_ops; both find @>.

    Source: PostgreSQL manual, "jsonb Indexing"; pgvector README, "Indexing"

    Observed: index_bytes, kept, scans, why
    """
    catalog = evidence.get(Catalog)
    indexes = [index for index in reviewed_indexes(catalog) if index.method in _METHODS and is_usable(index)]
    if not indexes:
        raise NotApplicable("no table has a GIN or vector index")
    told: set[int] = set()
    for position, index in enumerate(indexes):
        for other in indexes[position + 1 :]:
            if index.table != other.table or index.predicate != other.predicate or index.columns != other.columns:
                continue
            # Literals are masked: an index for each tenant has the same predicate but for its value.
            if index.predicate is not None and index.definition_hash != other.definition_hash:
                continue
            if 0 in index.columns and [key.expression for key in index.keys] != [key.expression for key in other.keys]:
                continue
            found = _redundant(evidence, index, other)
            if found and found[0].oid not in told:
                told.add(found[0].oid)
                yield _finding(evidence, *found)
    yield Examined(len(indexes), len(indexes), "GIN and vector indexes")


def _redundant(evidence: Evidence, one: Index, two: Index) -> tuple[Index, Index, str] | None:
    """The index that may go, the one that stays, and why."""
    catalog = evidence.get(Catalog)
    if one.method == two.method == "gin":
        classes = {_class(one): one, _class(two): two}
        if set(classes) == {"jsonb_ops", "jsonb_path_ops"}:
            return classes["jsonb_path_ops"], classes["jsonb_ops"], "jsonb_ops serves all that it does"
        return None
    if one.method not in ANN_METHODS or two.method not in ANN_METHODS or len(one.keys) != 1:
        return None
    if index_operators(one) == index_operators(two):
        goes = two if two.method == "ivfflat" or one.method == "hnsw" else one
        return goes, one if goes is two else two, "both serve the same distance"
    column = catalog.columns_of(one.table).get((one.columns or (0,))[0])
    if column is None or unread_statements(evidence) is not None:
        return None
    searched = {entry.operator for entry in searches_of(evidence, column)}
    unused = [index for index in (one, two) if not index_operators(index) & searched and not _scanned(evidence, index)]
    if len(unused) == 1 and searched:
        stays = two if unused[0] is one else one
        return unused[0], stays, "nothing searches by its distance"
    return None


def _class(index: Index) -> str:
    return index.keys[0].operator_class.rpartition(".")[2] if len(index.keys) == 1 else ""


def _scanned(evidence: Evidence, index: Index) -> bool:
    """Whether it was scanned, or may have been: counters over too short a time say nothing."""
    usage = evidence.find(Usage)
    entry = usage.index_by_oid.get(index.oid) if usage else None
    return not counters_believed(evidence) or entry is None or entry.scans > 0


def _finding(evidence: Evidence, goes: Index, stays: Index, why: str) -> Finding:
    catalog = evidence.get(Catalog)
    table: Table = catalog.table_by_oid[goes.table]
    size, usage = size_bytes(catalog, goes), evidence.find(Usage)
    entry = usage.index_by_oid.get(goes.oid) if usage else None
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    return Finding(
        goes.subject,
        f"Index {goes.subject.name} ({bytes_in_words(size)}) overlaps {stays.subject.name}: {why}",
        Fix(
            f"Drop it once no statement plans better with it than with {stays.subject.name}.",
            sql=f"DROP INDEX {concurrently}{qualified_name(goes.schema, goes.name)};",
            lock="SHARE UPDATE EXCLUSIVE" if concurrently else "ACCESS EXCLUSIVE",
            undo="Create it again as it is declared.",
        ),
        severity=Severity.MEDIUM if size > evidence.limit("unused_index_bytes") else Severity.LOW,
        confidence=Confidence.INFERRED if "distance" in why else Confidence.MEASURED,
        observed={"index_bytes": size, "kept": stays.subject.name, "scans": entry.scans if entry else None, "why": why},
        related=(stays.subject, table.subject),
        locations=evidence.locations(goes.subject),
    )
