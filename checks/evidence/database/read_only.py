"""Which plans only read: said by the server's own plan, so that views, rules and policies are in it.

A statement may be run if each node of its plan is known to read and nothing else, and nothing that it computes is VOLATILE;
user_code.py has left out what leads to code of the database's own. The session's READ ONLY transaction stands behind both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.tokens import Kind, significant

READING_NODES = frozenset(
    {
        "Aggregate", "Append", "Bitmap Heap Scan", "Bitmap Index Scan", "BitmapAnd", "BitmapOr", "CTE Scan", "Function Scan",
        "Gather", "Gather Merge", "Group", "Hash", "Hash Join", "Incremental Sort", "Index Only Scan", "Index Scan", "Limit",
        "Materialize", "Memoize", "Merge Append", "Merge Join", "Nested Loop", "ProjectSet", "Recursive Union", "Result",
        "Sample Scan", "Seq Scan", "SetOp", "Sort", "Subquery Scan", "Table Function Scan", "Tid Range Scan", "Tid Scan",
        "Unique", "Values Scan", "WindowAgg", "WorkTable Scan",
    }
)  # fmt: skip
# VOLATILE for what they return, not for what they do.
_HARMLESS = frozenset("random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7".split())
_DEEPEST = 500


def volatile_functions(session: Session) -> frozenset[str]:
    """Names of functions of which one is VOLATILE, in whatever schema. In the transaction at hand."""
    return frozenset(row.name for row in session.rows(query("volatile_functions", session.major))) - _HARMLESS


def why_not_read_only(plan: Mapping[str, Any], volatile: frozenset[str]) -> str:
    """Why a plan (of EXPLAIN (VERBOSE, FORMAT JSON)) is not known to read alone, in words; empty if it is."""
    for depth, node in _nodes(plan):
        if depth > _DEEPEST:
            return "its plan is too deep"
        kind = str(node.get("Node Type"))
        if kind not in READING_NODES:
            return f"its plan has a node {kind}"
        if node.get("Function Name") in volatile:
            return f"it calls {node['Function Name']}(), which is VOLATILE"
        for text in _texts(node):
            if found := _called(text, volatile):
                return f"it calls {found}(), which is VOLATILE"
    return ""


def _nodes(plan: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    waiting = [(0, plan)]
    while waiting:
        depth, node = waiting.pop()
        yield depth, node
        waiting.extend((depth + 1, child) for child in node.get("Plans", ()))


def _texts(node: Mapping[str, Any]) -> Iterator[str]:
    for name, value in node.items():
        if name == "Plans":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, str))


def _called(text: str, volatile: frozenset[str]) -> str | None:
    if "(" not in text:
        return None
    found = significant(text)
    for token, following in pairwise(found):
        if following.text == "(" and token.kind in (Kind.WORD, Kind.QUOTED):
            name = token.text[1:-1].replace('""', '"') if token.kind is Kind.QUOTED else token.text
            if name in volatile or name.lower() in volatile:
                return name
    return None
