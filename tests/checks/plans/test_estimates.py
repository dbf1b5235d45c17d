from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from checks.evidence.given.reader import read_plan_files
from checks.model import Confidence, Outcome, Severity
from tests.checks.altered import aged
from tests.checks.survey import conclude, examine, survey
from tests.checks.workload import flush, prepare, send
from tests.servers import Database

SCHEMA = """
    CREATE TABLE orders (id bigint PRIMARY KEY, tenant int, status text, code int, placed int);
    INSERT INTO orders SELECT n, n % 3, 's' || n % 40, n % 500, n FROM generate_series(1, 60000) n;
    CREATE INDEX orders_tenant ON orders (tenant);
    CREATE INDEX orders_placed ON orders (placed);
    CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint, note text);
    INSERT INTO items SELECT n, n % 60000 + 1, 'n' || n FROM generate_series(1, 90000) n;
    CREATE INDEX items_order ON items (order_id);
    CREATE TABLE logs (day date NOT NULL, kind int, body text) PARTITION BY RANGE (day);
"""
PARTITIONS = [
    f"CREATE TABLE logs_{n} PARTITION OF logs FOR VALUES FROM ('2026-{n:02}-01') TO ('2026-{n + 1:02}-01')"
    for n in range(1, 11)
]
QUICK = {"plan_ms": 0.0, "window_days": 0}


def test_an_index_that_finds_far_more_than_is_kept(database: Database) -> None:
    prepare(database, SCHEMA, f"ALTER DATABASE {database.name} SET enable_seqscan = off",
            f"ALTER DATABASE {database.name} SET enable_bitmapscan = off")  # fmt: skip
    connection = database.connect()
    send(connection, "SELECT id FROM orders WHERE tenant = %s AND code = %s", [(1, 7)] * 6)
    send(connection, "SELECT id FROM orders WHERE placed = %s AND code = %s", [(1, 7)] * 6)
    send(connection, "SELECT id FROM orders WHERE tenant = %s", [(1,)] * 6)

    (found,) = examine(database, "plans.wasteful-index-scan", limits=QUICK).findings

    assert "finds about 20,000 rows of orders by index orders_tenant and keeps about 40" in found.title
    assert (found.confidence, found.severity) == (Confidence.INFERRED, Severity.MEDIUM)
    assert found.observed["calls"] == 6


def test_an_index_that_is_walked_for_its_order(database: Database) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    send(connection, "SELECT id FROM orders WHERE code = %s ORDER BY placed LIMIT 20", [(7,)] * 6)
    send(connection, "SELECT id FROM orders WHERE status <> %s ORDER BY placed LIMIT 20", [("s1",)] * 6)
    send(connection, "SELECT id FROM orders ORDER BY placed LIMIT 20", [()] * 6)

    found = examine(database, "plans.wrong-index-for-order-by", limits={**QUICK, "seq_scan_rows": 5_000}).findings

    assert [entry.observed["index"] for entry in found] in ([], ["orders_placed"])
    assert all("about 10,000 rows" in entry.title or "status" not in entry.title for entry in found)


def test_a_loop_over_very_many_rows(database: Database) -> None:
    prepare(database, SCHEMA, *(f"ALTER DATABASE {database.name} SET enable_{name} = off" for name in
                                ("hashjoin", "mergejoin", "seqscan", "memoize")))  # fmt: skip
    connection = database.connect()
    send(connection, "SELECT o.id, i.note FROM orders o JOIN items i ON i.order_id = o.id", [()] * 5)
    send(connection, "SELECT o.id, i.note FROM orders o JOIN items i ON i.order_id = o.id WHERE o.id = %s", [(5,)] * 5)
    send(connection, "SELECT o.id, i.note FROM orders o JOIN items i ON i.order_id = o.id LIMIT 3", [()] * 5)

    (found,) = examine(database, "plans.huge-nested-loop", limits={**QUICK, "nested_loops": 50_000}).findings

    assert found.observed["loops"] >= 50_000
    assert examine(database, "plans.huge-nested-loop", limits=QUICK).findings == ()


def test_a_subquery_for_each_row(database: Database) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    send(
        connection,
        "SELECT o.id, (SELECT count(*) FROM items i WHERE i.order_id = o.id) FROM orders o WHERE code < %s",
        [(99,)] * 5,
    )
    send(
        connection, "SELECT id FROM orders WHERE id NOT IN (SELECT order_id FROM items WHERE note = %s)", [("n1",)] * 5
    )
    send(connection, "SELECT id, (SELECT max(id) FROM items) FROM orders WHERE code = %s", [(7,)] * 5)

    (found,) = examine(database, "plans.subplan-per-row", limits=QUICK).findings

    assert "runs a subquery about" in found.title
    assert found.observed["cost_share"] > 0.9


def test_an_or_over_two_tables(database: Database) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    join = "SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id WHERE "
    send(connection, join + "(o.code = %s OR i.note = %s)", [(7, "n1")] * 5)
    send(connection, join + "(o.code = %s OR o.status = %s)", [(7, "s1")] * 5)

    (found,) = examine(database, "plans.late-or-filter", limits=QUICK).findings

    assert " OR " in found.observed["filter"]
    assert "note" in found.observed["filter"]


def test_partitions_that_are_all_read(database: Database) -> None:
    prepare(
        database,
        SCHEMA,
        *PARTITIONS,
        "INSERT INTO logs SELECT date '2026-01-01' + n % 270, n, 'x' FROM generate_series(1, 5000) n",
    )
    connection = database.connect()
    send(connection, "SELECT body FROM logs WHERE kind = %s", [(7,)] * 6)
    send(connection, "SELECT body FROM logs WHERE kind = %s AND day = %s", [(7, "2026-03-01")] * 6)
    send(connection, "SELECT body FROM logs WHERE day > %s", [("2026-03-01",)] * 6)
    send(connection, "SELECT count(*) FROM logs", [()] * 6)

    (found,) = examine(database, "plans.no-partition-pruning").findings

    assert found.title == "SELECT from logs by kind reads 10 partitions of logs, whose key day it does not compare"
    assert found.severity is Severity.LOW
    flush(connection)
    scanned = aged(survey(database, limits={"seq_scan_rows": 200, "chatty_calls_min": 50}), 10)
    (found,) = conclude(scanned, "plans.partitions-scanned").findings
    assert found.subject.name == "public.logs"
    assert conclude(aged(survey(database), 10), "plans.partitions-scanned").outcome is Outcome.PASSED


@pytest.mark.since(15)
def test_a_statement_that_is_planned_by_old_statistics(database: Database) -> None:
    prepare(database, SCHEMA, "ALTER TABLE items SET (autovacuum_enabled = off)")
    connection = database.connect()
    connection.execute("INSERT INTO items SELECT n, 5, 'n' FROM generate_series(100000, 190000) n")
    flush(connection)
    send(connection, "SELECT count(*) FROM items WHERE note = %s", [("n1",)] * 9)
    send(connection, "SELECT count(*) FROM orders WHERE status = %s", [("s1",)] * 9)

    found = examine(database, "plans.stale-statistics", limits={"heavy_share": 0}).findings

    assert {entry.observed["table"] for entry in found} == {"public.items"}


def test_what_given_plans_measured(database: Database, tmp_path: Path) -> None:
    prepare(database, SCHEMA)
    path = tmp_path / "plan.txt"
    path.write_text(
        "Limit  (cost=0.29..50.00 rows=20 width=8) (actual time=80.0..90.1 rows=20 loops=1)\n"
        "  ->  Index Scan using orders_placed on public.orders  (cost=0.29..9999.00 rows=4000 width=8)"
        " (actual time=80.0..90.0 rows=20 loops=1)\n"
        "        Filter: (code = 7)\n        Rows Removed by Filter: 49980\n"
        "Execution Time: 90.5 ms\n\n"
        "Index Scan using orders_tenant on public.orders  (cost=0.29..99.00 rows=40 width=8)"
        " (actual time=0.1..70.0 rows=40 loops=1)\n"
        "  Index Cond: (tenant = 1)\n  Filter: (code = 7)\n  Rows Removed by Filter: 19960\n"
        "Execution Time: 70.5 ms\n"
    )
    evidence = msgspec.structs.replace(survey(database), given_plans=read_plan_files([path], None))

    (walked,) = conclude(evidence, "plans.wrong-index-for-order-by").findings
    (wasted,) = conclude(evidence, "plans.wasteful-index-scan").findings

    assert (walked.subject.path, walked.observed["rows_to_walk"]) == (("plan.txt", "1"), 50_000)
    assert (wasted.subject.path, wasted.observed["found_rows"]) == (("plan.txt", "2"), 20_000)
    assert wasted.confidence is Confidence.MEASURED
