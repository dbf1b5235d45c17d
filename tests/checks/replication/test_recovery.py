from __future__ import annotations

import time

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Replication, Server, Standby, Usage
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from checks.replication.recovery import required_confirmations
from tests.checks.altered import with_setting
from tests.checks.replication.test_standbys import with_standbys
from tests.checks.survey import conclude, examine, survey
from tests.servers import Database, PrimaryAndStandby

CONFLICTS = "replication.standby-conflicts"


def _until(dsn: str, question: str, *values: object) -> None:
    deadline = time.monotonic() + 20
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute(question.encode(), values).fetchone() != (True,):
            assert time.monotonic() < deadline, question
            time.sleep(0.05)


def _caught_up(pair: PrimaryAndStandby) -> None:
    with psycopg.connect(pair.primary.dsn()) as connection:
        written = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert written is not None
    _until(pair.standby.dsn(), "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written[0])


def test_replay_that_somebody_paused(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    healthy = examine(primary.dsn(), "replication.replay-paused", replicas=[standby.dsn()])
    assert healthy.outcome is Outcome.PASSED
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        try:
            from_primary = examine(primary.dsn(), "replication.replay-paused", replicas=[standby.dsn()])
            from_standby = examine(standby.dsn(), "replication.replay-paused")
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")

    for result in (from_primary, from_standby):
        (found,) = result.findings
        assert (found.severity, found.fix.sql) == (Severity.HIGH, "SELECT pg_wal_replay_resume();")
    unseen = examine(primary.dsn(), "replication.replay-paused")
    assert (unseen.outcome, unseen.reason) == (Outcome.UNKNOWN, Reason.REPLICA_NOT_REACHABLE)


def test_a_standby_that_receives_nothing(primary_and_standby: PrimaryAndStandby) -> None:
    evidence = survey(primary_and_standby.standby.dsn())
    replication = msgspec.structs.replace(evidence.get(Replication), receiver_state=None)
    alone = msgspec.structs.replace(evidence, replication=replication)

    (found,) = conclude(alone, "replication.replay-paused").findings

    assert "receives nothing" in found.title
    from_archive = with_setting(alone, "restore_command", "(set)")
    assert conclude(from_archive, "replication.replay-paused").outcome is Outcome.PASSED


def test_queries_that_recovery_cancels(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    database = Database(primary)
    limits = {"window_days": 0.0, "conflicts_per_day": 0.5}
    try:
        database.execute("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000)")
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
            connection.execute("SELECT pg_reload_conf()")
        _caught_up(primary_and_standby)
        quiet = examine(database, CONFLICTS, replicas=[standby.dsn(database.name)], limits=limits)
        assert quiet.outcome is Outcome.PASSED
        with psycopg.connect(standby.dsn(database.name)) as reader:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM t")
            database.execute("DELETE FROM t", "VACUUM t")
            with pytest.raises(psycopg.OperationalError):
                reader.execute("SELECT count(*) FROM t, generate_series(1, 400), LATERAL pg_sleep(0.05)")
        conflicts = "SELECT confl_snapshot + confl_lock > 0 FROM pg_stat_database_conflicts WHERE datname = %s"
        _until(standby.dsn(), conflicts, database.name)

        (found,) = examine(database, CONFLICTS, replicas=[standby.dsn(database.name)], limits=limits).findings

        assert sum(found.observed["conflicts"].values()) >= 1
        assert found.observed["hot_standby_feedback"] == "off"
    finally:
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET max_standby_streaming_delay")
            connection.execute("SELECT pg_reload_conf()")
        database.drop()


def test_no_standby_has_no_conflicts(database: Database) -> None:
    assert examine(database, CONFLICTS).outcome is Outcome.NOT_APPLICABLE


def _synchronous(evidence: Evidence, names: str, *states: str) -> Evidence:
    standbys = [Standby(f"s{number}", "streaming", state, 0, 0.0) for number, state in enumerate(states, start=1)]
    return with_standbys(with_setting(evidence, "synchronous_standby_names", names), *standbys)


def test_commits_that_wait(primary_and_standby: PrimaryAndStandby) -> None:
    dsn = primary_and_standby.primary.dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby1, other)'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            _until(dsn, "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication")
            real = survey(dsn)
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")

    (found,) = conclude(real, "replication.synchronous-stall").findings
    assert (found.severity, found.observed["connected"]) == (Severity.HIGH, ["standby1"])

    def judged(names: str, *states: str) -> Severity | None:
        findings = conclude(_synchronous(real, names, *states), "replication.synchronous-stall").findings
        return findings[0].severity if findings else None

    assert judged("ANY 1 (s1, s2)", "quorum", "quorum") is None
    assert judged("FIRST 1 (s1, s2)", "sync", "potential") is None
    assert judged("FIRST 2 (s1, s2)", "sync", "sync") is Severity.HIGH
    assert judged("s1", "sync") is Severity.HIGH
    assert judged("s1") is Severity.CRITICAL
    assert judged("s1", "async") is Severity.CRITICAL
    local = with_setting(_synchronous(real, "s1", "sync"), "synchronous_commit", "local")
    assert conclude(local, "replication.synchronous-stall").outcome is Outcome.PASSED


def test_how_many_must_confirm() -> None:
    lists = {"a": 1, "a, b": 1, "FIRST 2 (a, b)": 2, "any 3 (*)": 3, "2 (a, b)": 2, '"FIRST 2 (a)"': 1}
    assert {names: required_confirmations(names) for names in lists} == lists


def test_no_commit_waits(database: Database) -> None:
    assert examine(database, "replication.synchronous-stall").outcome is Outcome.NOT_APPLICABLE


def test_conflicts_are_unknown_where_they_cannot_be_seen(primary_and_standby: PrimaryAndStandby) -> None:
    evidence = survey(primary_and_standby.standby.dsn(), limits={"window_days": 0.0})
    usage = msgspec.structs.replace(evidence.get(Usage), conflicts=None)
    assert evidence.get(Server).is_standby

    result = conclude(msgspec.structs.replace(evidence, usage=usage), CONFLICTS)

    assert result.outcome is Outcome.UNKNOWN
