"""Can each row be told apart?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import column_list, column_names, estimated_rows, keys_of, new_name, reviewed_tables


@check("schema.no-primary-key", catalogue="S01", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def no_primary_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has no primary key.

    Without one, nothing says which rows are the same thing: duplicates creep in unnoticed and cannot be deleted singly,
    foreign keys have nothing to point at, logical replication cannot apply UPDATE or DELETE, and ORMs and upserts need
    workarounds. It is cheap to add early and an outage to add late. Unlogged tables, made for rows that may be lost, need none;
    where a unique key is in the way of being one, because it may be null or is deferrable, schema.no-usable-unique-key tells.

    Fix: Make an existing unique, never-null key the primary key, or add an identity column.

    Example: CREATE TABLE events (user_id bigint, name text): a retried INSERT leaves two equal rows, which only ctid
    tells apart, and once the table is published UPDATE fails, since it "does not have a replica identity".

    Source: PostgreSQL manual, "Constraints", section "Primary Keys"

    Observed: rows, total_bytes, unique_key, partitions.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    unmet = 0
    for table in tables:
        keyed = any(entry.kind == "primary_key" for entry in catalog.constraints_of(table.oid))
        if keyed or table.persistence == "unlogged" or _unusable_keys(catalog, table):
            continue
        rows = estimated_rows(evidence, table)
        large = rows is None or rows >= evidence.limit("table_rows_min")
        unmet += large
        key = next(iter(_identifying_keys(catalog, table)), None)
        severity = Severity.LOW if not large else Severity.MEDIUM if key else Severity.HIGH
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has no primary key",
            _primary_key_fix(catalog, table, key),
            severity=severity,
            observed={
                "rows": None if rows is None else round(rows),
                "total_bytes": table.total_bytes,
                "unique_key": key.subject.name if key else None,
                "partitions": len(catalog.partitions_of(table.oid)),
            },
            related=(key.subject,) if key else (),
        )
    yield Examined(len(tables), len(tables), "tables", unmet=unmet)


@check("schema.no-usable-unique-key", catalogue="S02", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def no_usable_unique_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has a unique key, and none that identifies every row.

    A key over columns that may be null lets any number of rows with a null through, and a deferrable one holds only at
    COMMIT. Neither can be what logical replication finds a row by: UPDATE and DELETE fail as soon as the table is published.
    ON CONFLICT takes no deferrable key, and no foreign key refers to one.

    Fix: Make the columns of the key NOT NULL, or the key not deferrable, and the key the primary key.

    Example: CREATE TABLE countries (code text UNIQUE, name text): code may be null in many rows, so it cannot be the
    replica identity, and UPDATE countries fails once the table is published.

    Source: PostgreSQL manual, "ALTER TABLE", REPLICA IDENTITY USING INDEX, and "Logical Replication", section "Publication"

    Observed: rows, nullable_keys, deferrable_keys, updates, deletes.
    """
    catalog, usage = evidence.get(Catalog), evidence.find(Usage)
    tables = reviewed_tables(catalog)
    for table in tables:
        keys = [] if table.persistence == "unlogged" else _unusable_keys(catalog, table)
        if not keys:
            continue
        rows = estimated_rows(evidence, table)
        counted = usage.table_by_oid.get(table.oid) if usage else None
        nullable = [index for index in keys if _nullable(catalog, index)]
        large = rows is None or rows >= evidence.limit("table_rows_min")
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has only a {'nullable' if nullable else 'deferrable'} unique key",
            _unique_key_fix(catalog, table, keys[0]),
            severity=Severity.MEDIUM if large else Severity.LOW,
            observed={
                "rows": None if rows is None else round(rows),
                "nullable_keys": [index.subject.name for index in nullable],
                "deferrable_keys": [index.subject.name for index in keys if index not in nullable],
                "updates": counted.updated if counted else None,
                "deletes": counted.deleted if counted else None,
            },
            related=tuple(index.subject for index in keys),
        )
    yield Examined(len(tables), len(tables), "tables")


def _identifying_keys(catalog: Catalog, table: Table) -> list[Index]:
    """Keys that REPLICA IDENTITY USING INDEX would take, which is also what a primary key needs."""
    deferrable = _deferrable(catalog, table)
    return [
        index
        for index in keys_of(catalog, table.oid)
        if index.oid not in deferrable and (index.primary or not _nullable(catalog, index))
    ]


def _unusable_keys(catalog: Catalog, table: Table) -> list[Index]:
    """The unique keys of a table of which none identifies every row; those first that NOT NULL alone mends."""
    if _identifying_keys(catalog, table):
        return []
    deferrable = _deferrable(catalog, table)
    return sorted(keys_of(catalog, table.oid), key=lambda index: (index.oid in deferrable, index.name))


def _deferrable(catalog: Catalog, table: Table) -> set[int | None]:
    return {entry.index for entry in catalog.constraints_of(table.oid) if entry.deferrable}


def _nullable(catalog: Catalog, index: Index) -> list[str]:
    """Names of the key columns that may be null."""
    return [column.name for number in index.columns if not (column := catalog.column(index.table, number)).not_null]


def _primary_key_fix(catalog: Catalog, table: Table, key: Index | None) -> Fix:
    name = qualified_name(table.schema, table.name)
    constraint = new_name(catalog, table.schema, table.name, "pkey")
    undo = f"ALTER TABLE {name} DROP CONSTRAINT {quote_identifier(constraint)};"
    if key is None:
        return _new_key_fix(catalog, table, name)
    columns = column_list(column_names(catalog, table.oid, key.columns))
    add = f"ALTER TABLE {name} ADD CONSTRAINT {quote_identifier(constraint)} PRIMARY KEY"
    if table.kind == "partitioned":
        return Fix(f"Make ({columns}), which is unique and never null, the primary key.", f"{add} ({columns});",
                   lock="ACCESS EXCLUSIVE", undo=undo)  # fmt: skip
    if (
        key.constraint is None
        and not any(part.descending or part.nulls_first for part in key.keys)
        and not key.included
    ):
        sql = f"{add} USING INDEX {quote_identifier(key.name)};"
        return Fix(f"Make ({columns}), which is unique and never null, the primary key. The index takes the constraint's name.",
                   sql, lock="ACCESS EXCLUSIVE", undo=f"{undo} -- drops the index with it")  # fmt: skip
    sql = (
        f"CREATE UNIQUE INDEX CONCURRENTLY {quote_identifier(constraint)} ON {name} ({columns});\n"
        f"{add} USING INDEX {quote_identifier(constraint)};"
    )
    summary = f"Make ({columns}), which is unique and never null, the primary key, then drop the unique constraint it replaces."
    return Fix(summary, sql, lock="ACCESS EXCLUSIVE", undo=undo)


def _new_key_fix(catalog: Catalog, table: Table, name: str) -> Fix:
    if catalog.column_named(table.oid, "id") is not None:
        constraint = quote_identifier(new_name(catalog, table.schema, table.name, "pkey"))
        if table.kind == "partitioned":
            return Fix("Choose the columns that identify a row, the partition key among them, and declare them.")
        sql = (
            f"CREATE UNIQUE INDEX CONCURRENTLY {constraint} ON {name} (id);\n"
            f"ALTER TABLE {name} ADD CONSTRAINT {constraint} PRIMARY KEY USING INDEX {constraint};"
        )
        summary = (
            "Declare id the primary key, if it identifies a row. The index build fails if it holds duplicates, the second "
            "statement if it holds nulls; clean those up first. It scans the table unless id is NOT NULL already."
        )
        return Fix(summary, sql, lock="ACCESS EXCLUSIVE", undo=f"ALTER TABLE {name} DROP CONSTRAINT {constraint};")
    if table.kind == "partitioned":
        return Fix("Choose the columns that identify a row, the partition key among them, and declare them.")
    return Fix(
        "Declare the columns that identify a row as PRIMARY KEY; where there are none, add an identity column.",
        f"ALTER TABLE {name} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;",
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=f"ALTER TABLE {name} DROP COLUMN id;",
    )


def _unique_key_fix(catalog: Catalog, table: Table, key: Index) -> Fix:
    name, columns = qualified_name(table.schema, table.name), _nullable(catalog, key)
    if key.oid in _deferrable(catalog, table):
        rule = next(entry for entry in catalog.constraints_of(table.oid) if entry.index == key.oid)
        listed, constraint = column_list(column_names(catalog, table.oid, key.columns)), quote_identifier(rule.name)
        replace = f"ALTER TABLE {name} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint}"
        return Fix(
            "Make it a primary key that is checked at once. It builds the index anew, and fails where a column is null; leave it "
            "if transactions hold two rows with the same key for a while, as one that renumbers rows does.",
            f"{replace} PRIMARY KEY ({listed});",
            lock="ACCESS EXCLUSIVE",
            undo=f"{replace} {'PRIMARY KEY' if key.primary else 'UNIQUE'} ({listed}) DEFERRABLE;",
        )
    actions = ",\n  ".join(f"ALTER COLUMN {quote_identifier(column)} SET NOT NULL" for column in columns)
    undone = ", ".join(f"ALTER COLUMN {quote_identifier(column)} DROP NOT NULL" for column in columns)
    return Fix(
        f"Make {column_list(columns)} NOT NULL, then the key the primary key. The statement reads the whole table; on a "
        "large one add a validated CHECK (... IS NOT NULL) before, and it needs no scan.",
        f"ALTER TABLE {name}\n  {actions};",
        lock="ACCESS EXCLUSIVE",
        undo=f"ALTER TABLE {name} {undone};",
    )
