from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from checks.evidence.given.reader import read_plan_files
from checks.model import Outcome, Reason, Severity
from tests.checks.survey import conclude, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

SCHEMA = """
    CREATE TABLE events (id bigint PRIMARY KEY, kind int, twin int, body text);
    INSERT INTO events SELECT n, n % 400, n % 400, repeat('x', 60) FROM generate_series(1, 60000) n;
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (id int, parent int REFERENCES parents ON DELETE CASCADE);
    INSERT INTO parents SELECT generate_series(1, 300);
    INSERT INTO children SELECT n, n % 300 + 1 FROM generate_series(1, 20000) n;
"""
ALL = "sort-on-disk hash-batches lossy-bitmap heap-fetches workers-not-launched jit-dominates trigger-dominates row-misestimate"


def _explained(
    connection: psycopg.Connection[Any], statement: str, *, text: bool, options: str = "ANALYZE, BUFFERS"
) -> str:
    kind = "TEXT" if text else "JSON"
    rows = connection.execute(f"EXPLAIN ({options}, FORMAT {kind}) {statement}".encode()).fetchall()
    return "\n".join(row[0] for row in rows) if text else json.dumps(rows[0][0])


def _found(database: Database, path: Path) -> set[str]:
    evidence = msgspec.structs.replace(survey(database), given_plans=read_plan_files([path], None))
    limits = {"plan_ms": 0.0}
    del limits
    return {name for name in ALL.split() if conclude(_unhurried(evidence), f"plans.{name}").findings}


def _unhurried(evidence: Any) -> Any:
    """As if a plan of any length were worth a look: those of tests take a moment only."""
    from checks.configuration import Configuration, Override

    return msgspec.structs.replace(evidence, configuration=Configuration((Override("plan_ms", 0, 50, "user", False),)))


@pytest.mark.parametrize("text", [True, False], ids=["text", "json"])
def test_what_a_plan_that_was_run_tells(database: Database, tmp_path: Path, text: bool) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    path = tmp_path / "plan.txt"
    for settings, statement, told in (
        ("SET work_mem = '64kB'", "SELECT id, body FROM events ORDER BY body, id DESC", {"sort-on-disk"}),
        (
            "SET enable_mergejoin = off; SET enable_nestloop = off",
            "SELECT a.body FROM events a JOIN events b ON a.id = b.kind + b.twin * 90",
            {"hash-batches"},
        ),
        ("SET work_mem = '64MB'", "SELECT id, body FROM events ORDER BY body, id DESC", set()),
        ("BEGIN", "DELETE FROM parents WHERE id < 100", {"trigger-dominates"}),
        ("ROLLBACK", "SELECT id FROM events WHERE id = 7", set()),
    ):
        connection.execute(settings.encode())
        path.write_text(_explained(connection, statement, text=text))
        assert _found(database, path) == told, statement


@pytest.mark.parametrize("text", [True, False], ids=["text", "json"])
def test_rows_that_the_planner_did_not_expect(database: Database, tmp_path: Path, text: bool) -> None:
    prepare(
        database, SCHEMA, "CREATE TABLE logs AS SELECT n AS id, '{}'::jsonb AS data FROM generate_series(1, 60000) n"
    )
    connection = database.connect()
    path = tmp_path / "plan.txt"
    wrong = "SELECT id FROM logs WHERE data ->> 'a' IS NULL AND data ->> 'b' IS NULL"
    path.write_text(_explained(connection, wrong, text=text))
    evidence = _unhurried(msgspec.structs.replace(survey(database), given_plans=read_plan_files([path], None)))

    (found,) = conclude(evidence, "plans.row-misestimate").findings

    assert found.subject.path == ("plan.txt", "1")
    assert found.observed["rows"] == 60000
    assert found.observed["factor"] >= 100
    assert "Seq Scan on logs" in found.title
    for right in (
        "SELECT id FROM events WHERE kind = 7",
        "SELECT id FROM logs WHERE data ->> 'a' IS NULL AND data ->> 'b' IS NULL LIMIT 1",
        "SELECT id FROM events LIMIT 3",
        "SELECT count(*) FROM events",
    ):
        path.write_text(_explained(connection, right, text=text))
        evidence = _unhurried(msgspec.structs.replace(survey(database), given_plans=read_plan_files([path], None)))
        assert conclude(evidence, "plans.row-misestimate").outcome is Outcome.PASSED, right


def test_plans_that_were_not_run_or_not_given(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    path = tmp_path / "plan.txt"
    path.write_text(_explained(database.connect(), "SELECT id FROM events", text=True, options="COSTS"))
    evidence = survey(database)
    given = msgspec.structs.replace(evidence, given_plans=read_plan_files([path], None))

    for where in (evidence, given):
        result = conclude(where, "plans.sort-on-disk")
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_OPTED_IN)


def test_index_only_scans_and_bitmaps(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA, "CREATE INDEX ON events (kind)", "ALTER TABLE events SET (autovacuum_enabled = off)")
    connection = database.connect()
    path = tmp_path / "plan.txt"
    connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    connection.execute("UPDATE events SET kind = kind + 1 WHERE id % 2 = 0")
    path.write_text(_explained(connection, "SELECT kind FROM events WHERE kind < 300", text=True))
    assert _found(database, path) == {"heap-fetches"}
    connection.execute("VACUUM events")
    path.write_text(_explained(connection, "SELECT kind FROM events WHERE kind < 300", text=True))
    assert _found(database, path) == set()


def test_a_plan_is_tied_to_the_statement_that_ran(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    send(connection, "SELECT id, body FROM events WHERE kind > 5 ORDER BY body, id", [()] * 3)
    connection.execute("SET work_mem = '64kB'")
    plan = _explained(connection, "SELECT id, body FROM events WHERE kind > 5 ORDER BY body, id", text=True)
    log = tmp_path / "postgresql.log"
    body = "\n".join("\t" + line for line in plan.split("\n")[:-4])
    log.write_text(
        "2026-11-23 10:00:00 UTC [7] LOG:  checkpoint complete\n"
        "2026-11-23 10:00:01 UTC [9] app@app LOG:  duration: 812.345 ms  plan:\n"
        "\tQuery Text: SELECT id, body FROM events\n\tWHERE kind > 99 ORDER BY body, id\n" + body + "\n"
        "2026-11-23 10:00:02 UTC [9] app@app LOG:  disconnection\n"
    )
    evidence = survey(database)
    statements = evidence.statements
    assert not isinstance(statements, msgspec.UnsetType)
    given = read_plan_files([log], statements)  # type: ignore[arg-type]
    evidence = msgspec.structs.replace(evidence, given_plans=given)

    (found,) = conclude(evidence, "plans.sort-on-disk").findings

    assert found.title.startswith("SELECT from events by kind, sorted by body: sorts ")
    assert found.observed["calls"] == 3
    assert found.observed["execution_ms"] == 812.345
    assert "99" not in found.observed["statement"]
    assert found.severity is Severity.LOW


def test_blocks_that_are_not_in_memory(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    path = tmp_path / "plan.json"
    statement = "SELECT count(body) FROM events"
    connection.execute("SET track_io_timing = off")
    blind = json.loads(_explained(connection, statement, text=False))
    connection.execute("SET track_io_timing = on")
    plan = json.loads(_explained(connection, statement, text=False))
    timed = {name for name in plan[0]["Plan"] if name.endswith("I/O Read Time")}

    def conclusion(plan: Any, waited_ms: float) -> Any:
        # A disk that takes so long for 700 of the blocks.
        nodes = [plan[0]["Plan"]]
        for node in nodes:
            nodes += node.get("Plans", [])
            if timed <= set(node):
                node.update({"Shared Read Blocks": 700, "Shared I/O Read Time": waited_ms, "I/O Read Time": waited_ms})
        plan[0]["Execution Time"] = 400.0
        path.write_text(json.dumps(plan))
        return conclude(msgspec.structs.replace(survey(database), given_plans=read_plan_files([path], None)),
                        "plans.reads-dominate")  # fmt: skip

    assert timed
    (found,) = conclusion(plan, 390.0).findings
    assert "waits 390 ms for 700 blocks" in found.title
    assert found.observed["node"] == "Seq Scan on events"
    assert conclusion(plan, 40.0).outcome is Outcome.PASSED
    assert conclusion(blind, 390.0).reason is Reason.NOT_OPTED_IN
