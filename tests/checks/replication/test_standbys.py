from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Replication, Standby
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import of_flavour
from tests.checks.survey import conclude, examine, survey
from tests.servers import Database, PrimaryAndStandby, start_chosen


def with_standbys(evidence: Evidence, *standbys: Standby, hidden: bool = False) -> Evidence:
    replication = msgspec.structs.replace(evidence.get(Replication), standbys=standbys, standbys_hidden=hidden)
    return msgspec.structs.replace(evidence, replication=replication)


def test_a_primary_alone(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    evidence = survey(database, repository({"README": "nothing"}))

    result = conclude(evidence, "replication.no-standby")

    (found,) = result.findings
    assert found.severity is Severity.HIGH
    assert found.subject.kind == "node"
    assert conclude(evidence, "replication.lag").outcome is Outcome.NOT_APPLICABLE


def test_a_standby_that_streams(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    for dsn in (primary.dsn(), standby.dsn()):
        assert examine(dsn, "replication.no-standby").outcome is Outcome.PASSED


def test_a_backup_tool_is_no_standby(database: Database) -> None:
    receiver = Standby("pg_receivewal", "streaming", "async", None, None)
    subscriber = Standby("reports", "streaming", "async", 0, 0.0, logical=True)

    result = conclude(with_standbys(survey(database), receiver, subscriber), "replication.no-standby")

    assert result.outcome is Outcome.FOUND


@pytest.mark.parametrize("flavour", ["rds", "supabase"])
def test_a_provider_may_hide_its_standby(database: Database, flavour: str) -> None:
    result = conclude(of_flavour(survey(database), flavour), "replication.no-standby")

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.MANAGED_SERVICE_HIDES)


def test_senders_that_this_role_may_not_see(database: Database) -> None:
    evidence = with_standbys(survey(database), Standby("", None, None, None, None), hidden=True)

    for name in ("replication.no-standby", "replication.lag"):
        result = conclude(evidence, name)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)


def test_a_standby_that_stopped_replaying(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    limits = {"lag_bytes": 100_000}
    assert examine(primary.dsn(), "replication.lag", limits=limits).outcome is Outcome.PASSED
    with psycopg.connect(standby.dsn(), autocommit=True) as on_standby:
        on_standby.execute("SELECT pg_wal_replay_pause()")
        try:
            with psycopg.connect(primary.dsn(), autocommit=True) as on_primary:
                on_primary.execute("CREATE TABLE bulk AS SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
                _flushed(on_primary)
            seen_by_primary = examine(primary.dsn(), "replication.lag", limits=limits)
            seen_by_both = examine(primary.dsn(), "replication.lag", replicas=[standby.dsn()], limits=limits)
        finally:
            on_standby.execute("SELECT pg_wal_replay_resume()")
            with psycopg.connect(primary.dsn(), autocommit=True) as on_primary:
                on_primary.execute("DROP TABLE bulk")

    (found,) = seen_by_primary.findings
    assert found.subject.path == ("standby1",)
    assert found.observed["lag_bytes"] > 100_000
    assert [also.subject for also in seen_by_both.findings] == [found.subject]


def _flushed(on_primary: psycopg.Connection[Any]) -> None:
    """Until the standby has written down what there is, whether it replays it or not."""
    deadline = time.monotonic() + 60
    question = "SELECT bool_and(flush_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"
    while on_primary.execute(question).fetchone() != (True,):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("server")
def test_a_standby_that_is_gone(pytestconfig: pytest.Config) -> None:
    with start_chosen(pytestconfig) as primary:
        standby = primary.standby()
        checks = ("replication.no-standby", "replication.inactive-slot")
        assert [examine(primary.dsn(), check).outcome for check in checks] == [Outcome.PASSED, Outcome.PASSED]

        standby.stop()
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            deadline = time.monotonic() + 10
            while connection.execute("SELECT active FROM pg_replication_slots").fetchone() != (False,):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            connection.execute("CREATE TABLE bulk AS SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
        evidence = survey(primary.dsn(), limits={"slot_retained_bytes": 1_000_000})

    (found,) = conclude(evidence, "replication.no-standby").findings
    assert found.title == "No standby streams from the primary: the one of slot standby1 is gone"
    (held,) = conclude(evidence, "replication.inactive-slot").findings
    assert (held.subject.path, held.severity) == (("standby1",), Severity.HIGH)
    assert held.observed["retained_bytes"] > 1_000_000


def test_an_idle_primary_makes_no_lag(database: Database) -> None:
    idle = Standby("standby1", "streaming", "async", 0, 86_400.0)
    late = Standby("standby2", "streaming", "async", 200, 600.0)
    far = Standby("standby3", "streaming", "async", 10 * 1024**3, 900.0)

    result = conclude(with_standbys(survey(database), idle, late, far), "replication.lag")

    assert {(found.subject.path[0], found.severity) for found in result.findings} == {
        ("standby2", Severity.MEDIUM),
        ("standby3", Severity.HIGH),
    }
