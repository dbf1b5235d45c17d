from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from checks.evidence.database.facts import Server, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import with_setting
from tests.checks.survey import conclude, survey
from tests.checks.workload import NO_WINDOW, prepare, send
from tests.servers import Database

MILLION = 1_000_000


def with_statements(evidence: Evidence, *entries: Statement) -> Evidence:
    """These statements, counted for ten days."""
    server = evidence.get(Server)
    since = server.observed_at - dt.timedelta(days=10)
    return msgspec.structs.replace(
        evidence,
        server=msgspec.structs.replace(server, started_at=since, statistics_since=since),
        statements=Statements("1.12", since, 0, 0, entries),
    )


def ran(query_id: str, calls: int, mean_ms: float, *, rows: int | None = None, **other: object) -> Statement:
    text = f"SELECT * FROM t WHERE id = $1 AND {query_id} IS NOT NULL"
    entry = Statement(query_id, text, calls, calls * mean_ms, mean_ms, calls if rows is None else rows)
    return msgspec.structs.replace(entry, **other)


QUIET = ran("quiet", 50_000, 1.0, stddev_ms=0.2, max_ms=30.0, shared_blocks_hit=200_000)
CASES: dict[str, tuple[Statement, tuple[Statement, ...]]] = {
    "slow-statement": (
        ran("slow", 5_000, 2_000.0),
        (ran("report", 12, 9_000.0), ran("fine", 90_000, 300.0)),
    ),
    "variable-statement": (
        ran("varies", 50_000, 20.0, stddev_ms=400.0, max_ms=9_000.0),
        (ran("once", 50_000, 20.0, stddev_ms=10.0, max_ms=9_000.0), ran("rare", 20, 20.0, stddev_ms=900.0, max_ms=9e3)),
    ),
    "block-heavy-statement": (
        ran("reads", 10_000, 9.0, shared_blocks_hit=90 * MILLION),
        (ran("exports", 10, 9_000.0, rows=9 * MILLION, shared_blocks_read=30 * MILLION),),
    ),
    "many-rows-returned": (
        ran("lists", 5_000, 90.0, rows=50 * MILLION),
        (ran("pages", 5_000, 9.0, rows=100_000), ran("dump", 3, 900.0, rows=9 * MILLION)),
    ),
    "spilling-statement": (
        ran("sorts", 5_000, 90.0, temp_blocks_written=5 * MILLION),
        (ran("little", 50_000, 9.0, temp_blocks_written=60_000), ran("load", 2, 9e3, temp_blocks_written=MILLION)),
    ),
    "wal-heavy-statement": (
        ran("writes", 5_000, 9.0, wal_bytes=900 * 1024**3),
        (ran("also", 5_000, 9.0, wal_bytes=90 * 1024**3),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_statements_that_cost(database: Database, name: str) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    defect, traps = CASES[name]
    evidence = survey(database)

    result = conclude(with_statements(evidence, QUIET, defect, *traps), f"plans.{name}")

    assert {found.subject.path for found in result.findings} == {(defect.query_id,)}
    assert (result.examined, result.of) == (2 + len(traps), 2 + len(traps))
    assert conclude(with_statements(evidence, QUIET, *traps), f"plans.{name}").outcome is Outcome.PASSED
    assert conclude(with_statements(evidence), f"plans.{name}").outcome is Outcome.NOT_APPLICABLE
    assert conclude(survey(database), f"plans.{name}").reason is Reason.WINDOW_TOO_SHORT


def test_times_that_must_be_switched_on(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    base = survey(database)
    waits = ran("waits", 5_000, 90.0, read_ms=400_000.0)
    cpu = ran("computes", 5_000, 90.0, read_ms=4_000.0)
    evidence = with_statements(with_setting(base, "track_io_timing", "on"), waits, cpu)
    (found,) = conclude(evidence, "plans.io-heavy-statement").findings
    assert (found.subject.path, found.severity) == (("waits",), Severity.MEDIUM)
    off = with_statements(with_setting(base, "track_io_timing", "off"), QUIET)
    assert conclude(off, "plans.io-heavy-statement").outcome is Outcome.NOT_APPLICABLE

    planned = ran("planned", 50_000, 1.0, planning_ms=500_000.0)
    assert conclude(with_statements(base, planned), "plans.planning-time").outcome is Outcome.NOT_APPLICABLE
    tracked = with_setting(with_statements(base, planned, QUIET), "pg_stat_statements.track_planning", "on")
    (found,) = conclude(tracked, "plans.planning-time").findings
    assert found.subject.path == ("planned",)


def test_a_sort_that_really_spills(database: Database) -> None:
    prepare(
        database,
        "CREATE TABLE t (id int, body text); INSERT INTO t SELECT n, repeat('x', 90) FROM generate_series(1, 40000) n",
    )
    connection = database.connect()
    connection.execute("SET work_mem = '64kB'")
    send(connection, "SELECT body, id FROM t ORDER BY body, id", [()] * 6)
    connection.execute("SET work_mem = '64MB'")
    send(connection, "SELECT id, body FROM t ORDER BY id DESC, body", [()] * 6)

    result = conclude(survey(database, limits=NO_WINDOW), "plans.spilling-statement")

    (found,) = result.findings
    assert found.observed["calls"] == 6
    assert found.observed["temp_bytes_per_call"] > 1024**2
