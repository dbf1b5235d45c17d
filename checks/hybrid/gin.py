"""Indexes on whole documents that do not fit how the documents are searched or written."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, PlannerStatistics, Server, Settings, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.figures import bytes_in_words, days_in_words
from checks.hybrid.documents import compares, document_columns, gin_indexes
from checks.json_paths import CONTAINMENT, SERVED_BY_CLASS, comparisons_with_keys, way_of
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
from checks.relations import estimated_rows, is_usable, leaves, new_name, reviewed_tables, size_bytes
from checks.settings import is_on, size_in_bytes
from checks.workload import (
    observed_workload,
    place_in_words,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
)

SHOWN = 5
MANY_WRITES = 10_000
# Bytes of a document on average, from where on some may well be too long for a key of a B-tree.
_WIDE = 300


@check("hybrid.gin-operator-class-mismatch", catalogue="H03", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def gin_operator_class_mismatch(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A GIN index on documents does not serve the operators that are used.

    jsonb_path_ops knows paths to values alone: it serves @>, @? and @@, and a statement with ?, ?| or ?& reads every document
    beside it. The other way round, jsonb_ops holds every key too: where only containment is asked for, jsonb_path_ops
    is smaller and faster.

    Fix: The operator class of the operators: jsonb_ops for key existence, jsonb_path_ops for containment.

    Example: CREATE INDEX ON events USING gin (payload jsonb_path_ops), and WHERE payload ? 'error': a sequential scan, for
    jsonb_path_ops does not hold keys.

    Source: PostgreSQL manual, "jsonb Indexing"

    Observed: operator_class, operators, rows, index_bytes, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    indexed = [
        (table, column, index)
        for table, column in document_columns(catalog, "jsonb")
        for index in gin_indexes(catalog, column)
    ]
    if not indexed:
        raise NotApplicable("no jsonb column has a GIN index")
    workload = [pattern for pattern in observed_workload(evidence) if pattern.all_filters_known]
    for table, column, index in indexed:
        used: dict[str, list[AccessPattern]] = {}
        for pattern in workload:
            for comparison in comparisons_with_keys(evidence, pattern):
                way = way_of(comparison)
                if way and way.json_operator is None and compares(catalog, comparison, column):
                    for operator in way.operators:
                        used.setdefault(operator, []).append(pattern)
        held = _class_of(index, column)
        missing = {operator: found for operator, found in used.items() if operator not in SERVED_BY_CLASS[held]}
        others = [entry for entry in gin_indexes(catalog, column) if entry.oid != index.oid]
        if missing and not any(set(missing) <= SERVED_BY_CLASS[_class_of(entry, column)] for entry in others):
            yield _unserved(evidence, table, column, index, missing)
        elif (
            held == "jsonb_ops"
            and used
            and set(used) <= CONTAINMENT
            and unread_statements(evidence) is None
            and size_bytes(catalog, index) > 10 * evidence.limit("unused_index_bytes")
        ):
            yield _larger_than_needed(evidence, table, column, index, used)
    yield Examined(len(indexed), len(indexed), "GIN indexes on documents", gap=unread_statements(evidence))


def _class_of(index: Index, column: Column) -> str:
    names = [key.operator_class.rpartition(".")[2] for key in index.keys if key.column == column.number]
    return names[0] if names and names[0] in SERVED_BY_CLASS else "jsonb_ops"


def _create(catalog: Catalog, table: Table, column: Column, operator_class: str) -> tuple[str, str, str]:
    """The statement, its lock, and its undoing."""
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    name = new_name(catalog, table.schema, table.name, column.name, operator_class, "idx")
    relation = qualified_name(table.schema, table.name)
    sql = (
        f"CREATE INDEX {concurrently}{quote_identifier(name)} ON {relation} "
        f"USING gin ({quote_identifier(column.name)} {operator_class});"
    )
    return sql, "SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE", (
        f"DROP INDEX {concurrently}{qualified_name(table.schema, name)};"
    )  # fmt: skip


def _unserved(
    evidence: Evidence, table: Table, column: Column, index: Index, missing: dict[str, list[AccessPattern]]
) -> Finding:
    catalog = evidence.get(Catalog)
    patterns = list(dict.fromkeys(pattern for found in missing.values() for pattern in found))
    rows = estimated_rows(evidence, table) or 0
    places = tuple(dict.fromkeys(place for entry in patterns for place in statement_places(evidence, entry)))
    sql, lock, undo = _create(catalog, table, column, "jsonb_ops")
    operators = sorted(missing)
    return Finding(
        index.subject,
        f"GIN index {index.subject.name} ({_class_of(index, column)}) does not serve {' and '.join(operators)} of "
        f"{len(patterns)} statement{'s' if len(patterns) > 1 else ''}{place_in_words(places)}",
        Fix(f"Build it with jsonb_ops, then drop {index.subject.name}.", sql=sql, lock=lock, undo=undo),
        severity=Severity.MEDIUM if rows > evidence.limit("seq_scan_rows") else Severity.LOW,
        confidence=Confidence.MEASURED if any(entry.query_id for entry in patterns) else Confidence.INFERRED,
        observed={
            "operator_class": _class_of(index, column),
            "operators": operators,
            "rows": round(rows),
            "index_bytes": size_bytes(catalog, index),
            **statement_figures(evidence, patterns[0]),
        },
        related=(catalog.column_subject(column), *(statement_subject(entry) for entry in patterns[:SHOWN])),
        locations=places,
    )


def _larger_than_needed(
    evidence: Evidence, table: Table, column: Column, index: Index, used: dict[str, list[AccessPattern]]
) -> Finding:
    catalog = evidence.get(Catalog)
    sql, lock, undo = _create(catalog, table, column, "jsonb_path_ops")
    return Finding(
        index.subject,
        f"GIN index {index.subject.name}, {bytes_in_words(size_bytes(catalog, index))}, holds every key, and only "
        f"{' and '.join(sorted(used))} is asked of it",
        Fix(f"Build it with jsonb_path_ops, then drop {index.subject.name}.", sql=sql, lock=lock, undo=undo),
        severity=Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={
            "operator_class": "jsonb_ops",
            "operators": sorted(used),
            "rows": round(estimated_rows(evidence, table) or 0),
            "index_bytes": size_bytes(catalog, index),
        },
        related=(catalog.column_subject(column),),
    )


@check("hybrid.btree-on-jsonb", catalogue="H04", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def btree_on_jsonb(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A B-tree index has whole documents as keys.

    It serves equality of whole documents alone, never containment or a key; and as soon as a document of more than about
    2,700 bytes comes, its INSERT fails: index row size exceeds btree maximum.

    Fix: GIN for what is inside, an index on an expression for one key, or a hash of the document where it must be unique.

    Example: CREATE INDEX ON events (payload), with payload jsonb: WHERE payload @> $1 reads the whole table all the same, and a
    document of 4 kB fails with "index row size exceeds btree version 4 maximum 2704".

    Source: PostgreSQL manual, "jsonb Indexing"; "B-Tree Indexes"

    Observed: unique, average_bytes
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table in reviewed_tables(catalog)}
    documents = {
        (column.table, column.number): column for _, column in document_columns(catalog, "jsonb")
    }  # fmt: skip
    if not documents:
        raise NotApplicable("no table has a jsonb column")
    statistics = evidence.find(PlannerStatistics)
    for index in catalog.indexes:
        if index.method != "btree" or index.table not in tables or not is_usable(index) or index.parent is not None:
            continue
        for number in index.columns:
            column = documents.get((index.table, number))
            if column is None:
                continue
            table = tables[index.table]
            concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
            known = statistics.by_column.get((table.oid, column.number)) if statistics else None
            width = known.average_width if known else 0
            name = new_name(catalog, table.schema, table.name, column.name, "gin", "idx")
            yield Finding(
                index.subject,
                f"B-tree index {index.subject.name} has the documents of {quote_identifier(column.name)} as keys",
                Fix(
                    "Keep them unique by a hash of the document: a generated column of md5(document::text) in its place, also "
                    "where ON CONFLICT names it."
                    if index.unique
                    else "Drop it, and index what statements ask for: GIN for containment, an expression for a key.",
                    sql=None
                    if index.unique
                    else f"CREATE INDEX {concurrently}{quote_identifier(name)} ON "
                    f"{qualified_name(table.schema, table.name)} USING gin ({quote_identifier(column.name)});",
                    lock=None if index.unique else "SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
                    undo=None if index.unique else f"DROP INDEX {qualified_name(table.schema, name)};",
                ),
                severity=Severity.LOW if index.unique and width < _WIDE else Severity.MEDIUM,
                observed={"unique": index.unique, "index_bytes": index.size_bytes, "average_bytes": round(width)},
                related=(table.subject, catalog.column_subject(column)),
                locations=evidence.locations(index.subject),
            )
            break
    yield Examined(len(documents), len(documents), "jsonb columns")


@check("hybrid.gin-pending-list", catalogue="N16", severity=Severity.LOW, needs=[Catalog, Usage, Server])
@once_per_family
def gin_pending_list(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A GIN index on often written documents works with a pending list that nobody has chosen.

    With fastupdate, writes go to a list that is searched one by one and emptied when it reaches gin_pending_list_limit, 4 MB:
    the writer that fills it waits for all of that, and each search reads the list before. And an update of the document cannot
    be HOT.

    Fix: fastupdate = off for even latency, or a smaller gin_pending_list_limit on this index; a generated column with a B-tree
    where only a few keys are asked for.

    Example: CREATE INDEX ON messages USING gin (metadata), with 300 inserts a second: every few seconds one INSERT empties 4 MB
    of pending entries, and takes half a second where others take one millisecond.

    Source: PostgreSQL manual, "GIN Fast Update Technique", "GIN Tips and Tricks"

    Observed: writes, hot_share, fastupdate, pending_list_bytes, days
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    indexed = [
        (table, column, index)
        for table, column in document_columns(catalog, "jsonb")
        for index in gin_indexes(catalog, column)
        if index.parent is None
    ]
    if not indexed:
        raise NotApplicable("no jsonb column has a GIN index")
    if evidence.get(Server).is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it counts writes")
    days = evidence.require_window("window_days")
    settings = evidence.find(Settings)
    limit = size_in_bytes(settings, "gin_pending_list_limit") if settings else None
    for table, column, index in indexed:
        if not is_on(index.options.get("fastupdate", "on")) or "gin_pending_list_limit" in index.options:
            continue
        parts = [entry for part in leaves(catalog, table) if (entry := usage.table_by_oid.get(part.oid))]
        writes = sum(part.inserted + part.updated for part in parts)
        updated = sum(part.updated for part in parts)
        hot = sum(part.hot_updated for part in parts) / updated if updated else None
        if writes / max(days, 1) < MANY_WRITES:
            continue
        yield Finding(
            index.subject,
            f"GIN index {index.subject.name} takes {writes:,} writes in {days_in_words(days)} through a pending list that "
            "nobody has chosen",
            Fix(
                "Switch fastupdate off, or bound the list; and see that autovacuum comes often enough to empty it.",
                sql=f"ALTER INDEX {qualified_name(index.schema, index.name)} SET (fastupdate = off);",
                lock="SHARE UPDATE EXCLUSIVE",
                undo=f"ALTER INDEX {qualified_name(index.schema, index.name)} RESET (fastupdate);",
            ),
            severity=Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "writes": writes,
                "hot_share": None if hot is None else round(hot, 4),
                "fastupdate": True,
                "pending_list_bytes": None if limit is None else round(limit),
                "days": round(days, 1),
            },
            related=(table.subject, catalog.column_subject(column)),
            locations=evidence.locations(index.subject),
        )
    yield Examined(len(indexed), len(indexed), "GIN indexes on documents")
