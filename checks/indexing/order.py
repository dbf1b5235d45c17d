"""Do the columns of each composite index stand in the order in which statements need them?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, PlannerStatistics, Statements, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.indexing.candidates import candidates
from checks.indexing.duplicates import is_needed, scans
from checks.indexing.needs import Need, needs
from checks.indexing.proposals import Candidate, Key, Purpose, creation
from checks.indexing.serving import serves
from checks.indexing.write_costs import cost_in_words, write_cost
from checks.model import Confidence, Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import column_list, is_usable, leaves, new_name, reviewed_indexes, reviewed_tables, size_bytes
from checks.workload import place_in_words, rows_per_call, statement_figures, statement_places, unread_statements

_MOMENTS = frozenset({"timestamptz", "timestamp", "date"})
_CORRELATED = 0.95
_LARGE_BYTES = 1024**3
_ROWS_PER_CALL = 50
_CALLS = 1_000
_INCLUDED = 3
_INCLUDED_BYTES = 64


@check("indexing.range-column-not-last", catalogue="I16", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def range_column_not_last(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A composite index has a moment before a column that statements compare for equality.

    From the first column compared with a range on, an index is no longer narrowed: every entry of that stretch of time is read,
    and the column behind it only filters them. With the range last, just the matching entries are read.

    Fix: The same columns with the one compared by range at the end.

    Example: an index on (created_at, status) for WHERE created_at > $1 AND status = $2: all of the time is walked, whatever its
    status.

    Source: PostgreSQL manual, "Multicolumn Indexes"

    Observed: table, columns, better, statements, statement, calls, mean_ms, size_bytes.
    """
    yield from _in_wrong_order(evidence, moments=True)


@check("indexing.composite-column-order", catalogue="I17", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def composite_column_order(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A composite index has a column compared by range before one compared for equality.

    From the first column compared with a range on, an index is no longer narrowed: every entry of that range is read, and the
    column behind it only filters them. With the range last, just the matching entries are read.

    Fix: The same columns, those compared for equality first.

    Example: an index on (created_at, tenant_id) for WHERE tenant_id = $1 AND created_at > $2; (tenant_id, created_at) reads the
    rows asked for and no more.

    Source: PostgreSQL manual, "Multicolumn Indexes"

    Observed: table, columns, better, statements, statement, calls, mean_ms, size_bytes.
    """
    yield from _in_wrong_order(evidence, moments=False)


def _in_wrong_order(evidence: Evidence, *, moments: bool) -> Iterator[Finding | Examined]:
    catalog = evidence.get(Catalog)
    indexes = [
        index
        for index in reviewed_indexes(catalog)
        if index.method == "btree" and len(index.keys) > 1 and all(index.columns) and is_usable(index)
    ]
    by_table: dict[int, list[Need]] = {}
    for need in needs(evidence):
        if need.rows is not None and need.rows >= evidence.limit("seq_scan_rows"):
            by_table.setdefault(need.table.oid, []).append(need)
    for index in indexes:
        columns = [catalog.column(index.table, number) for number in index.columns]
        names = [column.name for column in columns]
        concerned = [
            (need, position)
            for need in by_table.get(index.table, [])
            if (position := _range_before_equality(names, need)) is not None
            and (columns[position].base_type in _MOMENTS) is moments
            and not _served_in_order(evidence, index, need)
        ]
        if not concerned or is_needed(index):
            continue
        first, position = max(concerned, key=lambda entry: (entry[0].total_ms, entry[0].name))
        better = [*(name for name in names if name != names[position]), names[position]]
        table = catalog.table_by_oid[index.table]
        ran = any(need.statement for need, _ in concerned)
        places = tuple(
            dict.fromkeys(place for need, _ in concerned for place in statement_places(evidence, need.pattern))
        )
        name = new_name(catalog, table.schema, table.name, *better, "idx")
        how = "" if table.kind == "partitioned" else " CONCURRENTLY"
        yield Finding(
            index.subject,
            f"Index {index.subject.name} has {quote_identifier(names[position])}, compared by range, before what is compared "
            f"for equality{place_in_words(places)}",
            Fix(
                f"Make it with {quote_identifier(names[position])} last; drop this one once no other statement needs its order.",
                f"CREATE INDEX{how} {quote_identifier(name)} ON {qualified_name(table.schema, table.name)} "
                f"({column_list(better)});",
                lock="SHARE UPDATE EXCLUSIVE" if how else "SHARE",
                undo=f"DROP INDEX{how} {qualified_name(table.schema, name)};",
            ),
            confidence=Confidence.MEASURED if ran else Confidence.INFERRED,
            observed={
                "table": table.subject.name,
                "columns": names,
                "better": better,
                "statements": [need.name for need, _ in concerned][:5],
                **statement_figures(evidence, first.pattern),
                "size_bytes": size_bytes(catalog, index),
            },
            related=(table.subject,),
            locations=places,
        )
    yield Examined(len(indexes), len(indexes), "composite indexes", unread_statements(evidence))


def _range_before_equality(names: list[str], need: Need) -> int | None:
    """The position of a key that the statement compares by range, with one behind it that it compares for equality; what
    stands before is compared for equality."""
    for position, name in enumerate(names[:-1]):
        if name in need.equal:
            continue
        behind = any(other in need.equal for other in names[position + 1 :])
        return position if name in need.ranges and behind and need.order != name else None
    return None


def _served_in_order(evidence: Evidence, index: Index, need: Need) -> bool:
    """Whether another index leads with what the statement compares for equality."""
    catalog = evidence.get(Catalog)
    return any(
        other.oid != index.oid
        and other.method == "btree"
        and other.columns[0] in catalog.columns_of(other.table)
        and catalog.column(other.table, other.columns[0]).name in need.equal
        and serves(evidence, other, need)
        for other in catalog.indexes_of(index.table)
    )


@check("indexing.brin-candidate", catalogue="I32", severity=Severity.NOTE, needs=[Catalog, PlannerStatistics])
@once_per_family
def brin_candidate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large B-tree is over a column whose values lie in the table as they came.

    Rows are in the order of the column, as in a table that is only appended to. A BRIN index tells which blocks may hold a range
    of it and is a thousandth as large. It serves wide ranges well; it finds no single row fast and gives no order, so a
    B-tree that statements sort or look single rows up by stays.

    Fix: A BRIN index beside it; then drop the B-tree if ranges are all that is asked for.

    Example: CREATE INDEX ON events (created_at) on 200 million rows that are only ever appended takes 4 GB; USING brin takes 1
    MB, and finds a day as well.

    Source: PostgreSQL manual, "BRIN Indexes"

    Observed: table, column, correlation, size_bytes, rows, scans.
    """
    catalog, statistics, usage = evidence.get(Catalog), evidence.get(PlannerStatistics), evidence.find(Usage)
    exact = {
        (need.table.oid, name) for need in needs(evidence) for name in (*need.equal, *need.joined, need.order) if name
    }
    indexes = [
        index
        for index in reviewed_indexes(catalog)
        if index.method == "btree"
        and len(index.keys) == 1
        and index.columns[0]
        and is_usable(index)
        and not is_needed(index)
    ]
    for index in indexes:
        column, size = catalog.column(index.table, index.columns[0]), size_bytes(catalog, index)
        entry = statistics.by_column.get((index.table, column.number))
        if entry is None or abs(entry.correlation or 0.0) < _CORRELATED or size < _LARGE_BYTES:
            continue
        table = catalog.table_by_oid[index.table]
        counted = [one for leaf in leaves(catalog, table) if usage and (one := usage.table_by_oid.get(leaf.oid))]
        changed = sum(one.updated + one.deleted for one in counted) > 0.1 * sum(one.inserted for one in counted)
        if (index.table, column.name) in exact or changed or column.base_type not in _MOMENTS | {"int4", "int8"}:
            continue
        key = Key(quote_identifier(column.name), column.name)
        yield Finding(
            index.subject,
            f"Index {index.subject.name} ({bytes_in_words(size)}) is over values that lie in the order of the table",
            creation(
                catalog,
                Candidate(Purpose.RANGE, index.table, "brin", (key,), ()),
                f"Make a BRIN index beside it, look at the plans, then drop {index.subject.name}.",
            ),
            confidence=Confidence.INFERRED,
            observed={
                "table": table.subject.name,
                "column": column.name,
                "correlation": round(entry.correlation or 0.0, 3),
                "size_bytes": size,
                "rows": table.rows,
                "scans": scans(evidence, index),
            },
            related=(table.subject, catalog.column_subject(column)),
        )
    yield Examined(len(indexes), len(indexes), "single-column B-trees that enforce nothing")


@check("indexing.covering-index-candidate", catalogue="I27", severity=Severity.NOTE, needs=[Catalog, Statements])
@once_per_family
def covering_index_candidate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement that runs often reads many rows for a column or two that its index could hold.

    The index finds the rows, then each is fetched from the table, one page after the other. With the few further columns in
    INCLUDE, the index alone answers, as long as vacuum keeps the visibility map up to date. Columns that updates set would
    keep those updates from being heap-only and are never proposed, and neither are wide ones.

    Fix: The same index with these columns in INCLUDE, in place of the one that is there.

    Example: SELECT status FROM jobs WHERE batch_id = $1 reads 3,000 rows a call; an index on (batch_id) INCLUDE (status) reads
    none of the table.

    Source: PostgreSQL manual, "Index-Only Scans and Covering Indexes"

    Observed: index, included, rows_per_call, table_writes, statement, calls, mean_ms, share.
    """
    catalog = evidence.get(Catalog)
    reviewed_tables(catalog)
    often = [
        need
        for need in needs(evidence)
        if need.statement is not None and need.calls >= _CALLS and rows_per_call(need.statement) >= _ROWS_PER_CALL
    ]
    wanted = {one.table for one in candidates(evidence)}
    for need in often:
        found = _covering(evidence, need)
        if found is None or need.table.oid in wanted:
            continue
        index, candidate = found
        cost = write_cost(evidence, candidate)
        if cost.blocks_hot:
            continue
        places = statement_places(evidence, need.pattern)
        yield Finding(
            index.subject,
            f"Index {index.subject.name} with {column_list(candidate.included)} would answer a frequent statement alone"
            f"{place_in_words(places)}",
            creation(
                catalog,
                candidate,
                f"Make it, then drop {index.subject.name} unless it enforces a rule.{cost_in_words(cost)}",
            ),
            confidence=Confidence.INFERRED,
            observed={
                "index": index.subject.name,
                "included": list(candidate.included),
                "table_writes": cost.writes,
                **statement_figures(evidence, need.pattern),
            },
            related=(need.table.subject,),
            locations=places,
            discriminator=",".join(candidate.included),
        )
    yield Examined(len(often), len(often), "frequent statements that return many rows", unread_statements(evidence))


def _covering(evidence: Evidence, need: Need) -> tuple[Index, Candidate] | None:
    """The index that finds the rows, and the one that would hold all that the statement reads of its only table."""
    catalog, statistics, pattern = evidence.get(Catalog), evidence.find(PlannerStatistics), need.pattern
    if len(pattern.tables) != 1 or pattern.joined_relations > 1 or len(pattern.selected) != pattern.output_columns:
        return None
    if not pattern.selected or need.other or pattern.verb != "select" or need.table.kind == "partitioned":
        return None
    read = {entry.column for entry in (*pattern.selected, *(comparison.column for comparison in pattern.comparisons))}
    read |= {key.column.column for key in pattern.order_by if key.column}
    for index in catalog.indexes_of(need.table.oid):
        if index.method != "btree" or not all(index.columns) or index.predicate or not serves(evidence, index, need):
            continue
        keys = [catalog.column(index.table, number).name for number in index.columns]
        missing = sorted(read - {*keys, *(catalog.column(index.table, number).name for number in index.included)})
        entries = [
            statistics.by_column.get((index.table, column.number)) if statistics and column else None
            for column in (catalog.column_named(need.table.oid, name) for name in missing)
        ]
        width = sum(entry.average_width if entry else 10_000 for entry in entries)
        if not 0 < len(missing) <= _INCLUDED or width > _INCLUDED_BYTES or index.included:
            return None
        made = tuple(Key(quote_identifier(name), name) for name in keys)
        return index, Candidate(Purpose.FILTER, need.table.oid, "btree", made, (need,), included=tuple(missing))
    return None
