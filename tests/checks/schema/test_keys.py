from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE keyed (id bigint PRIMARY KEY, name text);
    CREATE TABLE events (at timestamptz, payload jsonb);
    CREATE TABLE lookups (code text NOT NULL UNIQUE, label text);
    CREATE TABLE indexed (code text NOT NULL, label text);
    CREATE UNIQUE INDEX indexed_code ON indexed (code);
    CREATE TABLE subscribers (email text UNIQUE, name text);
    CREATE TABLE vouchers (code text NOT NULL, used boolean);
    CREATE UNIQUE INDEX unused_code ON vouchers (code) WHERE NOT used;
    CREATE TABLE people (name text NOT NULL);
    CREATE UNIQUE INDEX people_name ON people (lower(name));
    CREATE TABLE queue_slots (slot int NOT NULL, CONSTRAINT slot_once UNIQUE (slot) DEFERRABLE);
    CREATE UNLOGGED TABLE scratch (value text);
    CREATE TABLE measured (day date NOT NULL, value int) PARTITION BY RANGE (day);
    CREATE TABLE measured_2025 PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE billed (day date NOT NULL, id bigint, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE billed_2026 PARTITION OF billed FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW events_view AS SELECT * FROM events;
    CREATE MATERIALIZED VIEW events_summary AS SELECT count(*) FROM events;
    CREATE SCHEMA "Sales, Ltd.";
    CREATE TABLE "Sales, Ltd."."Order ""x""; DROP TABLE keyed; --" (id bigint, "select" text);
"""
HOSTILE = '"Sales, Ltd."."Order ""x""; DROP TABLE keyed; --"'

TOOL_TABLES = (
    "flyway_schema_history databasechangelog alembic_version django_migrations schema_migrations __drizzle_migrations "
    '_prisma_migrations knex_migrations goose_db_version ar_internal_metadata "SequelizeMeta" "__EFMigrationsHistory" '
    "__diesel_schema_migrations _sqlx_migrations typeorm_metadata"
).split()


def test_tables_without_a_primary_key(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.no-primary-key")

    assert names(result) == {
        "public.events", "public.lookups", "public.indexed", "public.vouchers", "public.people", "public.measured", HOSTILE,
    }  # fmt: skip
    assert (result.examined, result.of) == (12, 12)
    assert finding(result, "public.measured").observed["partitions"] == 2


def test_a_unique_key_that_can_become_the_primary_key_is_used(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.no-primary-key")

    lookups = finding(result, "public.lookups")
    assert lookups.severity is Severity.LOW
    assert lookups.observed["unique_key"] == "public.lookups_code_key"
    for name in ("public.lookups", "public.indexed", "public.events", HOSTILE):
        fix = finding(result, name).fix
        assert fix.sql is not None
        for statement in fix.sql.splitlines():
            database.execute(statement)
    fixed = names(examine(database, "schema.no-primary-key"))
    assert fixed.isdisjoint({"public.lookups", "public.indexed", "public.events", HOSTILE})


def test_only_tables_of_some_size_are_unmet(database: Database) -> None:
    database.execute(
        "CREATE TABLE small (v int); INSERT INTO small SELECT 1 FROM generate_series(1, 999)",
        "CREATE TABLE large (v int); INSERT INTO large SELECT 1 FROM generate_series(1, 1001)",
        "ANALYZE",
    )

    result = examine(database, "schema.no-primary-key")

    assert (finding(result, "public.small").severity, finding(result, "public.large").severity) == (
        Severity.LOW,
        Severity.HIGH,
    )
    assert finding(result, "public.large").observed["rows"] == 1001
    assert result.unmet == 1


def test_tables_whose_unique_keys_identify_no_row(database: Database) -> None:
    database.execute(
        SCHEMA,
        """
        CREATE TABLE ranks (id int, label text, CONSTRAINT ranks_pkey PRIMARY KEY (id) DEFERRABLE);
        CREATE TABLE both_kinds (code text UNIQUE, slot int NOT NULL UNIQUE DEFERRABLE);
        CREATE TABLE kept (slot int PRIMARY KEY, email text UNIQUE, place int NOT NULL UNIQUE DEFERRABLE);
        CREATE UNLOGGED TABLE landed (code text UNIQUE);
        """,
    )

    result = examine(database, "schema.no-usable-unique-key")

    assert {found.title for found in result.findings} == {
        "Table public.subscribers has only a nullable unique key",
        "Table public.queue_slots has only a deferrable unique key",
        "Table public.ranks has only a deferrable unique key",
        "Table public.both_kinds has only a nullable unique key",
    }
    # One cause is told once.
    assert names(result).isdisjoint(names(examine(database, "schema.no-primary-key")))
    both = finding(result, "public.both_kinds").observed
    assert (both["nullable_keys"], both["deferrable_keys"]) == (
        ["public.both_kinds_code_key"], ["public.both_kinds_slot_key"],
    )  # fmt: skip
    for found in result.findings:
        assert found.fix.sql is not None
        assert found.fix.undo is not None
        for statement in (found.fix.sql, found.fix.undo, found.fix.sql):
            database.execute(statement)
    assert names(examine(database, "schema.no-usable-unique-key")) == set()
    # Its key can be the primary key now, which it is not yet.
    assert "public.subscribers" in names(examine(database, "schema.no-primary-key"))


def test_unique_keys_that_identify_no_row_count_by_the_size_of_the_table(database: Database) -> None:
    database.execute(
        "CREATE TABLE few (code text UNIQUE); INSERT INTO few VALUES (NULL), (NULL), ('a')",
        "CREATE TABLE many (code text UNIQUE); INSERT INTO many SELECT NULL FROM generate_series(1, 1001)",
        "ANALYZE",
    )

    result = examine(database, "schema.no-usable-unique-key")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.few": Severity.LOW, "public.many": Severity.MEDIUM,
    }  # fmt: skip


def test_tables_of_extensions_and_migration_tools_are_not_the_applications(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements", *(f"CREATE TABLE {name} (version text)" for name in TOOL_TABLES)
    )
    database.execute(
        "CREATE EXTENSION citext",
        "CREATE TABLE owned (v text)",
        "ALTER EXTENSION citext ADD TABLE owned",
    )

    assert examine(database, "schema.no-primary-key").outcome is Outcome.NOT_APPLICABLE

    database.execute("CREATE TABLE mine (v text)")
    assert names(examine(database, "schema.no-primary-key")) == {"public.mine"}


def test_a_database_without_tables(database: Database) -> None:
    for check in ("schema.no-primary-key", "schema.no-usable-unique-key"):
        result = examine(database, check)
        assert result.outcome is Outcome.NOT_APPLICABLE
        assert result.fact == "the database has no tables"
