from __future__ import annotations

import pytest

from checks.evidence.database.facts import Extension, Statement, Statements
from checks.evidence.database.observe import observe_database
from checks.evidence.database.statements import TOO_OLD, observe_statements
from checks.model import Reason, Unobserved
from tests.servers import Database


def _statements(database: Database) -> Statements:
    statements = observe_database(database.dsn).statements
    assert isinstance(statements, Statements)
    return statements


def _by_text(statements: Statements) -> dict[str, Statement]:
    return {entry.text: entry for entry in statements.entries}


@pytest.mark.parametrize("schema", ["public", 'we"ird.[red]'])
def test_statements_in_whatever_schema(database: Database, schema: str) -> None:
    quoted = schema.replace('"', '""')
    database.execute(f'CREATE SCHEMA IF NOT EXISTS "{quoted}"; CREATE EXTENSION pg_stat_statements SCHEMA "{quoted}"')
    connection = database.connect()
    for number in range(3):
        connection.execute("SELECT %s::int + 1 WHERE 'x' <> 'S3CRET'", [number])
    statements = _statements(database)
    assert statements.extension_version == {14: "1.9", 15: "1.10", 16: "1.10", 17: "1.11"}.get(database.major, "1.12")
    assert statements.since is not None
    assert statements.evicted == 0
    assert statements.hidden == 0
    entry = _by_text(statements)["SELECT $1::int + $2 WHERE $3 <> $4"]
    assert (entry.calls, entry.rows, entry.toplevel, entry.users) == (3, 3, True, ("postgres",))
    assert entry.mean_ms == pytest.approx(entry.total_ms / 3)
    assert entry.max_ms is not None
    assert entry.max_ms >= entry.mean_ms
    assert int(entry.query_id)


def test_rows_of_several_users_are_one(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements", "DROP ROLE IF EXISTS r_other; CREATE ROLE r_other LOGIN")
    try:
        for user, times in (("postgres", 2), ("r_other", 3)):
            for _ in range(times):
                database.connect(user=user).execute("SELECT 'both'")
        entry = _by_text(_statements(database))["SELECT $1"]
        assert (entry.calls, entry.users) == (5, ("postgres", "r_other"))
        assert entry.stddev_ms is not None
    finally:
        database.execute("DROP ROLE r_other")


def test_only_statements_of_this_database_that_read_or_write_rows(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)")
    connection = database.connect()
    for statement in (
        "INSERT INTO t VALUES (1)",
        "/* app:orders */ UPDATE t SET id = 2",
        "-- a line\n(SELECT id FROM t)",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "VALUES (1)",
        "BEGIN",
        "SET LOCAL work_mem = '4MB'",
        "COMMIT",
        "CREATE TABLE u AS SELECT 'S3CRET' AS s",
        "SELECT pg_stat_statements_reset(0, 0, 1)",
    ):
        connection.execute(statement.encode())
    texts = set(_by_text(_statements(database)))
    assert texts == {
        "INSERT INTO t VALUES ($1)",
        "UPDATE t SET id = $1",
        "(SELECT id FROM t)",
        "WITH x AS (SELECT $1) DELETE FROM t",
        "VALUES ($1)",
        "SELECT pg_stat_statements_reset($1, $2, $3)",
    }


@pytest.mark.since(15)
def test_merge_is_a_statement_that_writes_rows(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)")
    database.execute("MERGE INTO t USING (VALUES (1)) AS v (id) ON t.id = v.id WHEN MATCHED THEN DELETE")
    merge = "MERGE INTO t USING (VALUES ($1)) AS v (id) ON t.id = v.id WHEN MATCHED THEN DELETE"
    assert set(_by_text(_statements(database))) == {merge}


def test_the_most_expensive_come_first(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements")
    connection = database.connect()
    connection.execute("SELECT 1")
    connection.execute("SELECT pg_sleep(0.05)")
    statements = _statements(database)
    assert statements.entries[0].text == "SELECT pg_sleep($1)"
    assert statements.share(statements.entries[0]) > 0.5


def test_an_extension_version_that_is_too_old() -> None:
    assert observe_statements(None, Extension("pg_stat_statements", "public", "1.7"), "u").statements == TOO_OLD  # type: ignore[arg-type]


def test_without_the_extension(database: Database) -> None:
    gap = observe_database(database.dsn).statements
    assert isinstance(gap, Unobserved)
    assert gap.reason == Reason.EXTENSION_MISSING
    assert gap.unlock.startswith("CREATE EXTENSION")
