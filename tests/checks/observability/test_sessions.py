from __future__ import annotations

import contextlib

import msgspec
import psycopg

from checks.evidence.database.facts import Activity
from checks.model import Outcome, Reason, Severity
from checks.shadow.server import start
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import TEST_SETTINGS, Database


def test_sessions_left_in_a_transaction(database: Database) -> None:
    forgotten = [database.connect(application_name="embedder") for _ in range(2)]
    aborted = database.connect(application_name="indexer")
    for connection in (*forgotten, aborted):
        connection.execute("BEGIN")
    with contextlib.suppress(psycopg.errors.DivisionByZero):
        aborted.execute("SELECT 1 / 0")
    database.connect(application_name="idler").execute("SELECT 1")

    found_now = examine(database, "observability.idle-in-transaction")
    result = examine(database, "observability.idle-in-transaction", limits={"idle_in_transaction_s": 0})

    assert not {"embedder", "indexer", "idler"} & names(found_now)
    assert {"embedder", "indexer"} <= names(result)
    assert "idler" not in names(result)
    embedder = finding(result, "embedder")
    assert embedder.observed["sessions"] == 2
    assert embedder.title.startswith("2 sessions of embedder idle in transaction for ")
    assert embedder.severity is Severity.MEDIUM
    assert "idle_in_transaction_session_timeout" in (embedder.fix.sql or "")
    assert finding(result, "indexer").observed["aborted"] == 1


def test_an_hour_is_a_red_flag(database: Database) -> None:
    database.connect(application_name="embedder").execute("BEGIN")
    evidence = survey(database)
    activity = evidence.get(Activity)
    sessions = tuple(msgspec.structs.replace(session, state_age_s=4000.0) for session in activity.sessions)
    aged = msgspec.structs.replace(evidence, activity=msgspec.structs.replace(activity, sessions=sessions))

    assert finding(conclude(aged, "observability.idle-in-transaction"), "embedder").severity is Severity.CRITICAL


def test_states_that_are_hidden(database: Database) -> None:
    database.connect(application_name="embedder").execute("BEGIN")
    evidence = survey(database)
    activity = evidence.get(Activity)
    sessions = tuple(msgspec.structs.replace(session, state=None) for session in activity.sessions)
    hidden = msgspec.structs.replace(activity, sessions=sessions, states_hidden=True)

    result = conclude(msgspec.structs.replace(evidence, activity=hidden), "observability.idle-in-transaction")

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)


def test_connections_that_are_almost_all_taken() -> None:
    settings = {**TEST_SETTINGS, "max_connections": "13", "superuser_reserved_connections": "3", "max_wal_senders": "2"}
    with start(settings) as server:
        assert examine(server.dsn(), "observability.connection-saturation").outcome is Outcome.PASSED
        taken = [psycopg.connect(server.dsn(), application_name="pool") for _ in range(9)]
        result = examine(server.dsn(), "observability.connection-saturation")
        for connection in taken:
            connection.close()

    (found,) = result.findings
    assert found.severity is Severity.CRITICAL
    assert found.title == "9 of 10 connections are in use, 9 of them by pool"
    assert found.observed["used"] == 0.9
