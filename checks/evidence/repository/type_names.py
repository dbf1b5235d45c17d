"""Names of types in DDL as format_type() prints them (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

import re
from typing import Any

from checks.model import quote_identifier

SERIALS = {
    "serial": "integer", "serial4": "integer", "bigserial": "bigint", "serial8": "bigint", "smallserial": "smallint",
    "serial2": "smallint",
}  # fmt: skip
TYPE_NAMES = {
    "int2": "smallint", "int4": "integer", "int8": "bigint", "int": "integer", "float4": "real", "float8": "double precision",
    "bool": "boolean", "varchar": "character varying", "bpchar": "character", "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone", "timetz": "time with time zone", "time": "time without time zone",
    "varbit": "bit varying", "decimal": "numeric", "char": '"char"',
}  # fmt: skip
# Stands for a type that code does not tell.
UNKNOWN = "?"
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_OF_TIME = re.compile(r"(timestamp|time) (with(?:out)? time zone)")
# The fields of an interval as the grammar numbers them, and its precision: no column is worth telling them apart.
_WITHOUT_MODIFIERS = frozenset(["interval"])


def formatted(entry: Any) -> str | None:
    """A column's type; without a schema where it is not built in. None for `%TYPE` and modifiers that are no numbers."""
    names = [name.string.sval for name in entry.names]
    if not names or entry.pct_type or entry.setof or names[-1] == UNKNOWN:
        return None
    built_in = len(names) > 1 and names[-2] == "pg_catalog"
    name = names[-1]
    known = SERIALS.get(name) or TYPE_NAMES.get(name) if built_in or len(names) == 1 else None
    text = known or (name if _PLAIN.fullmatch(name) else quote_identifier(name))
    modifiers = []
    for node in entry.typmods:
        if not node.HasField("a_const") or not node.a_const.HasField("ival"):
            return None
        modifiers.append(str(node.a_const.ival.ival))
    if name == "bpchar" and not modifiers:
        text = "bpchar"
    if modifiers and text not in _WITHOUT_MODIFIERS:
        listed = f"({','.join(modifiers)})"
        if text == "numeric" and len(modifiers) == 1:
            listed = f"({modifiers[0]},0)"
        of_time = _OF_TIME.fullmatch(text)
        text = f"{of_time[1]}{listed} {of_time[2]}" if of_time else text + listed
    return text + "[]" * bool(entry.array_bounds)


def comparable(live: str) -> str:
    """What format_type() printed of a live column, in the spelling of `formatted`."""
    array = "[]" if live.endswith("[]") else ""
    text = live.removesuffix("[]")
    if text.startswith("interval"):
        return "interval" + array
    # A schema before the name: `public."Role"`, `extensions.vector(3)`.
    qualified = re.fullmatch(r'(?:"(?:[^"]|"")*"|[^". (]+)\.((?:"(?:[^"]|"")*"|[^". (]+)(?:\([\d,]+\))?)', text)
    return (qualified[1] if qualified else text) + array
