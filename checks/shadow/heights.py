"""How high the target's B-trees are, without any extension: the planner charges for each level, and EXPLAIN tells what it
charged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg

from checks.evidence.database.query import query
from checks.evidence.database.session import CATALOG_MANNERS, MARKER, Session
from checks.evidence.database.user_code import UserCode
from checks.model import qualified_name, quote_identifier
from checks.shadow.btree import predicted_level

_AT_ONCE = 40
_ASKED_AT_MOST = 2_000
# btcostestimate() charges ceil(log2(tuples)) + 50 * (height + 1) operators before the first tuple; everything else is made free.
_CHARGE_PER_LEVEL = 50
_MANNERS = {
    **CATALOG_MANNERS,
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "cpu_operator_cost": "1",
    "cpu_tuple_cost": "0",
    "cpu_index_tuple_cost": "0",
}


def read_heights(
    session: Session,
    pages: Mapping[tuple[str, str], int],
    widths: Mapping[tuple[str, str, str], int],
    user_code: UserCode,
) -> dict[tuple[str, str], int]:
    """Levels above the leaves by schema and name, of those indexes whose size (`pages`) leaves more than one height possible;
    nothing is executed. `widths` are those of columns in bytes. Tables whose planning would run code of the target's own are
    left out."""
    with session.transaction():
        rows = session.rows(query("shadow_btrees", session.major))
    asked = []
    for row in rows:
        size = pages.get((row.schema, row.name), 0)
        width = sum(
            length if length > 0 else widths.get((row.table_schema, row.table_name, column), 16)
            for column, _, length in row.columns
        )
        # Half-full pages or wide keys on one side, full pages or shortened keys on the other.
        if predicted_level(size, 2.0 * width + 8) != predicted_level(size, width / 3):
            statement = _statement(row)
            if user_code.refusal(statement) is None:
                asked.append((row, statement))
    found: dict[tuple[str, str], int] = {}
    for start in range(0, min(len(asked), _ASKED_AT_MOST), _AT_ONCE):
        found |= dict(_ask(session, asked[start : start + _AT_ONCE]))
    return found


def _statement(row: Any) -> str:
    quals = " AND ".join(f"x.{quote_identifier(name)} = (SELECT NULL::{kind})" for name, kind, _ in row.columns)
    return f"SELECT 1 FROM ONLY {qualified_name(row.table_schema, row.table_name)} AS x WHERE {quals}"


def _ask(session: Session, asked: Sequence[tuple[Any, str]]) -> Iterable[tuple[tuple[str, str], int]]:
    if not asked:
        return
    together = " UNION ALL ".join(statement for _, statement in asked)
    try:
        with session.transaction(_MANNERS):
            plan = session.rows(f"EXPLAIN {MARKER} (FORMAT JSON, VERBOSE) {together}")[0][0][0]["Plan"]
    except psycopg.Error:
        # A table locked just now costs its own height alone.
        middle = len(asked) // 2
        if middle:
            yield from _ask(session, asked[:middle])
            yield from _ask(session, asked[middle:])
        return
    tuples = {(row.schema, row.name): row.reltuples for row, _ in asked}
    by_table = {(row.table_schema, row.table_name, row.name): (row.schema, row.name) for row, _ in asked}
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", ())
        path = by_table.get((node.get("Schema", ""), node.get("Relation Name", ""), node.get("Index Name", "")))
        if path is not None and tuples[path] > 1:
            descent = math.ceil(math.log2(tuples[path]))
            yield path, max(0, round((node["Startup Cost"] - descent) / _CHARGE_PER_LEVEL) - 1)
