from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.evidence.given.reader import read_plan_files, read_plans

TEXT = """\
                                   QUERY PLAN
--------------------------------------------------------------------------------
 Limit  (cost=0.42..10.00 rows=10 width=8) (actual time=0.10..5.20 rows=10.00 loops=1)
   Buffers: shared hit=12 read=30, temp read=4 written=5
   ->  Nested Loop Left Join  (cost=0.42..99.00 rows=100 width=8) (actual time=0.10..5.10 rows=10 loops=1)
         ->  Parallel Index Only Scan using "Odd i" on public."Odd" o (cost=0.0..4.0 rows=3 width=4) (actual rows=3 loops=2)
               Index Cond: (a = 'secret'::text)
               Heap Fetches: 17
         ->  Hash  (cost=1.0..2.0 rows=5 width=4) (never executed)
               Buckets: 1024 (originally 512)  Batches: 8 (originally 1)  Memory Usage: 40kB
   SubPlan 1
     ->  Seq Scan on t  (cost=0.00..9.00 rows=1 width=4) (actual time=0.01..0.02 rows=1 loops=10)
           Filter: (b = 5)
           Rows Removed by Filter: 99
 Planning Time: 0.5 ms
 JIT:
   Functions: 4
   Timing: Generation 1.0 ms, Inlining 0.0 ms, Optimization 2.0 ms, Emission 3.0 ms, Total 6.0 ms
 Trigger for constraint children_parent_fkey on parents: time=12.5 calls=7
 Execution Time: 20.5 ms
(12 rows)
"""


def test_the_text_format_says_what_the_json_format_says() -> None:
    (plan,), failed = read_plans(TEXT.encode(), "plan.txt")

    assert failed == 0
    assert (plan.execution_ms, plan.planning_ms, plan.jit_ms) == (20.5, 0.5, 6.0)
    assert [(entry.name, entry.ms, entry.calls) for entry in plan.triggers] == [("children_parent_fkey", 12.5, 7)]
    root = plan.root
    assert root.measured is not None
    assert (root.measured.hit_blocks, root.measured.read_blocks, root.measured.temp_written) == (12, 30, 5)
    assert [node.node_type for node in root.walk()] == ["Limit", "Nested Loop", "Seq Scan", "Index Only Scan", "Hash"]
    join, sub = root.children
    assert join.join_type == "Left"
    assert (sub.subplan, sub.parent_relationship, sub.relation) == ("SubPlan 1", "SubPlan", "t")
    assert sub.measured is not None
    assert (sub.measured.removed, sub.measured.loops) == (99, 10)
    scan, hashed = join.children
    assert (scan.index, scan.schema, scan.relation, scan.alias, scan.parallel) == (
        "Odd i",
        "public",
        "Odd",
        "o",
        True,
    )
    assert scan.index_condition == "(a = $1::text)"
    assert scan.measured is not None
    assert scan.measured.heap_fetches == 17
    assert hashed.measured is None


def test_several_plans_in_one_file() -> None:
    plans, _ = read_plans((TEXT + "\n" + TEXT).encode(), "two.txt")
    assert [(plan.file, plan.number) for plan in plans] == [("two.txt", 1), ("two.txt", 2)]


@pytest.mark.parametrize("kind", ["stderr", "json", "csv"])
def test_logs_of_auto_explain(kind: str) -> None:
    message = "duration: 5.500 ms  plan:\nQuery Text: SELECT a FROM t WHERE b = 'x'\n"
    message += "Seq Scan on t  (cost=0.00..9.00 rows=1 width=4)\n  Filter: (b = 'x'::text)"
    if kind == "stderr":
        tabbed = message.replace("\n", "\n\t")
        log = f"2026-11-23 LOG:  {tabbed}\n2026-11-23 LOG:  statement: SELECT 1\n2026-11-23 LOG:  {tabbed}\n"
    elif kind == "json":
        log = (
            json.dumps({"message": message})
            + "\n"
            + json.dumps({"message": "other"})
            + "\n"
            + json.dumps({"message": message})
        )
    else:
        row = ",".join(["x"] * 13) + ',"' + message + '",y\n'
        log = row + ",".join(["x"] * 13) + ",other\n" + row

    plans, failed = read_plans(log.encode(), "server.log")

    assert (len(plans), failed) == (2, 0)
    assert (plans[0].text, plans[0].execution_ms) == ("SELECT a FROM t WHERE b = $1", 5.5)
    assert plans[0].root.filter == "(b = $1::text)"


def test_a_log_with_plans_in_json() -> None:
    body = {
        "Query Text": "SELECT 5",
        "Plan": {"Node Type": "Result", "Startup Cost": 0, "Total Cost": 1, "Plan Rows": 1, "Plan Width": 4},
    }
    log = "LOG:  duration: 9.000 ms  plan:\n\t" + json.dumps(body, indent=1).replace("\n", "\n\t") + "\nLOG:  x\n"
    (plan,), _ = read_plans(log.encode(), "server.log")
    assert (plan.root.node_type, plan.text, plan.execution_ms) == ("Result", "SELECT $1", 9.0)


NODE = {"Node Type": "Result", "Startup Cost": 0, "Total Cost": 1, "Plan Rows": 1, "Plan Width": 4}
HOSTILE = {
    "deep json": "[" * 200_000,
    "deep plan": '{"Plan":' + '{"Node Type":"X","Startup Cost":0,"Total Cost":1,"Plan Rows":1,"Plan Width":1,"Plans":[' * 5_000,
    "wrong types": json.dumps([{"Plan": {**NODE, "Relation Name": 5, "Plans": 7}}]),
    "wrong names": json.dumps([{"Plan": {**NODE, "Relation Name": {"a": 1}}}]),
    "wrong triggers": json.dumps([{"Plan": NODE, "Triggers": [{"Time": "x"}]}]),
    "huge number": '[{"Plan": {"Node Type": "X", "Query Identifier": ' + "9" * 5_000 + "}}]",
    "long line": "Seq Scan " * 200_000,
    "many arrows": "->  " * 200_000,
    "half a node": "Seq Scan on t  (cost=0.00.." + "1" * 100_000,
    "log without plans": "log: duration: 5.000 ms  plan:\n" * 20_000,
    "nothing": "",
    "binary": "\x00\xff" * 1_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_no_plans_and_cost_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text(HOSTILE[name], "utf-8", "replace")
    begun = time.process_time()
    with pytest.raises(TargetError, match="there is no plan in"):
        read_plan_files([path], None)
    assert time.process_time() - begun < 3


def test_more_than_anybody_reads_is_left_out() -> None:
    plans, _ = read_plans(("Seq Scan on t  (cost=0.00..9.00 rows=1 width=4)\n" * 5_000).encode(), "many")
    assert len(plans) == 1_000
    nested = "".join(f"{' ' * 2 * n}->  Seq Scan on t  (cost=0.00..9.00 rows=1 width=4)\n" for n in range(1, 900))
    (deep,), _ = read_plans(("Limit  (cost=0.00..9.00 rows=1 width=4)\n" + nested).encode(), "deep")
    assert len(deep.root.walk()) < 300
