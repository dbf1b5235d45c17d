from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Activity, Session
from checks.model import Outcome, Severity
from tests.checks.altered import aged, of_flavour, with_counters, with_sessions, with_setting
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database

MILLION = 1_000_000
Repository = Callable[[Mapping[str, str | bytes]], Path]


def test_counters_of_sessions_and_transactions(database: Database) -> None:
    evidence = aged(survey(database), 10)
    checks = {
        "no-pooler": {"sessions": 5 * MILLION, "session_time": 10e9},
        "sessions-abandoned": {
            "sessions": 10_000,
            "sessions_abandoned": 900,
            "sessions_fatal": 10,
            "sessions_killed": 0,
        },
        "deadlocks": {"deadlocks": 500},
        "rollback-ratio": {"xact_commit": 80_000, "xact_rollback": 20_000},
        "temp-files": {"temp_files": 900, "temp_bytes": 500 * 1024**3},
        "cache-hit": {"blks_hit": MILLION, "blks_read": MILLION},
    }
    healthy = {
        "no-pooler": {"sessions": 20_000, "session_time": 10e9},
        "sessions-abandoned": {
            "sessions": MILLION,
            "sessions_abandoned": 900,
            "sessions_fatal": 10,
            "sessions_killed": 0,
        },
        "deadlocks": {"deadlocks": 3},
        "rollback-ratio": {"xact_commit": 8_000, "xact_rollback": 9_000},
        "temp-files": {"temp_files": 9, "temp_bytes": 1024**3},
        "cache-hit": {"blks_hit": 99 * MILLION, "blks_read": MILLION},
    }
    for name, counters in checks.items():
        check = f"observability.{name}"
        assert names(conclude(with_counters(evidence, **counters), check)) == {database.name}, name
        assert conclude(with_counters(evidence, **healthy[name]), check).outcome is Outcome.PASSED, name
        assert conclude(with_counters(aged(evidence, 1), **counters), check).outcome is Outcome.UNKNOWN, name
    small = with_counters(evidence, blks_hit=10, blks_read=100)
    assert conclude(small, "observability.cache-hit").outcome is Outcome.NOT_APPLICABLE


def test_a_deadlock_that_really_happened(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)")
    first, second = (psycopg.connect(database.dsn, options="-c deadlock_timeout=50ms") for _ in range(2))
    with first, second:
        first.execute("UPDATE t SET n = 1 WHERE id = 1")
        second.execute("UPDATE t SET n = 1 WHERE id = 2")
        failed: list[psycopg.Error] = []

        def cross() -> None:
            try:
                first.execute("UPDATE t SET n = 2 WHERE id = 2")
            except psycopg.errors.DeadlockDetected as error:
                failed.append(error)
                first.rollback()

        thread = threading.Thread(target=cross)
        thread.start()
        try:
            second.execute("UPDATE t SET n = 2 WHERE id = 1")
        except psycopg.errors.DeadlockDetected as error:
            failed.append(error)
            second.rollback()
        thread.join()
    assert len(failed) == 1

    result = examine(database, "observability.deadlocks", limits={"window_days": 0, "deadlocks_per_day": 0})

    (found,) = result.findings
    assert found.observed["deadlocks"] == 1


def test_settings_of_connections(database: Database) -> None:
    evidence = survey(database)
    assert names(conclude(with_setting(evidence, "max_connections", "2000"), "observability.max-connections-high")) == {
        "max_connections"
    }
    provided = of_flavour(with_setting(evidence, "max_connections", "2000"), "rds")
    assert conclude(provided, "observability.max-connections-high").outcome is Outcome.PASSED
    assert conclude(evidence, "observability.max-connections-high").outcome is Outcome.PASSED
    for name, value, check in (
        ("superuser_reserved_connections", "0", "connection-limits"),
        ("password_encryption", "md5", "weak-passwords"),
    ):
        assert conclude(evidence, f"observability.{check}").outcome is Outcome.PASSED
        assert names(conclude(with_setting(evidence, name, value), f"observability.{check}")) == {name}
    quick = with_setting(evidence, "client_connection_check_interval", "10000")
    assert conclude(quick, "observability.dead-client-detection").outcome is Outcome.PASSED
    assert len(conclude(evidence, "observability.dead-client-detection").findings) == 1


def session(name: str = "api", state: str | None = "idle", age: float = 10, **other: object) -> Session:
    return msgspec.structs.replace(Session(name, "app", "d", state, None, age), **other)


def test_sessions_that_idle(database: Database) -> None:
    evidence = survey(database)
    held = with_sessions(evidence, *(session(age=9_000) for _ in range(60)), *(session() for _ in range(5)))
    (found,) = conclude(held, "observability.idle-sessions").findings
    assert (found.observed["idle_for_long"], found.observed["sessions"]) == (60, 65)
    for fine in ([session(age=9_000)] * 20, [session(age=60)] * 90):
        assert conclude(with_sessions(evidence, *fine), "observability.idle-sessions").outcome is Outcome.PASSED


def test_sessions_that_are_not_encrypted(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "observability.unencrypted-connections").outcome is Outcome.NOT_APPLICABLE
    mixed = with_sessions(evidence, session(encrypted=False), session("web", encrypted=True), session("local"))
    (found,) = conclude(mixed, "observability.unencrypted-connections").findings
    assert (found.observed["unencrypted"], found.observed["clients"]) == (1, ["api"])
    safe = with_sessions(evidence, session(encrypted=True), session("local"))
    assert conclude(safe, "observability.unencrypted-connections").outcome is Outcome.PASSED


def test_sessions_without_a_name(database: Database) -> None:
    evidence = survey(database)
    unnamed = with_sessions(evidence, *([session("")] * 6), session("worker"))
    assert names(conclude(unnamed, "observability.no-query-tags")) == {"application_name"}
    named = with_sessions(evidence, *([session("api")] * 6), *([session("")] * 2))
    assert conclude(named, "observability.no-query-tags").outcome is Outcome.PASSED
    few = with_sessions(evidence, session(""))
    assert conclude(few, "observability.no-query-tags").outcome is Outcome.NOT_APPLICABLE


def test_pools_that_want_more_than_there_is(database: Database, repository: Repository) -> None:
    engine = "engine = create_async_engine(URL, pool_size=40, max_overflow=20)"
    code = f"from sqlalchemy.ext.asyncio import create_async_engine\n{engine}\n"
    procfile = "web: gunicorn -w 8 app:app\n"
    evidence = survey(database, repository({"app/db.py": code, "Procfile": procfile}))
    activity = msgspec.structs.replace(evidence.get(Activity), max_connections=100, reserved_connections=3)
    evidence = msgspec.structs.replace(evidence, activity=activity)

    (found,) = conclude(evidence, "observability.pools-exceed-connections").findings

    assert found.observed["wanted"] == 480
    assert found.locations[0].path == "app/db.py"
    small = survey(
        database,
        repository({"app/db.py": "from sqlalchemy import create_engine\nengine = create_engine(URL, pool_size=5)\n"}),
    )
    assert conclude(small, "observability.pools-exceed-connections").outcome is Outcome.PASSED
    none = survey(database, repository({"README": "nothing"}))
    assert conclude(none, "observability.pools-exceed-connections").outcome is Outcome.NOT_APPLICABLE


VALUES = """
app:
  env:
    IVM_POOL_SIZE: "400"
    DB_POOL_SIZE: "20"
autoscaling:
  enabled: {enabled}
  # of the application
  maxReplicas: 30
"""


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_pools_that_are_none_and_copies_that_nobody_asked_for(
    database: Database, repository: Repository, enabled: str
) -> None:
    once = "import {Pool} from 'pg'\nconst pool = new Pool({ connectionString, max: 9000 })\n"
    root = repository({"helm/values.yaml": VALUES.format(enabled=enabled), "packages/db/scripts/backfill.ts": once})

    result = conclude(survey(database, root), "observability.pools-exceed-connections")

    assert [found.observed["wanted"] for found in result.findings] == ([600] if enabled == "true" else [])
    assert [found.observed["pools"] for found in result.findings] == (
        [["20 (DB_POOL_SIZE)"]] if enabled == "true" else []
    )


ALERTS = """
groups:
- name: database
  rules:
  - alert: PostgresTooManyConnections
    expr: sum(pg_stat_activity_count) > 0.9 * pg_settings_max_connections
  - alert: PostgresDiskFull
    expr: node_filesystem_avail_bytes{mountpoint="/var/lib/postgresql"} < 1e9
"""


@pytest.mark.parametrize("agent", [True, False])
def test_who_watches(database: Database, repository: Repository, agent: bool) -> None:
    files = {"README": "x", "alerts/postgres.yml": ALERTS}
    if agent:
        files["docker-compose.yml"] = "services:\n  metrics:\n    image: prometheuscommunity/postgres-exporter:v0.15\n"
    evidence = survey(database, repository(files))

    (found,) = conclude(evidence, "observability.no-alert-rules").findings
    assert set(found.observed["covered"]) >= {"saturation", "disk"}
    assert "long transactions" in found.observed["missing"]
    assert found.severity is Severity.MEDIUM
    metrics = conclude(evidence, "observability.no-metrics-agent")
    assert metrics.outcome is (Outcome.PASSED if agent else Outcome.FOUND)


def test_nobody_tells_of_alerts(database: Database, repository: Repository) -> None:
    evidence = survey(database, repository({"README": "nothing"}))
    assert conclude(evidence, "observability.no-alert-rules").outcome is Outcome.UNKNOWN
