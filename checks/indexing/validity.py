"""Are indexes whole?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Server, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, qualified_name
from checks.registry import check

_LEFTOVER = re.compile(r"(?P<original>.*)_cc(?P<which>new|old)[0-9]*", re.DOTALL)


@check("indexing.invalid-index", catalogue="I10", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def invalid_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index is invalid: a concurrent build of it failed or was broken off.

    No query uses it, yet every insert and update keeps paying for it. An invalid unique index is worse: the rule that it
    stands for is not enforced on the rows that are already there. It stays until somebody drops or rebuilds it.

    Fix: Drop it, correct what made the build fail, and build it again.

    Example: CREATE UNIQUE INDEX CONCURRENTLY met a duplicate and left an index that is written on every insert and never read.

    Source: PostgreSQL manual, "CREATE INDEX", section "Building Indexes Concurrently"; "REINDEX"

    Observed: table, method, unique, ready, size_bytes, leftover_of.
    """
    catalog = evidence.get(Catalog)
    indexes = [index for index in catalog.indexes if index.extension is None and index.table in catalog.table_by_oid]
    if not indexes:
        raise NotApplicable("no table has an index")
    server = evidence.find(Server)
    for index in indexes:
        table = catalog.table_by_oid[index.table]
        if (index.valid and index.ready) or index.being_built or explained_by_parts(catalog, index):
            continue
        leftover = _LEFTOVER.fullmatch(index.name)
        original = leftover["original"] if leftover else None
        yield Finding(
            index.subject,
            f"Index {index.subject.name} is "
            + ("incomplete: not every partition has its part" if table.kind == "partitioned" else "invalid"),
            _fix(catalog, index, table, leftover["which"] if leftover else None),
            severity=Severity.CRITICAL if index.unique and not leftover else Severity.HIGH,
            confidence=Confidence.INFERRED if server and server.user_sees == "plain" else Confidence.MEASURED,
            observed={
                "table": table.subject.name,
                "method": index.method,
                "unique": index.unique,
                "ready": index.ready,
                "size_bytes": index.size_bytes,
                **({"leftover_of": original} if original else {}),
            },
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "indexes")


def is_spare(catalog: Catalog, index: Index) -> bool:
    """Whether REINDEX CONCURRENTLY left it beside the index that it was to replace, or has replaced, which is valid."""
    leftover = _LEFTOVER.fullmatch(index.name)
    beside = catalog.indexes_of(index.table) if leftover else ()
    return any(other.name == leftover["original"] and other.valid for other in beside) if leftover else False


def explained_by_parts(catalog: Catalog, index: Index) -> bool:
    """Whether a partitioned index is invalid only because a part of it is, which is a finding of its own."""
    table = catalog.table_by_oid.get(index.table)
    if table is None or table.kind != "partitioned":
        return False
    partitions = [part for part in catalog.partitions_of(table.oid) if part.kind != "foreign"]
    parts = [child for part in partitions for child in catalog.indexes_of(part.oid) if child.parent == index.oid]
    return len(parts) >= len(partitions) and any(not part.valid or part.being_built for part in parts)


def _fix(catalog: Catalog, index: Index, table: Table, leftover: str | None) -> Fix:
    name = qualified_name(index.schema, index.name)
    if table.kind == "partitioned":
        with_part = {child.table for child in catalog.indexes if child.parent == index.oid}
        without = [
            part.subject.name for part in catalog.tables if part.parent == table.oid and part.oid not in with_part
        ]
        return Fix(
            f"Build the index CONCURRENTLY on each partition that lacks it ({', '.join(without[:5])}"
            f"{' and more' if len(without) > 5 else ''}) and attach it with ALTER INDEX {name} ATTACH PARTITION.",
            lock="SHARE UPDATE EXCLUSIVE",
        )
    if leftover:
        summary = (
            "A REINDEX CONCURRENTLY that was broken off left it; the index that it was to replace is still there. Drop it, then "
            "reindex again."
            if leftover == "new"
            else "A REINDEX CONCURRENTLY has replaced it already and could not drop it. Drop it."
        )
        return Fix(summary, f"DROP INDEX CONCURRENTLY {name};", lock="SHARE UPDATE EXCLUSIVE",
                   undo="There is nothing to undo: no query can use it.")  # fmt: skip
    summary = "Rebuild it, or drop it if nobody misses it."
    if index.unique:
        summary = "Find the duplicates that made the build fail and correct them, then rebuild it."
    return Fix(summary, f"REINDEX INDEX CONCURRENTLY {name};", lock="SHARE UPDATE EXCLUSIVE",
               undo=f"DROP INDEX CONCURRENTLY {name};")  # fmt: skip
