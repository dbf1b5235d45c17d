"""What goes wrong while a server is observed costs what it has to, and no more; nothing hangs."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Any

import psycopg
import pytest

from checks.evidence.database.facts import Catalog, Plans, Server, Statements, Usage
from checks.evidence.database.node import Manner
from checks.evidence.database.observe import DatabaseEvidence, observe_database
from checks.evidence.observe import Target, observe
from checks.model import Reason, Unobserved
from checks.shadow.server import start
from tests.checks.survey import OPTED_IN
from tests.servers import TEST_SETTINGS, Database

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE stays (id bigserial PRIMARY KEY); CREATE TABLE goes (id bigserial PRIMARY KEY);
    INSERT INTO goes SELECT generate_series(1, 50); CREATE VIEW over_goes AS SELECT * FROM goes; ANALYZE
"""


def _gaps(evidence: DatabaseEvidence) -> dict[str, Reason]:
    sections = {name: getattr(evidence, name) for name in evidence.__struct_fields__}
    return {
        name: section.reason
        for name, section in sections.items()
        if isinstance(section, Unobserved) and name not in OPTED_IN
    }


@pytest.mark.parametrize("sentence", ["planner statistics", "usage", "planning the most"])
def test_a_server_that_stops_in_between(sentence: str) -> None:
    server = start(TEST_SETTINGS)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("SELECT count(*) FROM stays")
    moments: list[float] = []

    def progress(words: str) -> None:
        if sentence in words and not moments:
            server.stop()
            moments.append(time.monotonic())

    evidence = observe_database(server.dsn(), progress=progress)
    assert time.monotonic() - moments[0] < 30
    assert isinstance(evidence.server, Server)
    assert isinstance(evidence.catalog, Catalog)
    gaps = _gaps(evidence)
    assert set(gaps.values()) == {Reason.CONNECTION_LOST}
    assert "plans" in gaps
    assert isinstance(evidence.usage, Usage) == (sentence == "planning the most")


@pytest.mark.parametrize("sentence", ["planner statistics", "sequences and sizes", "usage", "planning the most"])
def test_a_table_that_is_dropped_in_between(database: Database, sentence: str) -> None:
    database.execute(SCHEMA)
    database.connect().execute("SELECT * FROM goes WHERE id = 5")
    dropped: list[bool] = []

    def progress(words: str) -> None:
        if sentence in words and not dropped:
            database.execute("SET lock_timeout = '5s'; DROP TABLE goes CASCADE")
            dropped.append(True)

    evidence = observe_database(database.dsn, progress=progress)
    assert dropped
    assert _gaps(evidence) == {}
    assert isinstance(evidence.catalog, Catalog)
    sequences = {sequence.name: sequence for sequence in evidence.catalog.sequences}
    assert "goes_id_seq" in sequences
    if sentence == "sequences and sizes":
        assert not sequences["goes_id_seq"].readable
    assert isinstance(evidence.plans, Plans)
    assert isinstance(evidence.statements, Statements)
    reasons = {
        evidence.statements.by_id[entry.query_id].text: entry.reason
        for entry in evidence.plans.unplanned
        if entry.query_id in evidence.statements.by_id
    }
    assert reasons.get("SELECT * FROM goes WHERE id = $1") == "not_parsed"


def test_statements_that_somebody_cancels(database: Database) -> None:
    """Whatever is cancelled, the ends of transactions too: the connection holds, and each section has its gap or its facts."""
    database.execute(SCHEMA)
    ended = threading.Event()

    def cancel(killer: psycopg.Connection[Any]) -> None:
        while not ended.is_set():
            killer.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'pgsurveyor' AND datname = current_database() AND state = 'active'"
            )

    threads = [threading.Thread(target=cancel, args=(database.connect(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    try:
        reasons = {reason for _ in range(5) for reason in _gaps(observe_database(database.dsn)).values()}
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert time.monotonic() - begun < 60
    assert reasons <= {Reason.TIMED_OUT}
    assert _gaps(observe_database(database.dsn)) == {}


def test_a_connection_that_is_cut_while_it_is_watched(database: Database) -> None:
    database.execute(SCHEMA)
    killer = database.connect()

    def progress(words: str) -> None:
        if words.startswith("watching"):
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'pgsurveyor' AND datname = current_database()"
            )

    evidence = observe_database(database.dsn, progress=progress, manner=Manner(watch_s=0.3))
    assert _gaps(evidence) == {}
    assert isinstance(evidence.rates, Unobserved)
    assert evidence.rates.reason == Reason.CONNECTION_LOST


@pytest.mark.parametrize("year", [1990, 2090])
def test_a_clock_that_is_wrong(database: Database, year: int) -> None:
    """Ages and windows are told by the server's clock alone, durations by one that never jumps."""
    database.execute(SCHEMA)
    wrong = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    evidence = observe(Target(database.dsn, watch_s=0.2), clock=lambda: wrong).evidence
    server = evidence.find(Server)
    assert server is not None
    assert evidence.observed_at == wrong
    assert abs((dt.datetime.now(dt.UTC) - server.observed_at).total_seconds()) < 60
    assert server.statistics_window_days is not None
    assert 0 <= server.statistics_window_days < 1


def test_a_clock_that_went_back_leaves_no_negative_window() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    later = now + dt.timedelta(days=3)
    server = Server("db", "18.6", 180006, "primary", "postgresql", "u", "full", now, later, later, None)
    assert server.statistics_window_days == 0.0
