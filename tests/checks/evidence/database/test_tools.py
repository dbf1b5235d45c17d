"""Statements of pg_dump and monitoring are told from those of the application."""

from __future__ import annotations

import subprocess

import pytest

from checks.evidence.database.facts import Statements
from checks.evidence.database.observe import observe_database
from checks.evidence.database.tools import reads_catalogs_only
from checks.shadow.server import find_binaries
from tests.servers import Database

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE pg_things (id int);
    CREATE TABLE parted (at date) PARTITION BY RANGE (at);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW shown AS SELECT * FROM parted;
    CREATE TABLE pairs (a int, b int CHECK (b > 0) DEFAULT 1);
    CREATE STATISTICS together ON a, b FROM pairs
"""


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM pg_class",
        "SELECT * FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
        "WITH a AS (SELECT oid FROM pg_class), b (x) AS MATERIALIZED (SELECT $1 FROM a) SELECT * FROM b, a",
        "SELECT extract(epoch FROM now()) FROM pg_stat_activity",
        "SELECT a IS DISTINCT FROM b FROM pg_class ORDER BY (SELECT 1), a",
        "SELECT * FROM unnest($1::oid[]) AS src (t) JOIN pg_attribute a ON a.attrelid = src.t",
        "SELECT * FROM information_schema.tables",
        "/* agent */ SELECT * FROM monitoring.pg_stat_statements s",
        "SELECT * FROM pg_class c LEFT JOIN LATERAL pg_get_indexdef(c.oid) d ON true",
        "SELECT pg_catalog.pg_is_in_recovery()",
        "SELECT pg_catalog.set_config($1, $2, $3)",
        "SELECT pg_catalog.format_type($1::pg_catalog.oid, $2)",
        "SELECT pg_get_partkeydef($1)",
    ],
)
def test_a_statement_of_a_tool(text: str) -> None:
    assert reads_catalogs_only(text, {"pg_things"})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT set_config($1, $2, $3), pg_catalog.set_config($4, $5, $6)",
        "SELECT pg_catalog.pg_try_advisory_lock($1)",
        "SELECT other.set_config($1, $2, $3)",
        "SELECT ($1)",
        "SELECT * FROM generate_series(1, 2) g",
        "SELECT * FROM pg_things",
        "SELECT * FROM pg_class c, users u",
        "SELECT * FROM (pg_class c JOIN users u ON true)",
        "SELECT * FROM (SELECT * FROM users) x, pg_class",
        "SELECT (SELECT count(*) FROM orders) FROM pg_class",
        "SELECT oid FROM pg_class UNION SELECT id FROM users",
        'SELECT oid FROM pg_class WHERE relname IN (SELECT name FROM "Users")',
        "SELECT * FROM pg_class c, LATERAL (SELECT 1 FROM users) y",
        "SELECT extract(epoch FROM created) FROM users",
        "INSERT INTO users SELECT * FROM pg_class",
        "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone, pg_class",
        "",
        'WITH called AS (SELECT c.* FROM "public"."match_documents"("query" := $1) c) SELECT called.id FROM called LIMIT $2',
    ],
)
def test_a_statement_of_an_application(text: str) -> None:
    assert not reads_catalogs_only(text, {"pg_things"})


def test_a_dump_is_counted_and_is_no_workload(database: Database) -> None:
    database.execute(SCHEMA)
    for statement in ("SELECT count(*) FROM pg_things", "SELECT relname FROM pg_class WHERE oid = 1"):
        database.connect().execute(statement)
    program = find_binaries() / "pg_dump"
    subprocess.run([program, "--schema-only", "--dbname", database.dsn], stdout=subprocess.DEVNULL, check=True)
    statements = observe_database(database.dsn).statements
    assert isinstance(statements, Statements)
    assert [entry.text for entry in statements.entries] == ["SELECT count(*) FROM pg_things"]
    assert statements.of_tools > 10
    assert 0 < statements.of_tools_ms < statements.total_ms
