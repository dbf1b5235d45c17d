"""Plans that somebody gives in files: of EXPLAIN (text or JSON) or from auto_explain's log. The files are a stranger's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from checks.errors import TargetError
from checks.evidence.database.facts import (
    GivenPlan,
    GivenPlans,
    LogEvents,
    Measured,
    PlanNode,
    Statements,
    TriggerTime,
)
from checks.evidence.database.plan_tree import read_plan
from checks.evidence.given.log import merged, read_log
from checks.evidence.given.text_plan import NODE, read_text
from checks.evidence.sql import mask_literals, normalize
from checks.typed import decode_json

MAXIMUM_BYTES = 64 * 1024**2
MAXIMUM_PLANS = 1_000
MAXIMUM_STATEMENT = 100_000
# Nodes of all plans of a file together.
MAXIMUM_NODES = 200_000

_DURATION = re.compile(r"duration: (\d{1,18}(?:\.\d+)?) ms  plan:")
_QUERY_TEXT = re.compile(r"^\s*Query Text: ?(.*)$")
_HEADING = re.compile(r"^\s*(?:QUERY PLAN|-{3,}|\(\d+ rows?\))\s*$")
_CSV_MESSAGE = 13


def read_plan_files(paths: Sequence[Path], statements: Statements | None) -> GivenPlans:
    """The plans of all files, statements matched with those that ran, and what those that are logs count. Raises TargetError for
    a file that cannot be read, or in which there is neither."""
    plans: list[GivenPlan] = []
    log: LogEvents | None = None
    unread = 0
    for path in paths:
        try:
            with path.open("rb") as stream:
                data = stream.read(MAXIMUM_BYTES + 1)
        except OSError as error:
            raise TargetError(f"cannot read {path}: {error.strerror}", "give a file with plans to --plan") from error
        if len(data) > MAXIMUM_BYTES:
            raise TargetError(f"{path} is larger than 64 MiB", "cut the log to the hours that matter")
        found, failed = read_plans(data, path.name)
        events = read_log(data.decode("utf-8", "replace"))
        if not found and events is None:
            raise TargetError(
                f"there is no plan in {path}, nor is it a server's log",
                "--plan reads the output of EXPLAIN (text or JSON), auto_explain's log, and any other log of the server",
            )
        log = merged(log, events)
        plans += found
        unread += failed
    return GivenPlans(plans=_matched(plans[:MAXIMUM_PLANS], statements), unread=unread, log=log)


def read_plans(data: bytes, file: str) -> tuple[list[GivenPlan], int]:
    """The plans in what a file holds, and how many more could not be read."""
    plans: list[GivenPlan] = []
    failed = nodes = 0
    for document in _documents(data.decode("utf-8", "replace")):
        if len(plans) >= MAXIMUM_PLANS or nodes > MAXIMUM_NODES:
            break
        try:
            # A file may say anything: what cannot be read back from evidence is no plan.
            encoded = msgspec.json.encode(read_document(document, file, len(plans) + 1))
            plan = decode_json(encoded, GivenPlan)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError):
            failed += 1
            continue
        nodes += len(plan.root.walk())
        plans.append(plan)
    return plans, failed


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Each plan as the JSON format has it, whatever it was written in."""
    if _DURATION.search(text):
        yield from _logged(text)
        return
    plain = "\n".join(_undecorated(text))
    if plain.lstrip().startswith(("[", "{")):
        yield from _of_json(plain)
        return
    lines: list[str] = []
    for line in plain.split("\n"):
        node = NODE.match(line)
        if node is not None and not node["arrow"] and lines and any(NODE.match(before) for before in lines[:1]):
            yield from _of_text(lines)
            lines = []
        if lines or node is not None:
            lines.append(line)
    yield from _of_text(lines)


def _undecorated(text: str) -> Iterator[str]:
    """The lines without what psql puts around them."""
    for line in text.replace("\r\n", "\n").split("\n"):
        if not _HEADING.match(line):
            yield line.rstrip().removesuffix("+").rstrip() if line.rstrip().endswith("+") else line


def _of_json(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, dict) and "Plan" in entry:
            yield entry


def _of_text(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    document = read_text(lines)
    if document is not None:
        yield document


def _logged(text: str) -> Iterator[Mapping[str, Any]]:
    """The entries of auto_explain in a log: stderr, jsonlog or csvlog."""
    for entry in _entries(text):
        head = _DURATION.search(entry)
        if head is None:
            continue
        body = entry[head.end() :].lstrip("\n")
        if body.lstrip().startswith(("{", "[")):
            for document in _of_json(body.strip()):
                yield {"Execution Time": float(head[1]), **document}
            continue
        lines = body.split("\n")
        first = next((number for number, line in enumerate(lines) if NODE.match(line.lstrip("\t"))), None)
        if first is None:
            yield {}
            continue
        query = _QUERY_TEXT.match(lines[0])
        statement = "\n".join([query[1], *lines[1:first]]) if query else ""
        for document in _of_text([line.lstrip("\t") for line in lines[first:]]):
            yield {"Execution Time": float(head[1]), "Query Text": statement, **document}


def _entries(text: str) -> Iterator[str]:
    first = text.lstrip()[:1]
    if first == "{":
        for line in text.splitlines():
            try:
                record = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(record, dict) and isinstance(record.get("message"), str):
                yield record["message"]
        return
    starts = [match.start() for match in _DURATION.finditer(text)]
    if '"duration: ' in text:
        try:
            yield from (row[_CSV_MESSAGE] for row in csv.reader(io.StringIO(text)) if len(row) > _CSV_MESSAGE)
        except csv.Error:
            return
        return
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else len(text)
        lines = text[start:stop].replace("\r\n", "\n").split("\n")
        # Further lines of an entry begin with a tab; what follows it begins with the log's prefix.
        last = next((at for at, line in enumerate(lines[1:], 1) if not line.startswith(("\t", " "))), len(lines))
        yield "\n".join(line.removeprefix("\t") for line in lines[:last])


def read_document(document: Mapping[str, Any], file: str, number: int) -> GivenPlan:
    """One document of EXPLAIN (FORMAT JSON), literals masked. Raises KeyError, TypeError or ValueError if it is none."""
    query_id = document.get("Query Identifier")
    text = str(document.get("Query Text") or "")[:MAXIMUM_STATEMENT]
    jit = (document.get("JIT") or {}).get("Timing", {}).get("Total")
    if isinstance(jit, dict):
        jit = jit.get("Total")
    return GivenPlan(
        file=file,
        number=number,
        root=_with_measures(document["Plan"], read_plan(document["Plan"])),
        text=mask_literals(text),
        query_id=None if query_id is None else str(int(query_id)),
        execution_ms=_number(document.get("Execution Time")),
        planning_ms=_number(document.get("Planning Time")),
        jit_ms=_number(jit),
        triggers=tuple(_trigger(entry) for entry in (document.get("Triggers") or ())[:100] if "Time" in entry),
    )


def _trigger(entry: Mapping[str, Any]) -> TriggerTime:
    name = entry.get("Constraint Name") or entry.get("Trigger Name") or ""
    return TriggerTime(str(name), float(entry["Time"]), int(entry["Calls"]))


def _with_measures(raw: Mapping[str, Any], node: PlanNode) -> PlanNode:
    children = tuple(
        _with_measures(below, child) for below, child in zip(raw.get("Plans", ()), node.children, strict=False)
    )
    return msgspec.structs.replace(node, children=children, measured=_measured(raw))


def _measured(raw: Mapping[str, Any]) -> Measured | None:
    if not raw.get("Actual Loops"):
        return None
    removed = sum(
        _number(raw.get(f"Rows Removed by {word}")) or 0 for word in ("Filter", "Join Filter", "Index Recheck")
    )
    return Measured(
        rows=float(raw["Actual Rows"]),
        loops=float(raw["Actual Loops"]),
        ms=_number(raw.get("Actual Total Time")),
        removed=removed,
        sort_kb=_whole(raw, "Sort Space Used"),
        sort_on_disk=raw.get("Sort Space Type") == "Disk",
        batches=_whole(raw, "Hash Batches", "HashAgg Batches"),
        memory_kb=_whole(raw, "Peak Memory Usage"),
        disk_kb=_whole(raw, "Disk Usage"),
        exact_blocks=_whole(raw, "Exact Heap Blocks"),
        lossy_blocks=_whole(raw, "Lossy Heap Blocks"),
        heap_fetches=_whole(raw, "Heap Fetches"),
        workers_planned=_whole(raw, "Workers Planned"),
        workers_launched=_whole(raw, "Workers Launched"),
        hit_blocks=_whole(raw, "Shared Hit Blocks"),
        read_blocks=_whole(raw, "Shared Read Blocks"),
        temp_written=_whole(raw, "Temp Written Blocks"),
        read_ms=_number(raw.get("Shared I/O Read Time", raw.get("I/O Read Time"))),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(raw: Mapping[str, Any], *names: str) -> int | None:
    value = next((raw[name] for name in names if name in raw), None)
    return int(value) if isinstance(value, int | float) else None


def _matched(plans: Sequence[GivenPlan], statements: Statements | None) -> tuple[GivenPlan, ...]:
    """With the identifiers of statements that ran, by that identifier or by their text."""
    by_text = {normalize(entry.text): entry.query_id for entry in statements.entries} if statements else {}
    known = statements.by_id if statements else {}
    found = []
    for plan in plans:
        query_id = plan.query_id if plan.query_id in known else by_text.get(normalize(plan.text)) if plan.text else None
        found.append(msgspec.structs.replace(plan, query_id=query_id))
    return tuple(found)
