"""Are indexes as large, as warm and as well sorted as they should be?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, PlannerStatistics, Server, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.indexing.coverage import collation
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import is_of_the_application, is_usable

# A leaf page keeps its header and 16 bytes at its end; an entry has a header of 8 bytes and a line pointer of 4.
_PAGE_BYTES = 8192 - 24 - 16
_ENTRY_BYTES = 12
_READ_BLOCKS = 50_000
_COLD = 0.9
_SORTED_METHODS = frozenset({"btree", "gist", "brin", "spgist"})


@check("indexing.bloated-index", catalogue="I24", severity=Severity.MEDIUM, needs=[Catalog, PlannerStatistics])
@once_per_family
def bloated_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index is mostly empty space, by estimate.

    Deleted and updated rows leave entries that vacuum frees page by page, and a page stays while one entry is on it. A bloated
    index reads more pages for each look-up and fills memory with air. The estimate compares its pages with those that the rows
    and the average width of its columns need at the fill factor, as if no two keys shared an entry: so it errs on the low side.

    Fix: REINDEX INDEX CONCURRENTLY, and autovacuum more often, so that it does not come back.

    Example: an index of 900 MB over 2 million bigint keys, which need 43 MB: a job had deleted most rows of the table.

    Source: PostgreSQL manual, "Routine Reindexing"; "pgstattuple"

    Observed: table, size_bytes, needed_bytes, empty_share, exact.
    """
    catalog, server = evidence.get(Catalog), evidence.find(Server)
    indexes = [index for index in catalog.indexes if _is_measurable(catalog, index)]
    if not indexes:
        raise NotApplicable("no table has a B-tree index over plain columns")
    known = 0
    exact = server is not None and server.extension("pgstattuple") is not None
    for index in indexes:
        needed, size = needed_bytes(evidence, index), index.size_bytes or 0
        known += needed is not None
        if needed is None or size - needed < evidence.limit("large_index_bytes"):
            continue
        empty = 1 - needed / size
        if empty < evidence.limit("index_bloat_share"):
            continue
        name = qualified_name(index.schema, index.name)
        tells = f" pgstatindex('{name}') tells exactly, and reads all of it." if exact and "'" not in name else ""
        yield Finding(
            index.subject,
            f"Index {index.subject.name} ({bytes_in_words(size)}) is about {empty:.0%} empty, by estimate",
            Fix(
                f"Build it anew; that needs room for both meanwhile.{tells}",
                f"REINDEX INDEX CONCURRENTLY {name};",
                lock="SHARE UPDATE EXCLUSIVE",
                undo="There is nothing to undo; a build that was broken off leaves an invalid index, to be dropped.",
            ),
            severity=Severity.MEDIUM if size - needed >= 10 * evidence.limit("large_index_bytes") else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "table": catalog.table_by_oid[index.table].subject.name,
                "size_bytes": size,
                "needed_bytes": round(needed),
                "empty_share": round(empty, 3),
                "exact": False,
            },
            related=(catalog.table_by_oid[index.table].subject,),
        )
    yield Examined(known, len(indexes), "B-tree indexes over plain columns", evidence.gap(PlannerStatistics))


def _is_measurable(catalog: Catalog, index: Index) -> bool:
    table = catalog.table_by_oid.get(index.table)
    return (
        table is not None
        and table.kind in {"table", "materialized_view"}
        and is_of_the_application(table)
        and index.method == "btree"
        and is_usable(index)
        and all(index.columns)
    )


def needed_bytes(evidence: Evidence, index: Index) -> float | None:
    """Bytes that its rows need at its fill factor; None if their number or width is not known."""
    statistics = evidence.get(PlannerStatistics)
    entries = [statistics.by_column.get((index.table, number)) for number in (*index.columns, *index.included)]
    if index.rows is None or index.size_bytes is None or not all(entries):
        return None
    width = sum(-(-entry.average_width // 8) * 8 for entry in entries if entry)
    fill = _fill_factor(index.options.get("fillfactor", ""))
    return max(8192.0, index.rows * (width + _ENTRY_BYTES) / (_PAGE_BYTES * fill) * 8192)


def _fill_factor(text: str) -> float:
    return int(text) / 100 if text.isdecimal() and 10 <= int(text) <= 100 else 0.9


@check("indexing.cold-index", catalogue="I25", severity=Severity.NOTE, needs=[Catalog, Usage, Server],
       window="window_days")  # fmt: skip
@once_per_family
def cold_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index that is read a lot is often not in memory.

    Its pages had to be read from outside shared_buffers for many of its look-ups: the operating system may have had them, but
    each costs a system call at least. It is a fact of the workload and no defect: the index may be too large for this server,
    bloated, or be walked through where few pages would do.

    Fix: See whether it is bloated, could be partial or narrower, or whether statements read long stretches of it.

    Example: messages_search_idx: 3,000 of 4,000 blocks of each hundred scans came from outside shared_buffers.

    Source: PostgreSQL manual, "The Cumulative Statistics System", pg_statio_all_indexes

    Observed: table, size_bytes, scans, blocks_read, hit_share, blocks_per_scan.
    """
    evidence.require_window("window_days")
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    indexes = [
        index
        for index in catalog.indexes
        if is_usable(index) and (table := catalog.table_by_oid.get(index.table)) and is_of_the_application(table)
    ]
    known = 0
    for index in indexes:
        entry = usage.index_by_oid.get(index.oid)
        if entry is None or entry.blocks_read is None or entry.blocks_hit is None:
            continue
        known += 1
        touched = entry.blocks_read + entry.blocks_hit
        if entry.blocks_read < _READ_BLOCKS or entry.blocks_hit >= _COLD * touched or not entry.scans:
            continue
        yield Finding(
            index.subject,
            f"Index {index.subject.name} finds {entry.blocks_hit / touched:.0%} of its pages in memory",
            Fix("See whether it is bloated, wider than it need be, or read in long stretches."),
            observed={
                "table": catalog.table_by_oid[index.table].subject.name,
                "size_bytes": index.size_bytes,
                "scans": entry.scans,
                "blocks_read": entry.blocks_read,
                "hit_share": round(entry.blocks_hit / touched, 4),
                "blocks_per_scan": round(touched / entry.scans, 1),
            },
            related=(catalog.table_by_oid[index.table].subject,),
        )
    yield Examined(known, len(indexes), "indexes")


@check("indexing.corruption-risk", catalogue="I35", severity=Severity.HIGH, needs=[Catalog, Server])
def corruption_risk(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Indexes are sorted by an older version of a collation than the one that is used now.

    After an upgrade of the operating system or its image, the C library or ICU may sort some texts differently. Indexes on text
    that were built before are then in the wrong order: look-ups miss rows that are there, and unique indexes let duplicates in.
    PostgreSQL compares versions and warns; it does not rebuild. Whether entries are really out of order only amcheck tells,
    which reads every index and is not run here. Before 15, the database's own collation has no version to compare.

    Fix: REINDEX what sorts by it, correct duplicates, then refresh the recorded version, in that order.

    Example: a cluster moved to a host with a newer C library: WHERE email = $1 misses rows that are there, and a unique index
    takes duplicates.

    Source: PostgreSQL manual, "ALTER COLLATION"; "amcheck"

    Observed: recorded, actual, provider, indexes, unique_indexes, first.
    """
    catalog, server = evidence.get(Catalog), evidence.get(Server)
    versions = [entry for entry in catalog.collations if entry.recorded is not None and entry.actual is not None]
    if not versions:
        raise NotApplicable("no index sorts by a collation with a version")
    for entry in versions:
        if entry.recorded == entry.actual:
            continue
        sorted_by = [
            index
            for index in catalog.indexes
            if index.method in _SORTED_METHODS and any(_sorts_by(catalog, index, position, entry.name, entry.default)
                                                      for position in range(len(index.keys)))
        ]  # fmt: skip
        if not sorted_by:
            continue
        unique = [index for index in sorted_by if index.unique]
        first = [qualified_name(index.schema, index.name) for index in (unique or sorted_by)[:20]]
        what = (
            f"the database's collation {entry.name}" if entry.default else f"collation {quote_identifier(entry.name)}"
        )
        refresh = (
            f"ALTER DATABASE {quote_identifier(server.database)} REFRESH COLLATION VERSION;"
            if entry.default
            else f"ALTER COLLATION {quote_identifier(entry.name)} REFRESH VERSION;"
        )
        rebuild = " ".join(f"REINDEX INDEX CONCURRENTLY {name};" for name in first)
        rest = len(sorted_by) - len(first)
        yield Finding(
            Subject("database", (server.database,)),
            f"{len(sorted_by)} indexes were sorted by version {entry.recorded} of {what}; it is {entry.actual} now",
            Fix(
                "Have amcheck (bt_index_check) look at the unique ones, rebuild all, then refresh the version"
                + (f"; {rest} more indexes are to be rebuilt than stand here." if rest > 0 else "."),
                f"{rebuild} {refresh}",
                lock="SHARE UPDATE EXCLUSIVE",
                undo="There is nothing to undo.",
            ),
            confidence=Confidence.INFERRED,
            observed={
                "recorded": entry.recorded,
                "actual": entry.actual,
                "provider": entry.provider,
                "indexes": len(sorted_by),
                "unique_indexes": len(unique),
                "first": first,
            },
            discriminator=entry.name if not entry.default else "default",
        )
    yield Examined(len(versions), len(versions), "collations with a version")


def _sorts_by(catalog: Catalog, index: Index, position: int, name: str, default: bool) -> bool:
    """Whether that key is text sorted by the collation. Indexes for patterns are not."""
    key = index.keys[position]
    if key.operator_class.endswith("_pattern_ops"):
        return False
    if not default:
        return key.collation == name
    column = catalog.columns_of(index.table).get(key.column)
    textual = column.type_category == "S" if column else key.operator_class in {"text_ops", "varchar_ops", "bpchar_ops"}
    return textual and collation(key.collation) is None and (column is None or collation(column.collation) is None)
