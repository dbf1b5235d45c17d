"""The relations that a review is about, and how checks speak of them in SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.database.facts import Catalog, Column, Index, Sequence, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.model import NotApplicable, Unknown, quote_identifier

MIGRATION_TABLES = frozenset(
    """
    __diesel_schema_migrations __drizzle_migrations __efmigrationshistory _prisma_migrations _sqlx_migrations
    alembic_version alembic_versions ar_internal_metadata atlas_schema_revisions databasechangelog databasechangeloglock
    django_migrations doctrine_migration_versions flyway_schema_history gitlab_schema_migrations goose_db_version
    gorp_migrations knex_migrations knex_migrations_lock kysely_migration kysely_migration_lock migration_versions
    mikro_orm_migrations phinxlog pgmigrations refinery_schema_history schema_info schema_migration schema_migrations
    schema_version schemaversions sequelizemeta south_migrationhistory supabase_migrations typeorm_migrations
    typeorm_metadata yoyo_lock _yoyo_log _yoyo_migration _yoyo_version _sqlx_test_databases _realtime_migrations
    """.split()
)
_FOREIGN_SCHEMAS = frozenset(
    """
    _timescaledb_cache _timescaledb_catalog _timescaledb_config _timescaledb_internal atlas_schema_revisions drizzle
    graphile_migrate hdb_catalog hdb_views partman supabase_functions supabase_migrations
    """.split()
)

# The schemas that Supabase keeps its own services in; its generated types declare their tables too.
PLATFORM_SCHEMAS = frozenset(
    """
    _analytics _realtime auth cron extensions graphql graphql_public net pgbouncer pgsodium realtime storage
    supabase_functions supabase_migrations vault
    """.split()
)

# Roles by which providers own the tables of their own services.
_PLATFORM_OWNERS = re.compile(
    r"supabase(_\w+)?_admin|rdsadmin|cloudsqladmin|alloydbadmin|azuresu|azure_superuser|neon_superuser"
)

IDENTIFIER_BYTES = 63


def reviewed_tables(catalog: Catalog) -> list[Table]:
    """Tables and partitioned tables that the application answers for: none that an extension or a migration tool owns, and
    of a partitioned table the root alone. Raises NotApplicable if there is none."""
    found = [table for table in catalog.tables if is_reviewed(table)]
    if not found:
        raise NotApplicable("the database has no tables")
    return found


def is_reviewed(table: Table) -> bool:
    return table.kind in {"table", "partitioned"} and not table.is_partition and is_of_the_application(table)


def is_of_the_application(table: Table) -> bool:
    """Neither an extension's nor a migration tool's or platform's."""
    return (
        table.extension is None
        and table.name.lower() not in MIGRATION_TABLES
        and table.schema.lower() not in _FOREIGN_SCHEMAS
        and not _PLATFORM_OWNERS.fullmatch(table.owner)
    )


def leaves(catalog: Catalog, table: Table) -> list[Table]:
    """The partitions of a partitioned table that hold rows; of any other table, itself."""
    if table.kind != "partitioned":
        return [table]
    return [leaf for part in catalog.partitions_of(table.oid) for leaf in leaves(catalog, part) if leaf.kind == "table"]


def estimated_rows(evidence: Evidence, table: Table) -> float | None:
    """Rows of a table, of all partitions together: the planner's estimate, else the live tuples that the cumulative
    statistics count, None if neither is known for every part."""
    usage = evidence.find(Usage)
    total = 0.0
    for part in leaves(evidence.get(Catalog), table):
        counted = usage.table_by_oid.get(part.oid) if usage else None
        if part.rows is not None:
            total += part.rows
        elif part.heap_bytes == 0:
            continue
        elif counted:
            total += counted.live_tuples
        else:
            return None
    return total


def size_bytes(catalog: Catalog, index: Index) -> int:
    """Bytes of an index, of all its partitions together."""
    return sum(part.size_bytes or 0 for part in index_parts(catalog, index))


def index_parts(catalog: Catalog, index: Index) -> list[Index]:
    """The index itself and, if it is partitioned, every index below it."""
    found = [index]
    for part in found:
        for table in catalog.partitions_of(part.table):
            found += [child for child in catalog.indexes_of(table.oid) if child.parent == part.oid]
    return found


def reviewed_indexes(catalog: Catalog) -> list[Index]:
    """Indexes of the reviewed tables, a partitioned one once at its root. Raises NotApplicable if there is none."""
    found = [
        index
        for table in reviewed_tables(catalog)
        for index in catalog.indexes_of(table.oid)
        if index.extension is None and index.parent is None
    ]
    if not found:
        raise NotApplicable("no table has an index")
    return found


def root_of(catalog: Catalog, table: Table) -> Table:
    """The partitioned table at the top of the tree that a partition is in; any other table itself."""
    seen = {table.oid}
    while table.is_partition and table.parent in catalog.table_by_oid and table.parent not in seen:
        table = catalog.table_by_oid[table.parent]
        seen.add(table.oid)
    return table


def local_indexes(catalog: Catalog) -> list[Index]:
    """Indexes that partitions of the reviewed tables have of their own: no index of the partitioned table is above them."""
    return [
        index
        for index in catalog.indexes
        if index.parent is None
        and index.extension is None
        and (table := catalog.table_by_oid.get(index.table)) is not None
        and table.is_partition
        and is_reviewed(root_of(catalog, table))
    ]


def is_usable(index: Index) -> bool:
    """Whether the planner may use the index."""
    return index.valid and index.ready and not index.being_built


def column_names(catalog: Catalog, table: int, numbers: Iterable[int]) -> list[str]:
    """Names of the columns with these numbers, in their order."""
    return [catalog.column(table, number).name for number in numbers]


def column_list(names: Iterable[str]) -> str:
    """Names, quoted where they must be, as they stand between parentheses."""
    return ", ".join(quote_identifier(name) for name in names)


def new_name(catalog: Catalog, schema: str, *parts: str) -> str:
    """An unused relation name in that schema, joined from `parts` and cut as PostgreSQL cuts: at 63 bytes, not within a
    character, the last part whole. A constraint's name may be made by it too."""
    stem, suffix = "_".join(parts[:-1]), f"_{parts[-1]}"
    number = 0
    while True:
        ending = f"{suffix}{number or ''}"
        room = IDENTIFIER_BYTES - len(ending.encode("utf-8", "surrogateescape"))
        name = stem.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore") + ending
        if (schema, name) not in catalog.taken_names:
            return name
        number += 1


def quote_literal(text: str) -> str:
    """`text` as an SQL string constant, whatever standard_conforming_strings says."""
    quoted = "'" + text.replace("'", "''") + "'"
    return f" E{quoted.replace(chr(92), chr(92) * 2)}" if "\\" in text else quoted


def counters_believed(evidence: Evidence) -> bool:
    """Whether the cumulative statistics cover long enough that a zero in them means anything."""
    try:
        evidence.require_window("window_days")
    except Unknown:
        return False
    return evidence.find(Usage) is not None


def grant(evidence: Evidence, role: str) -> str:
    """The statement that lets the reviewing role see what it may not."""
    return f"GRANT {role} TO {user_name(evidence)};"


def user_name(evidence: Evidence) -> str:
    """The role that observed the server, quoted for a GRANT."""
    server = evidence.find(Server)
    return quote_identifier(server.user) if server else "CURRENT_USER"


def feeding_sequence(catalog: Catalog, column: Column) -> Sequence | None:
    """The sequence that gives a column its values: of its identity or its nextval() default."""
    if column.default_sequence is not None:
        return catalog.sequence_by_oid.get(column.default_sequence)
    if column.identity:
        return catalog.sequence_by_owner.get((column.table, column.number))
    return None


def keys_of(catalog: Catalog, table: int) -> list[Index]:
    """Usable unique indexes over plain columns without predicate, immediate or not, primary key first."""
    found = [
        index
        for index in catalog.indexes_of(table)
        if index.unique and is_usable(index) and index.predicate is None and all(index.columns)
    ]
    return sorted(found, key=lambda index: (not index.primary, index.oid))
