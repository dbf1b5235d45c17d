"""What null may mean, and where nobody said."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, PlannerStatistics, Server, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import column_list, column_names, estimated_rows, grant, leaves, new_name, reviewed_tables
from checks.schema.code_columns import required_by_code
from checks.schema.columns import reviewed_columns, told, words
from checks.schema.habits import CROWD, once_per_habit

SCOPES = frozenset(
    "tenant org organization organisation workspace account team project company customer parent".split()
)
_MINIMUM_COLUMNS = 4
_SOFT_DELETE = frozenset(
    {"deleted", "archived", "removed", "revoked", "ended", "closed", "canceled", "cancelled", "until"}
)


@check("schema.all-columns-nullable", catalogue="S16", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"All columns but the key may be null in {number} tables of schema {schema}", CROWD
)
def all_columns_nullable(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Every column of a table but its key may be null.

    A row that says nothing is valid there. Which values are always known was never decided, so every reader decides it anew, and
    the planner has to expect nulls everywhere.

    Fix: Make NOT NULL what every row has.

    Example: CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text, phone text, country text): INSERT
    INTO customers (id) VALUES (1) succeeds, and every reader has to know what a customer without a name is.

    Source: PostgreSQL manual, "Constraints", section "Not-Null Constraints"

    Observed: columns, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        key = {
            number
            for entry in catalog.constraints_of(table.oid)
            if entry.kind == "primary_key"
            for number in entry.columns
        }
        others = [column for number, column in catalog.columns_of(table.oid).items() if number not in key]
        # A row for a pair of things may well say nothing but that they belong together.
        if len(key) > 1 or len(others) < _MINIMUM_COLUMNS or any(column.not_null for column in others):
            continue
        rows = estimated_rows(evidence, table)
        name = qualified_name(table.schema, table.name)
        first = quote_identifier(others[0].name)
        yield Finding(
            table.subject,
            f"All {len(others)} columns of {table.subject.name} but its key may be null",
            Fix(
                "Decide which columns every row has, and make those NOT NULL, as shown for one: a CHECK that is validated first "
                "spares the scan under the lock.",
                f"ALTER TABLE {name} ADD CONSTRAINT {quote_identifier(new_name(catalog, table.schema, table.name, 'present'))} "
                f"CHECK ({first} IS NOT NULL) NOT VALID;",
                lock="ACCESS EXCLUSIVE, briefly",
                undo=f"ALTER TABLE {name} DROP CONSTRAINT "
                f"{quote_identifier(new_name(catalog, table.schema, table.name, 'present'))};",
            ),
            observed={"columns": len(others), "rows": None if rows is None else round(rows)},
        )
    yield Examined(len(tables), len(tables), "tables")


@check("schema.nullable-boolean", catalogue="S23", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def nullable_boolean(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A boolean column with a default may be null: it has three states.

    WHERE active and WHERE NOT active together do not give all rows, and code that reads null as false disagrees with SQL that
    reads it as unknown. A default says that every row was meant to have a value; without one, null may be an answer.

    Fix: Fill the nulls and make the column NOT NULL.

    Example: active boolean DEFAULT true: an ORM that writes NULL makes a row which neither WHERE active nor WHERE NOT
    active returns.

    Source: PostgreSQL manual, "Boolean Type"

    Observed: type, rows, columns, tables, largest.
    """
    columns = [entry for entry in reviewed_columns(evidence.get(Catalog)) if entry[1].base_type == "bool"]
    if not columns:
        raise NotApplicable("no column is a boolean")
    statistics = evidence.find(PlannerStatistics)
    # Those are nullability-differs-from-code's.
    required = required_by_code(evidence)
    found = [
        (table, column)
        for table, column in columns
        if not column.not_null
        and (column.table, column.number) not in required
        and not column.generated
        and (column.default == "constant" or _never_null(statistics, table, column))
    ]
    yield from told(
        evidence,
        found,
        lambda name, column: (
            f"Boolean {name} may be null" + (" in spite of its default" if column.default != "none" else "")
        ),
        lambda schema, number: f"{number} booleans of schema {schema} may be null",
        lambda table, column: _not_null(table, column, "false"),
        Severity.LOW,
    )
    yield Examined(len(columns), len(columns), "boolean columns", unmet=len(found))


def _never_null(statistics: PlannerStatistics | None, table: Table, column: Column) -> bool:
    """Whether a column without default, in a table with rows, was always given a value."""
    entry = statistics.by_column.get((column.table, column.number)) if statistics else None
    return entry is not None and entry.null_share == 0 and (table.rows or 0) >= 1_000


def _not_null(table: Table, column: Column, value: str) -> Fix:
    name, quoted = qualified_name(table.schema, table.name), quote_identifier(column.name)
    return Fix(
        "Fill the nulls, in batches on a large table, then forbid them. With a validated CHECK (... IS NOT NULL) the last "
        "statement need not read the table.",
        f"UPDATE {name} SET {quoted} = {value} WHERE {quoted} IS NULL;\nALTER TABLE {name} ALTER COLUMN {quoted} SET NOT NULL;",
        lock="ACCESS EXCLUSIVE",
        undo=f"ALTER TABLE {name} ALTER COLUMN {quoted} DROP NOT NULL;",
    )


@check("schema.unique-over-nullable", catalogue="S26", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} unique indexes of schema {schema} let duplicates through where a column is null",
    CROWD,
)
def unique_over_nullable(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A unique index over several columns lets duplicates through where one of them is null.

    Two nulls are never equal to it: (7, NULL) fits in a hundred times, which is how a user ends up with two default addresses.
    Looked at are columns that say where the rest is unique: those of a foreign key, or called after a tenant. A value that
    is optional itself (external_id) may be null as often as it likes.

    Fix: NULLS NOT DISTINCT from PostgreSQL 15, else NOT NULL, or a second, partial unique index.

    Example: UNIQUE (team_id, slug) with a nullable team_id: INSERT INTO pages (team_id, slug) VALUES (NULL, 'home')
    succeeds twice.

    Source: PostgreSQL manual, "CREATE INDEX", NULLS NOT DISTINCT

    Observed: columns, nullable, rows.
    """
    catalog = evidence.get(Catalog)
    indexes = [
        index
        for table in reviewed_tables(catalog)
        for index in catalog.indexes_of(table.oid)
        if index.unique and not index.primary and index.parent is None and len(index.keys) > 1 and all(index.columns)
    ]
    if not indexes:
        raise NotApplicable("no unique index has more than one column")
    for index in indexes:
        nullable = [number for number in index.columns if not catalog.column(index.table, number).not_null]
        names = column_names(catalog, index.table, nullable)
        if (
            not nullable
            or index.nulls_not_distinct
            or index.predicate is not None
            or len(nullable) == len(index.columns)
            or not all(_is_scope(catalog, index, number) for number in nullable)
            or _second_index(catalog, index, nullable)
        ):
            continue
        table = catalog.table_by_oid[index.table]
        rows = estimated_rows(evidence, table)
        all_names = column_names(catalog, index.table, index.columns)
        yield Finding(
            index.subject,
            f"Unique index {index.subject.name} lets duplicates through where "
            f"{' or '.join(map(quote_identifier, names))} is null",
            _distinct_fix(evidence, index, all_names, names),
            severity=Severity.MEDIUM if len(nullable) == 1 else Severity.LOW,
            observed={"columns": all_names, "nullable": names, "rows": None if rows is None else round(rows)},
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "unique indexes over several columns")


def _is_scope(catalog: Catalog, index: Index, number: int) -> bool:
    """Whether a column says within what others are unique, and is no value that may be missing."""
    table = index.table
    foreign = [entry for entry in catalog.constraints_of(table) if entry.kind == "foreign_key"]
    keys = [entry for entry in foreign if number in entry.columns]
    # The last of several references is what is unique within the others.
    referring = {column for entry in foreign for column in entry.columns}
    if set(index.columns) <= referring and index.columns[-1] == number:
        return False
    # Null is what is left there of a parent that was deleted.
    if any(entry.on_delete == "set null" for entry in keys):
        return False
    name = words(catalog.column(table, number).name)
    if SCOPES & set(name) and not _SOFT_DELETE & set(name):
        return True
    return bool(keys)


def _second_index(catalog: Catalog, index: Index, nullable: list[int]) -> bool:
    """Whether another unique index guards the rows in which these columns are null."""
    rest = set(index.columns) - set(nullable)
    return any(
        other.unique and other.oid != index.oid and set(other.columns) <= rest | {0}
        and (other.predicate is not None or 0 not in other.columns)
        for other in catalog.indexes_of(index.table)
    )  # fmt: skip


def _distinct_fix(evidence: Evidence, index: Index, columns: list[str], nullable: list[str]) -> Fix:
    catalog, server = evidence.get(Catalog), evidence.find(Server)
    table = catalog.table_by_oid[index.table]
    name = quote_identifier(new_name(catalog, index.schema, table.name, *columns, "key"))
    on = qualified_name(table.schema, table.name)
    undo = f"DROP INDEX CONCURRENTLY {qualified_name(index.schema)}.{name};"
    concurrently = "" if table.kind == "partitioned" else " CONCURRENTLY"
    if server is None or server.major >= 15:
        return Fix(
            "If null is meant as a value, build the index anew with NULLS NOT DISTINCT, then drop this one. It fails if there "
            "are duplicates: find them with GROUP BY over its columns.",
            f"CREATE UNIQUE INDEX{concurrently} {name} ON {on} ({column_list(columns)}) NULLS NOT DISTINCT;",
            lock="SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
            undo=undo,
        )
    rest = [column for column in columns if column not in nullable]
    predicate = " AND ".join(f"{quote_identifier(column)} IS NULL" for column in nullable)
    return Fix(
        "If null is meant as a value, add an index for the rows that have it. It fails if there are duplicates.",
        f"CREATE UNIQUE INDEX{concurrently} {name} ON {on} ({column_list(rest)}) WHERE {predicate};",
        lock="SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
        undo=undo,
    )


@check("schema.default-is-null-text", catalogue="S20", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def default_is_null_text(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column's default is the word NULL as text.

    DEFAULT 'NULL' stores four letters, which IS NULL does not find and every reader takes for a value. Generators of migrations
    that quote defaults make it.

    Fix: Drop the default, and turn the stored words into nulls.

    Example: note text DEFAULT 'NULL': WHERE note IS NULL finds no row, and the page shows the word NULL as the note.

    Source: PostgreSQL manual, "Default Values"

    Observed: type, rows, columns, tables, largest.
    """
    columns = reviewed_columns(evidence.get(Catalog))
    found = [(table, column) for table, column in columns if column.default_says_null]
    yield from told(
        evidence,
        found,
        lambda name, _: f"Column {name} has the word NULL as its default",
        lambda schema, number: f"{number} columns of schema {schema} have the word NULL as their default",
        _drop_default,
        Severity.LOW,
    )
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))


def _drop_default(table: Table, column: Column) -> Fix:
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(column.name)}"
    return Fix(
        "Drop the default, then set the stored words to null.",
        f"{alter} DROP DEFAULT;",
        lock="ACCESS EXCLUSIVE, briefly",
        undo=f"{alter} SET DEFAULT 'NULL';",
    )


@check("schema.always-null-column", catalogue="S60", severity=Severity.LOW, needs=[Catalog, PlannerStatistics])
@once_per_family
@once_per_habit(lambda schema, number: f"Columns are null in every row of {number} tables of schema {schema}", CROWD)
def always_null_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column is null in every row.

    In a table with many rows that is a feature that was never finished, a writer that stopped, or a column that was renamed in
    the code alone. Readers keep handling it, and SELECT * keeps sending it.

    Fix: Find out who was to fill it; drop it if nobody is.

    Example: orders.coupon_id is null in all of 5 million rows, since the code writes coupon_code: a report that counts
    WHERE coupon_id IS NOT NULL says that nobody ever used a coupon.

    Source: PostgreSQL manual, "pg_stats", null_frac

    Observed: columns, rows.
    """
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    floor = evidence.limit("always_null_rows")
    tables = [
        table
        for table in reviewed_tables(catalog)
        if (rows := estimated_rows(evidence, table)) is not None and rows >= floor
    ]
    if not tables:
        raise NotApplicable(f"no table is known to have {floor:,.0f} rows")
    known = 0
    for table in tables:
        parts = leaves(catalog, table)
        seen = [
            part for part in parts if any((part.oid, n) in statistics.by_column for n in catalog.columns_of(part.oid))
        ]
        if not seen:
            continue
        known += 1
        empty = [column for column in catalog.columns_of(table.oid).values() if _always_null(evidence, column, seen)]
        if not empty:
            continue
        names = [column.name for column in empty]
        subject = catalog.column_subject(empty[0]) if len(empty) == 1 else table.subject
        actions = ", ".join(f"DROP COLUMN {quote_identifier(name)}" for name in names)
        yield Finding(
            subject,
            f"Column {subject.name} is null in every row"
            if len(empty) == 1
            else f"{len(empty)} columns of {table.subject.name} are null in every row",
            Fix(
                "Find out who was to fill it; drop it if nobody is. Old code that still names the column must be gone first.",
                f"ALTER TABLE {qualified_name(table.schema, table.name)} {actions};",
                lock="ACCESS EXCLUSIVE, briefly",
                undo="Add a column of the same type: it held nothing but nulls.",
            ),
            confidence=Confidence.INFERRED,
            observed={"columns": names, "rows": round(estimated_rows(evidence, table) or 0)},
            related=(table.subject,),
        )
    hidden = len(tables) - known
    gap = (
        Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_data"))
        if hidden and statistics.hidden_tables
        else None
    )
    yield Examined(known, len(tables), f"tables of {floor:,.0f} rows and more", gap)


def _always_null(evidence: Evidence, column: Column, parts: list[Table]) -> bool:
    """By the statistics of all partitions that have any. A column that marks what rarely happens is left out."""
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    if column.not_null or column.generated or _RARE & set(words(column.name)):
        return False
    shares = []
    for part in parts:
        same = catalog.column_named(part.oid, column.name)
        entry = statistics.by_column.get((part.oid, same.number)) if same else None
        if entry is None:
            return False
        shares.append(entry.null_share)
    return bool(shares) and all(share == 1 for share in shares)


_RARE = _SOFT_DELETE | {
    "error",
    "errors",
    "failed",
    "failure",
    "exception",
    "expires",
    "expired",
    "locked",
    "suspended",
    "banned",
}
