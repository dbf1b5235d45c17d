from __future__ import annotations

from pathlib import Path

import msgspec

from checks.evidence.given.reader import read_plan_files
from checks.evidence.observe import Target, observe
from checks.model import CheckResult, Outcome, Severity
from tests.checks.survey import conclude, survey
from tests.checks.workload import prepare
from tests.servers import Database

SCHEMA = """
    CREATE TABLE facts (id bigint PRIMARY KEY, kind int, body text);
    INSERT INTO facts SELECT n, n % 20000, repeat('x', 40) FROM generate_series(1, 60000) n;
"""
GROUPED = "SELECT kind, count(*), max(body) FROM facts GROUP BY kind"
FILTERED = "SELECT * FROM facts WHERE body LIKE '%y%' AND md5(body) = 'x'"


def _explain(database: Database, path: Path, statement: str, options: str) -> Path:
    with database.connect() as connection:
        connection.execute("SET work_mem = '64MB'; SET max_parallel_workers_per_gather = 2; SET jit = off")
        rows = connection.execute(f"EXPLAIN ({options}) {statement}".encode()).fetchall()
    path.write_text("\n".join(row[0] for row in rows))
    return path


def _concluded(database: Database, check: str, *paths: Path) -> CheckResult:
    evidence = survey(database, limits={"plan_ms": 0.1})
    return conclude(msgspec.structs.replace(evidence, given_plans=read_plan_files(paths, None)), check)


def test_the_step_that_takes_the_time(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    grouped = _explain(database, tmp_path / "grouped.txt", GROUPED, "ANALYZE, BUFFERS")
    filtered = _explain(database, tmp_path / "filtered.txt", FILTERED, "ANALYZE, BUFFERS")
    quick = tmp_path / "even.txt"
    quick.write_text(
        "Nested Loop  (cost=0.00..9.00 rows=9 width=8) (actual time=0.10..90.00 rows=9 loops=1)\n"
        "  ->  Gather  (cost=0.00..9.00 rows=9 width=8) (actual time=0.10..44.00 rows=9 loops=1)\n"
        "        Workers Planned: 2\n        Workers Launched: 2\n"
        "        ->  Parallel Seq Scan on a  (cost=0.00..9.00 rows=9 width=8) (actual time=0.10..42.00 rows=3 loops=3)\n"
        "  ->  Seq Scan on b  (cost=0.00..9.00 rows=9 width=8) (actual time=0.10..4.00 rows=9 loops=9)\n"
        "Execution Time: 90.00 ms\n"
    )

    result = _concluded(database, "plans.costliest-node", grouped, filtered, quick)

    (found,) = result.findings
    assert found.subject.path == ("grouped.txt", "1")
    assert found.severity is Severity.NOTE
    assert "Aggregate" in found.observed["node"]
    assert 0.5 <= found.observed["share"] <= 1
    assert result.examined == 3


def test_plans_that_say_too_little(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    estimated = _explain(database, tmp_path / "estimated.txt", GROUPED, "COSTS")
    unbuffered = _explain(database, tmp_path / "unbuffered.txt", GROUPED, "ANALYZE, BUFFERS off")
    whole = _explain(database, tmp_path / "whole.txt", GROUPED, "ANALYZE, BUFFERS")

    result = _concluded(database, "plans.plan-without-measures", estimated, unbuffered, whole)

    assert {found.subject.path[0]: found.title for found in result.findings} == {
        "estimated.txt": "1 of 1 plans in estimated.txt were not run (no ANALYZE)",
        "unbuffered.txt": "1 of 1 plans in unbuffered.txt do not say what was read (no BUFFERS)",
    }
    assert (result.examined, result.unmet) == (3, 2)
    assert _concluded(database, "plans.plan-without-measures", whole).outcome is Outcome.PASSED


def test_a_log_without_plans_is_no_plan_that_says_too_little(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("2026-11-20 10:00:00.000 UTC [7] LOG:  database system is ready to accept connections\n")

    evidence = observe(Target(repository=tmp_path, plans=(log,))).evidence

    assert conclude(evidence, "plans.plan-without-measures").outcome is Outcome.NOT_APPLICABLE
    assert conclude(evidence, "plans.costliest-node").outcome is Outcome.UNKNOWN
