"""What code looks for and the schema has no index for, whether or not it ever ran."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Column, Index, PlannerStatistics
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.families import once_per_family
from checks.indexing.candidates import candidates
from checks.indexing.coverage import covering_index
from checks.indexing.needs import Need, needs
from checks.indexing.proposals import Candidate, Key, Purpose, creation
from checks.indexing.serving import serving_index
from checks.indexing.workload import places
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import column_list, is_reviewed, is_usable, leaves, reviewed_tables
from checks.workload import place_in_words

_KEY_NAME = re.compile(
    r"(^|_)(id|uuid|key|token|slug|email|hash|code|ref|handle)$|(?<=[a-z])(Id|Uuid|Key|Token|Hash|Email)$"
)
_KEY_TYPES = frozenset({"uuid", "int4", "int8", "text", "varchar", "bpchar", "citext"})
_DELETED = re.compile(r"^(deleted|removed|archived|trashed)_?(at|on)$", re.IGNORECASE)
_MANY_DELETED = 0.5


@check("indexing.lookup-without-index", catalogue="I38", severity=Severity.MEDIUM, needs=[Catalog, Repository])
@once_per_family
def lookup_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code looks rows up by a column that no index serves, in statements that were not seen to run.

    The statistics of statements hold what ran since they began; code holds what will run. On a large table each such call reads
    all of it. Where the table is empty or small here its size in production is unknown, and only a look-up by what is plainly
    a key (an id, a token, an address) is noted. A foreign key without an index is a finding of its own and not repeated.

    Fix: Index the columns compared for equality.

    Example: db.subscription.findFirst({ where: { stripeCustomerId } }), where no index has stripe_customer_id.

    Source: PostgreSQL manual, "Indexes", introduction

    Observed: columns, rows, rows_left, statements.
    """
    catalog = evidence.get(Catalog)
    evidence.get(Repository)
    reviewed_tables(catalog)
    written = [need for need in needs(evidence) if need.statement is None and need.equal]
    if not written:
        raise NotApplicable("no statement in the code looks rows up that did not run")
    plain = {Purpose.FILTER, Purpose.ORDER}
    for one in candidates(evidence):
        if one.purpose in plain and not one.ran and not _of_foreign_key(catalog, one.table, one.columns):
            helped = any(not _leading(catalog, one.table).isdisjoint({*need.equal, *need.ranges}) for need in one.needs)
            yield _finding(evidence, one, Severity.LOW if helped else Severity.MEDIUM)
    small: dict[tuple[int, str], list[Need]] = {}
    for need in written:
        if (need.rows is None or need.rows < evidence.limit("seq_scan_rows")) and (name := _key(evidence, need)):
            small.setdefault((need.table.oid, name), []).append(need)
    for (table, name), found in small.items():
        if (found[0].rows or 0) == 0 and not _of_foreign_key(catalog, table, (name,)):
            key = Key(quote_identifier(name), name)
            yield _finding(evidence, Candidate(Purpose.FILTER, table, "btree", (key,), tuple(found)), Severity.NOTE)
    yield Examined(len(written), len(written), "look-ups in code")


def _key(evidence: Evidence, need: Need) -> str | None:
    """The one column that the statement looks a row up by, if it is plainly a key and no index leads with anything compared."""
    catalog = evidence.get(Catalog)
    if not need.pattern.all_filters_known or need.pattern.joined_relations > 1 or serving_index(evidence, need):
        return None
    if not _leading(catalog, need.table.oid).isdisjoint({*need.equal, *need.joined, *need.ranges}):
        return None
    columns = [catalog.column_named(need.table.oid, name) for name in need.equal]
    keys = [column.name for column in columns if column and _is_key(column)]
    return keys[0] if keys else None


def _leading(catalog: Catalog, table: int) -> set[str]:
    """The columns that usable indexes of the table begin with."""
    return {
        catalog.column(index.table, index.columns[0]).name
        for index in catalog.indexes_of(table)
        if index.columns[0] and is_usable(index)
    }


def _is_key(column: Column) -> bool:
    if column.base_type == "uuid":
        return True
    return column.base_type in _KEY_TYPES and _KEY_NAME.search(column.name) is not None


def _of_foreign_key(catalog: Catalog, table: int, columns: tuple[str, ...]) -> bool:
    first = catalog.column_named(table, columns[0])
    return first is not None and any(
        key.kind == "foreign_key" and first.number in key.columns and not covering_index(catalog, key)
        for key in catalog.constraints_of(table)
    )


def _finding(evidence: Evidence, candidate: Candidate, severity: Severity) -> Finding:
    catalog = evidence.get(Catalog)
    table, where = catalog.table_by_oid[candidate.table], places(evidence, candidate)
    rows = candidate.needs[0].rows
    return Finding(
        table.subject,
        f"Code looks up {table.subject.name} by ({column_list(candidate.columns)}), which no index serves{place_in_words(where)}",
        creation(catalog, candidate, "Index what it is looked up by, if the table will be large."),
        severity=severity,
        confidence=Confidence.INFERRED,
        observed={
            "columns": list(candidate.columns),
            "rows": None if rows is None else round(rows),
            "rows_left": None if candidate.rows_left is None else round(candidate.rows_left, 1),
            "statements": list(candidate.statements)[:5],
        },
        locations=where,
        discriminator=candidate.discriminator,
    )


@check("indexing.upsert-without-unique-index", catalogue="I34", severity=Severity.HIGH, needs=[Catalog, Repository])
@once_per_family
def upsert_without_unique_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code inserts with ON CONFLICT over columns that no unique index of the table has.

    The server refuses such a statement whenever it runs: there is no unique or exclusion constraint matching the ON CONFLICT
    specification. A partial unique index does not match either, unless the statement repeats its WHERE.

    Fix: A unique index over exactly these columns, once duplicates are gone; or the columns of the one that is there.

    Example: INSERT ... ON CONFLICT (user_id, day) DO UPDATE, where there is an index on (user_id, day) that is not unique.

    Source: PostgreSQL manual, "INSERT", section "ON CONFLICT Clause"

    Observed: columns, unique_indexes, statements.
    """
    catalog = evidence.get(Catalog)
    evidence.get(Repository)
    upserts = [
        entry
        for entry in patterns.workload(evidence)
        if entry.verb == "insert" and entry.conflict_columns and entry.query_id is None and len(entry.tables) == 1
    ]
    if not upserts:
        raise NotApplicable("no statement of the code names the columns of a conflict")
    found: dict[tuple[int, tuple[str, ...]], list[patterns.AccessPattern]] = {}
    for entry in upserts:
        columns, oid = tuple(sorted(set(entry.conflict_columns or ()))), entry.tables[0]
        table = catalog.table_by_oid.get(oid)
        known = catalog.column_names.get(oid, {})
        if table is None or not is_reviewed(table) or not all(name in known for name in columns):
            continue
        if not any(_infers(catalog, index, columns) for index in catalog.indexes_of(oid)):
            found.setdefault((oid, columns), []).append(entry)
    for (oid, columns), entries in found.items():
        table = catalog.table_by_oid[oid]
        where = tuple(dict.fromkeys(place for entry in entries for place in entry.locations))
        unique = [index.name for index in catalog.indexes_of(oid) if index.unique]
        yield Finding(
            table.subject,
            f"ON CONFLICT ({column_list(columns)}) of {table.subject.name} matches no unique index{place_in_words(where)}",
            Fix(
                "Make a unique index over exactly these columns, after a look for duplicates, or name the columns of another."
            ),
            confidence=Confidence.INFERRED,
            observed={"columns": list(columns), "unique_indexes": unique[:10], "statements": len(entries)},
            locations=where,
            discriminator=",".join(columns),
        )
    yield Examined(len(upserts), len(upserts), "upserts in code that did not run")


def _infers(catalog: Catalog, index: Index, columns: tuple[str, ...]) -> bool:
    """Whether ON CONFLICT over these columns means that index, in whatever order."""
    if not (index.unique and index.valid and index.predicate is None and all(index.columns)):
        return False
    return {catalog.column(index.table, number).name for number in index.columns} == set(columns)


@check("indexing.soft-delete-without-partial-index", catalogue="I33", severity=Severity.NOTE,
       needs=[Catalog, PlannerStatistics])  # fmt: skip
@once_per_family
def soft_delete_without_partial_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Most rows are marked as deleted, and the indexes hold them all the same.

    Where statements ask for what is not deleted only, an index over just those rows is a fraction as large. It is no finding
    while most rows are alive: then a partial index saves little.

    Fix: Build the indexes that such statements use `WHERE deleted_at IS NULL`; or move deleted rows to a table of their own.

    Example: documents.deleted_at is set in nine of ten rows, statements ask for WHERE deleted_at IS NULL, and every index holds
    all ten.

    Source: PostgreSQL manual, "Partial Indexes"

    Observed: column, deleted_share, rows, indexes, statements.
    """
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    marked = [
        (table, column)
        for table in reviewed_tables(catalog)
        for column in catalog.columns_of(table.oid).values()
        if _DELETED.match(column.name) and column.base_type in {"timestamptz", "timestamp", "date"}
    ]
    if not marked:
        raise NotApplicable("no table marks rows as deleted")
    for table, column in marked:
        entry = statistics.by_column.get((table.oid, column.number))
        asked = [need for need in needs(evidence) if need.table.oid == table.oid]
        alive = [need for need in asked if (column.name, "is null") in need.null_tests]
        rows = next((need.rows for need in asked), None)
        if entry is None or not alive or rows is None or rows < evidence.limit("seq_scan_rows"):
            continue
        indexes = [index for part in (table, *leaves(catalog, table)) for index in catalog.indexes_of(part.oid)]
        if 1 - entry.null_share < _MANY_DELETED or any(column.name in (index.predicate or "") for index in indexes):
            continue
        yield Finding(
            Subject("column", (table.schema, table.name, column.name)),
            f"{1 - entry.null_share:.0%} of the rows of {table.subject.name} are deleted by {quote_identifier(column.name)}, "
            "and every index holds them",
            Fix(f"Build the indexes that look for living rows with WHERE {quote_identifier(column.name)} IS NULL."),
            observed={
                "column": column.name,
                "deleted_share": round(1 - entry.null_share, 4),
                "rows": round(rows),
                "indexes": len(indexes),
                "statements": [need.name for need in alive][:5],
            },
            related=(table.subject,),
        )
    yield Examined(len(marked), len(marked), "columns that mark rows as deleted")
