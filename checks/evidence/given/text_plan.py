"""EXPLAIN's text format as the tree that its JSON format has: the same keys, so that one reader understands both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Lines and characters that are looked at: more is no plan that somebody wrote to a file.
MAXIMUM_LINES = 50_000
MAXIMUM_LINE = 10_000
MAXIMUM_DEPTH = 200

NODE = re.compile(
    r"^(?P<indent>\s*)(?P<arrow>->\s+)?(?P<what>[A-Z][^()\n]{1,400}?)\s{1,4}\("
    r"cost=(?P<startup>\d{1,18}\.\d+)\.\.(?P<total>\d{1,18}\.\d+) "
    r"rows=(?P<rows>\d{1,18}) width=(?P<width>\d{1,9})\)(?P<rest>.*)$"
)
_ACTUAL = re.compile(
    r"\(actual (?:time=\d{1,18}\.\d+\.\.(?P<ms>\d{1,18}\.\d+) )?rows=(?P<rows>\d{1,18}(?:\.\d+)?) loops=(?P<loops>\d{1,18})\)"
)
_JOIN = re.compile(
    r"^(?P<kind>Hash|Merge|Nested Loop)(?: (?P<type>Left|Right|Full|Semi|Anti|Right Anti|Right Semi))?(?P<join> Join)?$"
)
_SUBPLAN = re.compile(r"^\s*((?:SubPlan|InitPlan) \d+(?: \(returns [^)]{1,80}\))?|CTE [^\n]{1,63})\s*$")
_KEY = re.compile(r"^\s*([A-Z][A-Za-z/ -]{1,40}): (.*)$")
_TRIGGER = re.compile(
    r"^\s*Trigger (?:for constraint )?(.{1,130}?)(?: on \S+)?: time=(\d{1,18}(?:\.\d+)?) calls=(\d{1,18})"
)
_JIT_TOTAL = re.compile(r"\bTotal (\d{1,18}(?:\.\d+)?) ms")
_SORT = re.compile(r"^(?P<method>[a-z ]+?)\s+(?P<where>Memory|Disk): (?P<kb>\d+)kB")
_BATCHES = re.compile(r"\bBatches: (\d+)(?: \(originally (\d+)\))?")
_MEMORY = re.compile(r"\bMemory Usage: (\d+)kB")
_DISK = re.compile(r"\bDisk Usage: (\d+)kB")
_BLOCKS = re.compile(r"\b(exact|lossy)=(\d+)")
_BUFFERS = re.compile(r"\b(shared|temp)((?: (?:hit|read|dirtied|written)=\d+)+)")
_READ_TIME = re.compile(r"\bshared(?:/local)? read=(\d{1,18}(?:\.\d+)?)|^read=(\d{1,18}(?:\.\d+)?)")
_PARALLEL = "Parallel "
_AGGREGATES = {"HashAggregate": "Hashed", "GroupAggregate": "Sorted", "MixedAggregate": "Mixed", "Aggregate": "Plain"}
_NAMED = (
    "Index Scan", "Index Only Scan", "Bitmap Index Scan", "Seq Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan",
    "Sample Scan", "Foreign Scan", "Subquery Scan", "Function Scan", "CTE Scan", "WorkTable Scan", "Values Scan",
    "Table Function Scan",
)  # fmt: skip
_CONDITIONS = frozenset(
    [
        "Filter",
        "Join Filter",
        "One-Time Filter",
        "Index Cond",
        "Recheck Cond",
        "Hash Cond",
        "Merge Cond",
        "Order By",
        "TID Cond",
    ]
)
_NUMBERS = {
    "Rows Removed by Filter": "Rows Removed by Filter", "Rows Removed by Join Filter": "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck": "Rows Removed by Index Recheck", "Heap Fetches": "Heap Fetches",
    "Workers Planned": "Workers Planned", "Workers Launched": "Workers Launched",
}  # fmt: skip


def read_text(lines: Iterable[str]) -> dict[str, Any] | None:
    """The plan that these lines hold, the first node being its root; None if there is none."""
    document: dict[str, Any] = {"Triggers": []}
    # Nodes from the root to the last one read, with their indentation; and the name of a sub-plan that was just begun.
    path: list[tuple[int, dict[str, Any]]] = []
    subplan, column = "", 0
    for number, line in enumerate(lines):
        if number > MAXIMUM_LINES:
            break
        if len(line) > MAXIMUM_LINE:
            continue
        node = NODE.match(line)
        if node is not None:
            _place(document, path, node, subplan, column)
            subplan = ""
        elif path:
            if begun := _SUBPLAN.match(line):
                subplan, column = begun.group(1), len(line) - len(line.lstrip())
            else:
                _told(document, path[-1][1], line)
    return document if "Plan" in document else None


def _place(
    document: dict[str, Any], path: list[tuple[int, dict[str, Any]]], match: re.Match[str], subplan: str, column: int
) -> None:
    indent = len(match["indent"].expandtabs()) + len(match["arrow"] or "")
    node = _node(match)
    if "Plan" not in document:
        document["Plan"] = node
        path.append((indent, node))
        return
    # A sub-plan is set one step deeper than a child, under a line with its name.
    deepest = column - 2 if subplan else indent - 1
    while len(path) > 1 and path[-1][0] > deepest:
        path.pop()
    if len(path) > MAXIMUM_DEPTH:
        return
    if subplan:
        node["Subplan Name"] = subplan
        node["Parent Relationship"] = "SubPlan" if subplan.startswith("SubPlan") else "InitPlan"
    path[-1][1].setdefault("Plans", []).append(node)
    path.append((indent, node))


def _node(match: re.Match[str]) -> dict[str, Any]:
    node: dict[str, Any] = {
        "Startup Cost": float(match["startup"]), "Total Cost": float(match["total"]),
        "Plan Rows": float(match["rows"]), "Plan Width": int(match["width"]), **_kind(match["what"].strip()),
    }  # fmt: skip
    if actual := _ACTUAL.search(match["rest"]):
        node["Actual Rows"], node["Actual Loops"] = float(actual["rows"]), float(actual["loops"])
        if actual["ms"]:
            node["Actual Total Time"] = float(actual["ms"])
    elif "never executed" in match["rest"]:
        node["Actual Rows"] = node["Actual Loops"] = 0.0
    return node


def _kind(what: str) -> dict[str, Any]:
    """`Parallel Index Scan Backward using i on s.t a` and its like, by their parts."""
    found: dict[str, Any] = {}
    if what.startswith(_PARALLEL):
        found["Parallel Aware"], what = True, what[len(_PARALLEL) :]
    for prefix in ("Partial ", "Finalize "):
        what = what.removeprefix(prefix)
    name, _, relation = what.partition(" on ")
    name, _, index = name.partition(" using ")
    name = name.removesuffix(" Backward")
    if name in _AGGREGATES:
        return {**found, "Node Type": "Aggregate", "Strategy": _AGGREGATES[name]}
    join = _JOIN.match(name)
    if join and (join["join"] or name == "Nested Loop"):
        kind = join["kind"] if join["kind"] == "Nested Loop" else f"{join['kind']} Join"
        return {**found, "Node Type": kind, "Join Type": join["type"] or "Inner"}
    if name == "Bitmap Index Scan":
        return {**found, "Node Type": name, "Index Name": _plain(relation)}
    found["Node Type"] = name
    if index:
        found["Index Name"] = _plain(index)
    if relation and name in _NAMED:
        table, _, alias = relation.partition(" ")
        schema, dot, last = table.rpartition(".")
        if dot:
            found["Schema"] = _plain(schema)
        found["Relation Name"], found["Alias"] = _plain(last), _plain(alias or last)
    return found


def _plain(name: str) -> str:
    name = name.strip()
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _told(document: dict[str, Any], node: dict[str, Any], line: str) -> None:
    if trigger := _TRIGGER.match(line):
        document["Triggers"].append({"Trigger Name": trigger[1], "Time": float(trigger[2]), "Calls": int(trigger[3])})
        return
    match = _KEY.match(line)
    if match is None:
        return
    key, value = match[1], match[2].strip()
    if key in _CONDITIONS:
        node.setdefault(key, value)
    elif key in _NUMBERS and (digits := re.match(r"\d{1,18}(?:\.\d+)?", value)):
        node[_NUMBERS[key]] = float(digits.group())
    elif key in ("Sort Key", "Presorted Key"):
        node[key] = [part.strip() for part in value.split(",")][:50]
    elif key == "Sort Method" and (sort := _SORT.match(value)):
        node["Sort Space Used"], node["Sort Space Type"] = int(sort["kb"]), sort["where"]
    elif key in ("Buckets", "Batches", "Planned Partitions"):
        _hash(node, line)
    elif key == "Heap Blocks":
        for word, number in _BLOCKS.findall(value):
            node[f"{word.capitalize()} Heap Blocks"] = int(number)
    elif key == "Buffers":
        _buffers(node, value)
    elif key == "I/O Timings" and (read := _READ_TIME.search(value)):
        node["Shared I/O Read Time"] = float(read[1] or read[2])
    elif key in ("Execution Time", "Planning Time") and (digits := re.match(r"\d{1,18}(?:\.\d+)?", value)):
        document[key] = float(digits.group())
    elif key == "Query Identifier":
        document[key] = value
    elif key == "Timing" and (total := _JIT_TOTAL.search(value)):
        document["JIT"] = {"Timing": {"Total": float(total[1])}}


def _hash(node: dict[str, Any], line: str) -> None:
    if batches := _BATCHES.search(line):
        node["Hash Batches" if node["Node Type"] == "Hash" else "HashAgg Batches"] = int(batches[1])
    if memory := _MEMORY.search(line):
        node["Peak Memory Usage"] = int(memory[1])
    if disk := _DISK.search(line):
        node["Disk Usage"] = int(disk[1])


def _buffers(node: dict[str, Any], value: str) -> None:
    for kind, counts in _BUFFERS.findall(value):
        for word, number in re.findall(r"(hit|read|dirtied|written)=(\d+)", counts):
            node[f"{kind.capitalize()} {word.capitalize()} Blocks"] = int(number)
