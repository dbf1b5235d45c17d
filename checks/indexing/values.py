"""Do the values of an indexed column tell rows apart?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, ColumnStatistics, Index, PlannerStatistics
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.duplicates import is_needed, scans
from checks.indexing.needs import needs
from checks.indexing.usage import keeps_foreign_key
from checks.model import Confidence, Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import counters_believed, estimated_rows, is_usable, new_name, reviewed_indexes, size_bytes

_FEW_VALUES = 5


class _Judged(msgspec.Struct, frozen=True):
    index: Index
    column: Column
    statistics: ColumnStatistics
    rows: float
    size: int
    for_key: bool


@check("indexing.low-cardinality-index", catalogue="I12", severity=Severity.LOW, needs=[Catalog, PlannerStatistics])
@once_per_family
def low_cardinality_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index is over one column that has a handful of values, all of them common.

    Each value stands in so many rows that reading the whole table is cheaper, so the planner passes the index by, while every
    write keeps it up. An index over few values is worth it where one of them is rare, which is another finding.

    Fix: Drop it, or put the column behind one that narrows.

    Example: CREATE INDEX ON orders (currency), with four currencies of a quarter of the rows each.

    Source: PostgreSQL manual, "Row Estimation Examples"; "Examining Index Usage"

    Observed: table, column, distinct, common_share, rows, size_bytes, scans.
    """
    yield from _judge(
        evidence,
        lambda one: (
            not one.for_key
            and one.statistics.null_share < 1 - evidence.limit("one_value_share")
            and 0 < one.statistics.distinct <= _FEW_VALUES
            and (one.statistics.common_share or 1.0) < evidence.limit("one_value_share")
        ),
        lambda one: (
            f"Index {one.index.subject.name} is over {one.statistics.distinct:.0f} values of "
            f"{quote_identifier(one.column.name)}, each of them common"
        ),
        lambda _: Fix(
            "See in the plans whether anything takes it; drop it, or make it the second column of a narrowing one."
        ),
    )


@check("indexing.mostly-null-index", catalogue="I13", severity=Severity.LOW, needs=[Catalog, PlannerStatistics])
@once_per_family
def mostly_null_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index holds mostly null.

    A B-tree keeps an entry for each row with null too, and every insert of such a row writes one. Where statements look for
    values only, an index over the rows that have one finds the same and is a fraction as large. An index that statements use to
    find the nulls is no finding.

    Fix: Build it anew `WHERE column IS NOT NULL`, then drop the old one.

    Example: CREATE INDEX ON orders (refund_id), where one order in a hundred has one; WHERE refund_id IS NOT NULL makes it a
    hundredth as large.

    Source: PostgreSQL manual, "Partial Indexes"

    Observed: table, column, null_share, rows, size_bytes, scans.
    """
    nulls = {(need.table.oid, name) for need in needs(evidence) for name, test in need.null_tests if test == "is null"}
    yield from _judge(
        evidence,
        # Without its nulls the index still finds what refers to a parent row.
        lambda one: (
            one.statistics.null_share >= evidence.limit("one_value_share")
            and (one.column.table, one.column.name) not in nulls
        ),
        lambda one: f"Index {one.index.subject.name} holds {one.statistics.null_share:.0%} null",
        lambda one: _partial(evidence.get(Catalog), one),
    )


@check("indexing.partial-index-candidate", catalogue="I14", severity=Severity.LOW, needs=[Catalog, PlannerStatistics])
@once_per_family
def partial_index_candidate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index is over a column of which nearly all rows have the same value.

    For that value the planner reads the table, not the index; only the rare ones are looked up in it. An index over the rows
    with another value finds the same, is a fraction as large, and is not written for most rows.

    Fix: Build it anew with a WHERE that leaves the common value out, as the statements say it, then drop the old one.

    Example: CREATE INDEX ON jobs (state), with 99 % done; ON jobs (id) WHERE state = 'queued' holds what is looked for.

    Source: PostgreSQL manual, "Partial Indexes"

    Observed: table, column, distinct, common_share, rows, size_bytes, scans.
    """
    yield from _judge(
        evidence,
        lambda one: (
            not one.for_key
            and one.statistics.null_share < evidence.limit("one_value_share")
            and one.statistics.distinct > 1
            and (one.statistics.common_share or 0.0) >= evidence.limit("one_value_share")
        ),
        lambda one: (
            f"Index {one.index.subject.name} holds one value of {quote_identifier(one.column.name)} in "
            f"{one.statistics.common_share or 0.0:.0%} of its entries"
        ),
        lambda _: Fix(
            "Build it with a WHERE that names the values looked for, or leaves the common one out; statements have to name that "
            "value as a constant, not as a parameter."
        ),
    )


def _judge(
    evidence: Evidence,
    fails: Callable[[_Judged], bool],
    title: Callable[[_Judged], str],
    fix: Callable[[_Judged], Fix],
) -> Iterator[Finding | Examined]:
    """Single-column B-trees of large tables that enforce nothing and that were used, or may have been: of those that were not,
    that is the finding."""
    catalog, believed = evidence.get(Catalog), counters_believed(evidence)
    indexes = [index for index in reviewed_indexes(catalog) if _is_free(index)]
    known = 0
    for index in indexes:
        one = _judged(evidence, index)
        known += one is not None
        if one is None or one.rows < evidence.limit("seq_scan_rows") or not fails(one):
            continue
        used = scans(evidence, index)
        if one.size < evidence.limit("unused_index_bytes") or (believed and used == 0):
            continue
        table = catalog.table_by_oid[index.table]
        yield Finding(
            index.subject,
            title(one),
            fix(one),
            severity=Severity.MEDIUM if one.size >= 10 * evidence.limit("large_index_bytes") else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "table": table.subject.name,
                "column": one.column.name,
                "distinct": round(one.statistics.distinct, 4),
                "common_share": None if one.statistics.common_share is None else round(one.statistics.common_share, 4),
                "null_share": round(one.statistics.null_share, 4),
                "rows": round(one.rows),
                "size_bytes": one.size,
                "scans": used,
            },
            related=(table.subject, catalog.column_subject(one.column)),
        )
    yield Examined(known, len(indexes), "single-column indexes that enforce nothing")


def _is_free(index: Index) -> bool:
    return (
        index.method == "btree"
        and len(index.keys) == 1
        and index.columns[0] != 0
        and not index.included
        and index.predicate is None
        and is_usable(index)
        and not is_needed(index)
    )


def _judged(evidence: Evidence, index: Index) -> _Judged | None:
    catalog = evidence.get(Catalog)
    entry = evidence.get(PlannerStatistics).by_column.get((index.table, index.columns[0]))
    rows = estimated_rows(evidence, catalog.table_by_oid[index.table])
    if entry is None or rows is None:
        return None
    column, for_key = catalog.column(index.table, index.columns[0]), keeps_foreign_key(catalog, index)
    return _Judged(index, column, entry, rows, size_bytes(catalog, index), for_key)


def _partial(catalog: Catalog, one: _Judged) -> Fix:
    table, column = catalog.table_by_oid[one.index.table], quote_identifier(one.column.name)
    name = new_name(catalog, table.schema, table.name, one.column.name, "partial", "idx")
    how = "" if table.kind == "partitioned" else " CONCURRENTLY"
    return Fix(
        f"Build it over the rows that have a value, then drop {one.index.subject.name}.",
        f"CREATE INDEX{how} {quote_identifier(name)} ON {qualified_name(table.schema, table.name)} ({column}) "
        f"WHERE {column} IS NOT NULL; DROP INDEX{how} {qualified_name(one.index.schema, one.index.name)};",
        lock="SHARE UPDATE EXCLUSIVE" if how else "ACCESS EXCLUSIVE",
        undo="Create the index again as it is declared, and drop this one.",
    )
