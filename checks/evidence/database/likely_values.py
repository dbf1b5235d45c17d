"""What a recorded statement's parameters may stand for: values of the planner's statistics for what they are compared with.

They are shown to the person who is asked whether the statement may be run, and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from checks.evidence.consent import Parameter
from checks.evidence.database.query import query
from checks.evidence.database.session import MARKER, Session
from checks.evidence.expressions import unwrap
from checks.evidence.sql import parse, walk
from checks.model import qualified_name, quote_identifier

_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
# A column, or its cast, and not one within a function or a sum: those end in a parenthesis.
_COLUMN = rf"(?:(?P<alias>{_NAME})\.(?P<column>{_NAME})|\((?P<cast_alias>{_NAME})\.(?P<cast_column>{_NAME})\)::[\w ]+)"
_END = r"(?:::[\w ]+(?:\[\])?)?\)*\s*(?=$|AND\b|OR\b|\))"
_COMPARED = re.compile(rf"{_COLUMN} (?P<operator>=|<>|<=|>=|<|>) \(*\$(?P<number>\d{{1,5}}){_END}")
_AMONG = re.compile(rf"{_COLUMN} = ANY \(\(*\$(?P<number>\d{{1,5}}){_END}")
_LISTED = re.compile(rf"{_COLUMN} = ANY \(\(*ARRAY\[(?P<listed>[^\]]*)\]")
_PARAMETER = re.compile(r"\$(\d{1,5})\b")
_LIST_LENGTH = 5


class _Use(NamedTuple):
    """`$number` compared with a column. `place` in a list of them, `whole`: it is the list."""

    number: int
    schema: str
    table: str
    column: str
    operator: str
    place: int = 0
    whole: bool = False


def likely_parameters(
    session: Session, text: str, types: tuple[int, ...], plan: Mapping[str, Any], rows_per_call: float
) -> tuple[Parameter, ...]:
    """Each parameter of the statement, whose generic plan (VERBOSE) is `plan`, with a value where the planner's statistics or
    `rows_per_call` (for its LIMIT) tell one. In the transaction at hand. Raises psycopg.Error."""
    names = [
        row.name
        for row in session.rows(
            f"SELECT {MARKER} pg_catalog.format_type(t.oid, NULL) AS name "
            "FROM pg_catalog.unnest(%(types)s::pg_catalog.oid[]) WITH ORDINALITY AS t (oid, n) ORDER BY t.n",
            {"types": list(types)},
        )
    ]
    uses: dict[int, _Use] = {}
    both_sides: dict[tuple[str, str, str], set[str]] = {}
    for found_use in _uses(plan):
        uses.setdefault(found_use.number, found_use)
        both_sides.setdefault(found_use[1:4], set()).add(found_use.operator[0])
    limits = _limits(text)
    found = []
    for number, type_name in enumerate(names, 1):
        value, origin = None, "nothing is known of it"
        if limits.get(number) == "limit":
            value, origin = str(max(1, round(rows_per_call))), "the rows that it returns on average"
        elif limits.get(number) == "offset":
            value, origin = "0", "the first page"
        elif use := uses.get(number):
            value, origin = _value(session, use, {"<", ">"} <= both_sides[use[1:4]])
        found.append(Parameter(number, type_name, value, origin))
    return tuple(found)


def _uses(plan: Mapping[str, Any]) -> Iterator[_Use]:
    """Comparisons of a plan's own relations with parameters."""
    nodes: list[Mapping[str, Any]] = [plan]
    relations: dict[str, tuple[str, str]] = {}
    for node in nodes:
        nodes.extend(node.get("Plans", ()))
        if node.get("Relation Name") and node.get("Alias"):
            relations[node["Alias"]] = node.get("Schema", ""), node["Relation Name"]
    for node in nodes:
        for name in ("Index Cond", "Recheck Cond", "Filter", "Join Filter", "Hash Cond"):
            condition = node.get(name)
            if not isinstance(condition, str) or "$" not in condition:
                continue
            for match in _COMPARED.finditer(condition):
                if place := _place(match, relations):
                    yield _Use(int(match["number"]), *place, match["operator"])
            for match in _AMONG.finditer(condition):
                if place := _place(match, relations):
                    yield _Use(int(match["number"]), *place, "=", whole=True)
            for match in _LISTED.finditer(condition):
                if place := _place(match, relations):
                    for at, number in enumerate(_PARAMETER.findall(match["listed"])):
                        yield _Use(int(number), *place, "=", at)


def _place(match: re.Match[str], relations: Mapping[str, tuple[str, str]]) -> tuple[str, str, str] | None:
    """Schema, table and column."""
    relation = relations.get(_bare(match["alias"] or match["cast_alias"]))
    return (*relation, _bare(match["column"] or match["cast_column"])) if relation else None


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _limits(text: str) -> dict[int, str]:
    """The parameters that are LIMIT and OFFSET of the outermost SELECT."""
    tree = parse(text)
    found: dict[int, str] = {}
    for statement in tree.stmts[:1] if tree is not None else ():
        _, select = unwrap(statement.stmt)
        for field, word in (("limit_count", "limit"), ("limit_offset", "offset")):
            if hasattr(select, field) and select.HasField(field):
                for message in walk(getattr(select, field)):
                    if type(message).__name__ == "ParamRef":
                        found[message.number] = word
    return found


def _value(session: Session, use: _Use, both_sides: bool) -> tuple[str | None, str]:
    """The value, and where it comes from in words."""
    place = f"{qualified_name(use.schema, use.table)}.{quote_identifier(use.column)}"
    rows = session.rows(
        query("likely_values", session.major), {"schema": use.schema, "table": use.table, "column": use.column}
    )
    if not rows:
        return None, f"compared with {place}, of which there are no statistics"
    commons = [value for value in rows[0].commons or () if value is not None]
    bounds = [value for value in rows[0].bounds or () if value is not None]
    middle = [bounds[(len(bounds) - 1) // 2]] if bounds else []
    if use.operator in ("=", "<>"):
        known = commons or middle
        if not known:
            return None, f"compared with {place}, of which no value is known"
        how = f"the middle of the values of {place}"
        if commons:
            how = f"the most common value of {place}, of {rows[0].common_share:.0%} of its rows"
        if use.whole:
            listed = (commons + bounds[:: max(1, len(bounds) // _LIST_LENGTH)])[:_LIST_LENGTH]
            return _array(listed), f"{len(listed)} values of {place}, the most common first"
        further = (commons + bounds)[use.place] if 0 < use.place < len(commons + bounds) else known[0]
        return further, how if not use.place else f"another value of {place}"
    if not bounds:
        return (commons[0], f"the most common value of {place}") if commons else (None, f"compared with {place}")
    if both_sides and use.operator[0] == "<":
        return bounds[(len(bounds) - 1) * 3 // 4], f"three quarters up the values of {place}"
    return middle[0], f"the middle of the values of {place}"


def _array(values: list[str]) -> str:
    return "{" + ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"
