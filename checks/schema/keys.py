"""Can each row be told apart?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Replication, Table, Usage
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
    workarounds. It is cheap to add early and an outage to add late. Unlogged tables, made for rows that may be lost, need none.

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
        if keyed or table.persistence == "unlogged":
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
    """A table has no unique key that identifies every row.

    Only a unique index that is valid, immediate, without predicate or expression, and over columns that are never null
    identifies every row. Without one there is no replica identity, so UPDATE and DELETE fail as soon as the table is
    published, ON CONFLICT has no target, and a duplicate row can only be removed by its physical address.

    Fix: Give the table a primary key, or make the columns of its unique index NOT NULL.

    Example: CREATE TABLE countries (code text UNIQUE, name text): code may be null in many rows, so it cannot be the
    replica identity, and UPDATE countries fails once the table is published.

    Source: PostgreSQL manual, "ALTER TABLE", REPLICA IDENTITY USING INDEX, and "Logical Replication", section "Publication"

    Observed: rows, nullable_keys, updates, deletes, published.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    usage, replication = evidence.find(Usage), evidence.find(Replication)
    for table in tables:
        if _identifying_keys(catalog, table) or table.persistence == "unlogged":
            continue
        rows = estimated_rows(evidence, table)
        counted = usage.table_by_oid.get(table.oid) if usage else None
        changed = bool(counted and counted.updated + counted.deleted)
        published = bool(
            replication and (replication.publishes_all_tables or table.oid in replication.published_tables)
        )
        nullable = [index for index in keys_of(catalog, table.oid) if _nullable(catalog, index)]
        if published:
            severity = Severity.HIGH
        elif changed or rows is None or rows >= evidence.limit("table_rows_min"):
            severity = Severity.MEDIUM
        else:
            severity = Severity.LOW
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has "
            + ("only a nullable unique key" if nullable else "no unique key that identifies every row"),
            _unique_key_fix(catalog, table, nullable),
            severity=severity,
            observed={
                "rows": None if rows is None else round(rows),
                "nullable_keys": [index.subject.name for index in nullable],
                "updates": counted.updated if counted else None,
                "deletes": counted.deleted if counted else None,
                "published": published if replication else None,
            },
            related=tuple(index.subject for index in nullable),
        )
    yield Examined(len(tables), len(tables), "tables")


def _identifying_keys(catalog: Catalog, table: Table) -> list[Index]:
    """Keys that REPLICA IDENTITY USING INDEX would take, which is also what a primary key needs."""
    deferrable = {entry.index for entry in catalog.constraints_of(table.oid) if entry.deferrable}
    return [
        index
        for index in keys_of(catalog, table.oid)
        if index.oid not in deferrable and (index.primary or not _nullable(catalog, index))
    ]


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


def _unique_key_fix(catalog: Catalog, table: Table, nullable: list[Index]) -> Fix:
    name = qualified_name(table.schema, table.name)
    if not nullable:
        return _new_key_fix(catalog, table, name)
    columns = _nullable(catalog, nullable[0])
    actions = ",\n  ".join(f"ALTER COLUMN {quote_identifier(column)} SET NOT NULL" for column in columns)
    undone = ", ".join(f"ALTER COLUMN {quote_identifier(column)} DROP NOT NULL" for column in columns)
    return Fix(
        f"Make {column_list(columns)} NOT NULL. The statement reads the whole table; on a large one add a validated "
        "CHECK (... IS NOT NULL) before, and it needs no scan.",
        f"ALTER TABLE {name}\n  {actions};",
        lock="ACCESS EXCLUSIVE",
        undo=f"ALTER TABLE {name} {undone};",
    )
