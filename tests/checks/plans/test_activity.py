from __future__ import annotations

import threading
import time

import msgspec
import psycopg

from checks.evidence.database.facts import Activity, Session, WaitCount
from checks.model import Outcome, Severity
from tests.checks.altered import with_sessions
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database


def session(name: str, state: str = "active", age: float = 1, **other: object) -> Session:
    return msgspec.structs.replace(Session(name, "app", "d", state, age, age), **other)


def test_a_chain_of_locks(database: Database) -> None:
    database.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    holder = psycopg.connect(database.dsn, application_name="migration")
    waiters = [psycopg.connect(database.dsn, application_name=f"api{number}") for number in (1, 2)]
    holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    threads = [threading.Thread(target=waiter.execute, args=("SELECT * FROM t",)) for waiter in waiters]
    for thread in threads:
        thread.start()
    try:
        with database.connect() as watcher:
            deadline = time.monotonic() + 10
            while watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (2,):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        evidence = survey(database, limits={"lock_wait_s": 0})
        assert examine(database, "plans.blocked-sessions").findings == ()
    finally:
        holder.rollback()
        for thread in threads:
            thread.join()
        for connection in (holder, *waiters):
            connection.close()

    (found,) = conclude(evidence, "plans.blocked-sessions").findings
    assert found.subject.path == ("migration",)
    assert (found.observed["waiting"], found.observed["waiters"]) == (2, ["api1", "api2"])
    assert examine(database, "plans.blocked-sessions").outcome is Outcome.PASSED


def test_statements_that_run_long(database: Database) -> None:
    evidence = with_sessions(
        survey(database),
        session("report", age=5_000),
        session("api", age=400),
        session("quick"),
        session("idle", "idle", 90_000),
        session("waits", age=5_000, blocked=True),
    )
    result = conclude(evidence, "plans.long-running-statement")
    assert {found.subject.path[0]: found.severity for found in result.findings} == {
        "report": Severity.MEDIUM,
        "api": Severity.LOW,
    }


def test_what_sessions_wait_for(database: Database) -> None:
    evidence = survey(database)

    def waiting(*waits: WaitCount) -> Outcome:
        activity = msgspec.structs.replace(evidence.get(Activity), waits=waits)
        return conclude(msgspec.structs.replace(evidence, activity=activity), "plans.wait-profile").outcome

    assert waiting(WaitCount("LWLock", "WALWrite", 8), WaitCount("", "", 2)) is Outcome.FOUND
    assert waiting(WaitCount("IO", "DataFileRead", 2), WaitCount("", "", 1)) is Outcome.PASSED
    assert waiting(WaitCount("Client", "ClientRead", 9)) is Outcome.PASSED
    assert waiting() is Outcome.NOT_APPLICABLE
    assert names(conclude(evidence, "plans.wait-profile")) == set()
