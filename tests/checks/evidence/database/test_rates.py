"""Two looks, the limit on other sessions' load, and what they leave unknown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pytest

from checks.evidence.database.facts import Access, Catalog, Plans, Rates, Server
from checks.evidence.database.node import Manner
from checks.evidence.database.observe import observe_database
from checks.model import Reason, Unobserved
from tests.servers import Database


class Busy(NamedTuple):
    """A database, and the number of rows that were written there, as often as one was."""

    database: Database
    written: list[int]


@pytest.fixture
def busy(database: Database) -> Iterator[Busy]:
    """A database on which a client writes at most twenty rows a second."""
    database.execute(
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE written (id int); CREATE TABLE quiet (id int);"
        "INSERT INTO quiet SELECT generate_series(1, 100)"
    )
    connection = database.connect()
    ended = threading.Event()
    # 14 counts twice a second, and cannot be told to do so more often.
    promptly = database.major >= 15
    written = []

    def write() -> None:
        while not ended.wait(0.05):
            connection.execute("INSERT INTO written VALUES (%s)", [1])
            written.append(1)
            if promptly:
                connection.execute("SELECT pg_stat_force_next_flush()")

    # The review knows a statement that has run when it reads them.
    connection.execute("INSERT INTO written VALUES (%s)", [1])
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield Busy(database, written)
    finally:
        ended.set()
        thread.join()


def test_two_looks_tell_rates(busy: Busy) -> None:
    begun = time.monotonic()
    evidence = observe_database(busy.database.dsn, manner=Manner(watch_s=2.0))
    took, most = time.monotonic() - begun, len(busy.written) + 2
    rates, catalog = evidence.rates, evidence.catalog
    assert isinstance(rates, Rates)
    assert isinstance(catalog, Catalog)
    assert 1.9 <= rates.seconds <= took
    [table] = [entry for entry in rates.tables if entry.table == catalog.table_by_name["public", "written"].oid]
    assert 0 < table.inserted_per_s <= most / rates.seconds
    assert table.updated_per_s == 0
    assert catalog.table_by_name["public", "quiet"].oid not in rates.table_by_oid
    for figure in (rates.transactions_per_s, rates.write_transactions_per_s):
        assert figure is not None
        assert 0 < figure < 50 + 2 * most / rates.seconds
    assert rates.wal_bytes_per_s is not None
    assert rates.wal_bytes_per_s > 0
    assert rates.calls_per_s is not None
    assert rates.calls_per_s > 0
    assert not rates.reset
    [insert] = [
        entry
        for entry in rates.statements
        if not isinstance(evidence.statements, Unobserved)
        and "written" in evidence.statements.by_id[entry.query_id].text
    ]
    assert 0 < insert.calls_per_s <= most / rates.seconds
    assert msgspec.json.decode(msgspec.json.encode(rates), type=Rates) == rates


def test_without_a_second_look_there_are_no_rates(database: Database) -> None:
    gap = observe_database(database.dsn).rates
    assert isinstance(gap, Unobserved)
    assert gap.reason == Reason.NOT_OPTED_IN


def test_watching_holds_no_transaction_and_ends_when_cancelled(database: Database) -> None:
    cancelled = threading.Event()
    stopped: list[float] = []

    def progress(sentence: str) -> None:
        if sentence.startswith("watching"):
            threading.Thread(target=stop).start()

    def stop() -> None:
        database.wait_until(
            "SELECT state = 'idle' FROM pg_stat_activity WHERE application_name = 'pgsurveyor' AND datname = current_database()"
        )
        stopped.append(time.monotonic())
        cancelled.set()

    evidence = observe_database(database.dsn, progress=progress, cancelled=cancelled, manner=Manner(watch_s=600.0))
    assert time.monotonic() - stopped[0] < 5
    assert isinstance(evidence.rates, Unobserved)
    assert evidence.rates.reason == Reason.NOT_RUN
    assert isinstance(evidence.catalog, Catalog)


def test_counters_that_are_reset_in_between_are_no_rates(database: Database) -> None:
    database.execute("CREATE TABLE written (id int); INSERT INTO written SELECT generate_series(1, 1000)")

    def progress(sentence: str) -> None:
        if sentence.startswith("watching"):
            database.execute("SELECT pg_stat_reset()", "INSERT INTO written VALUES (1)")

    rates = observe_database(database.dsn, progress=progress, manner=Manner(watch_s=0.5)).rates
    assert isinstance(rates, Rates)
    assert rates.reset
    assert all(entry.inserted_per_s == 0 for entry in rates.tables)


def test_a_busy_server_is_left_alone(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE a (id int)")
    others = [database.connect() for _ in range(2)]
    for other in others:
        other.pgconn.send_query(b"SELECT pg_sleep(600)")
    database.wait_until(
        "SELECT count(*) = 2 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
    )
    evidence = observe_database(database.dsn, manner=Manner(max_load=1))
    calm = observe_database(database.dsn, manner=Manner(max_load=50))
    assert isinstance(evidence.server, Server)
    for section in (evidence.catalog, evidence.access, evidence.usage, evidence.statements, evidence.plans):
        assert isinstance(section, Unobserved)
        assert section.reason == Reason.TARGET_BUSY
    assert evidence.statements_sent < 20
    assert any("stopped observing" in notice for notice in evidence.notices)
    assert isinstance(calm.plans, Plans)
    assert isinstance(calm.access, Access)
    assert calm.notices == ()


def test_a_lock_that_sessions_wait_for_ends_the_observation(database: Database) -> None:
    database.execute("CREATE TABLE a (id int)")
    holder, waiting = database.connect(autocommit=False), database.connect()
    holder.execute("LOCK TABLE a")
    thread = threading.Thread(target=lambda: waiting.execute("SELECT * FROM a"))
    thread.start()
    database.wait_until(
        "SELECT coalesce(bool_or(query_start < clock_timestamp() - interval '1 s'), false) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND query = 'SELECT * FROM a'"
    )
    evidence = observe_database(database.dsn, manner=Manner(max_load=50))
    holder.rollback()
    thread.join()
    assert isinstance(evidence.catalog, Unobserved)
    assert evidence.catalog.reason == Reason.TARGET_BUSY


def test_a_first_look_that_fails_says_why_there_are_no_rates(database: Database) -> None:
    database.execute(
        "DROP ROLE IF EXISTS r_blind; CREATE ROLE r_blind LOGIN; REVOKE SELECT ON pg_catalog.pg_stat_user_tables FROM PUBLIC"
    )
    try:
        rates = observe_database(database.server.dsn(database.name, "r_blind"), manner=Manner(watch_s=0.1)).rates
    finally:
        database.execute("DROP ROLE r_blind")
    assert isinstance(rates, Unobserved)
    assert rates.reason == Reason.NOT_PERMITTED


def test_a_role_that_sees_no_load_is_told_so(database: Database) -> None:
    database.execute("DROP ROLE IF EXISTS r_blind; CREATE ROLE r_blind LOGIN")
    database.connect().execute("SELECT 1")
    try:
        evidence = observe_database(database.server.dsn(database.name, "r_blind"), manner=Manner(max_load=50))
    finally:
        database.execute("DROP ROLE r_blind")
    assert isinstance(evidence.catalog, Catalog)
    assert sum("--max-load" in notice for notice in evidence.notices) == 1


def test_who_was_seen_while_it_was_watched(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE a (id int)", "SELECT count(*) FROM a")
    holder, waiter = database.connect(autocommit=False), database.connect()
    holder.execute("LOCK TABLE a")
    waiting = threading.Thread(target=lambda: waiter.execute("SELECT * FROM a"))
    waiting.start()
    try:
        rates = observe_database(database.dsn, manner=Manner(watch_s=2.6)).rates
    finally:
        holder.rollback()
        waiting.join()

    assert isinstance(rates, Rates)
    assert 1 <= len(rates.sightings) <= 3
    seen = rates.sightings[-1]
    assert (seen.blocked, seen.active, seen.idle_in_transaction, seen.hidden) == (1, 1, 1, 0)
    assert seen.connections >= 2
    assert seen.waits == {"Lock:relation": 1}
    assert seen.lag_bytes is None
    assert rates.mean_ms_ever is not None
    assert rates.mean_ms_ever >= 0
