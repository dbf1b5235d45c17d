from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import flush, prepare, send
from tests.servers import Database

HEAVY, COMPRESSION, BLOAT, HOT = (
    "hybrid.toast-heavy-table",
    "hybrid.toast-compression",
    "hybrid.toast-bloat",
    "hybrid.wide-hot-row",
)
LIMITS = {"toast_table_bytes": 500_000}
BIG = "jsonb_build_object('n', i, 'body', (SELECT jsonb_agg(md5(g::text || i)) FROM generate_series(1, 600) g))"
TABLES = f"""
    CREATE TABLE documents (id int PRIMARY KEY, views int DEFAULT 0, body jsonb NOT NULL);
    INSERT INTO documents SELECT i, 0, {BIG} FROM generate_series(1, 60) i;
    CREATE TABLE small (id int PRIMARY KEY, views int DEFAULT 0, body jsonb NOT NULL);
    INSERT INTO small SELECT i, 0, jsonb_build_object('n', i) FROM generate_series(1, 2000) i;
"""


def test_tables_that_stand_out_of_line(database: Database) -> None:
    prepare(database, TABLES)

    result = examine(database, HEAVY, limits=LIMITS)

    assert names(result) == {"public.documents"}
    assert result.findings[0].observed["columns"] == ["body"]
    assert examine(database, HEAVY).outcome is Outcome.PASSED


def test_compression(database: Database) -> None:
    prepare(database, TABLES)

    (found,) = examine(database, COMPRESSION, limits=LIMITS).findings

    assert found.subject.name == "default_toast_compression"
    assert found.observed["tables"] == ["public.documents"]
    assert examine(database, COMPRESSION).outcome is Outcome.PASSED


def test_dead_documents(database: Database) -> None:
    """The rows themselves are few: only the TOAST table shows it."""
    prepare(database, TABLES)
    connection = database.connect()
    send(connection, "UPDATE documents SET body = jsonb_set(body, '{n}', to_jsonb(%s))", [(n,) for n in range(2)])
    flush(connection)

    result = examine(database, BLOAT, limits=LIMITS)

    assert names(result) == {"public.documents"}
    assert result.findings[0].observed["dead_share"] > 0.5
    for statement in (result.findings[0].fix.sql or "").split("; "):
        database.execute(statement)
    connection.execute("VACUUM documents")
    flush(connection)
    assert examine(database, BLOAT, limits=LIMITS).outcome is Outcome.PASSED


def test_what_an_update_of_one_key_costs(database: Database) -> None:
    prepare(database, TABLES, "CHECKPOINT")
    connection = database.connect()
    send(
        connection,
        "UPDATE documents SET body = jsonb_set(body, '{n}', '5') WHERE id = %s",
        [(n,) for n in range(1, 40)],
    )
    send(connection, "UPDATE documents SET views = views + 1 WHERE id = %s", [(n,) for n in range(1, 40)])
    send(connection, "UPDATE small SET body = jsonb_set(body, '{n}', '5') WHERE id = %s", [(n,) for n in range(1, 40)])

    result = examine(database, HOT)

    assert names(result) == {"public.documents.body"}
    found = finding(result, "public.documents.body")
    # 600 hashes: about 22 kB, that cannot be compressed.
    assert found.observed["wal_bytes_per_row"] > 20_000
    assert found.severity is Severity.LOW
    rows = connection.execute(
        "SELECT wal_bytes / rows FROM pg_stat_statements WHERE query LIKE 'UPDATE documents SET views%'"
    ).fetchall()
    assert rows[0][0] * 10 < found.observed["wal_bytes_per_row"]


def test_without_documents(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")

    assert conclude(survey(database), HOT).outcome is Outcome.NOT_APPLICABLE
