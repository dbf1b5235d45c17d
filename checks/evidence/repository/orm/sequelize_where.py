"""Sequelize's conditions as SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from checks.evidence.repository.orm.query import VALUE, WHERE, Query
from checks.evidence.repository.orm.script import called, definition_of, key_of, resolved
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped

_OPERATORS = {
    "eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "notLike": "NOT LIKE",
    "iLike": "ILIKE", "notILike": "NOT ILIKE", "startsWith": "LIKE", "endsWith": "LIKE", "substring": "LIKE",
    "regexp": "~", "notRegexp": "!~", "iRegexp": "~*", "notIRegexp": "!~*", "contains": "@>", "contained": "<@",
    "overlap": "&&", "match": "@@", "adjacent": "-|-",
}  # fmt: skip
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression string template_string number true false "
    "shorthand_property_identifier new_expression await_expression binary_expression".split()
)
_SQL = frozenset(["literal", "fn", "col", "where", "cast", "json"])
_SEVERAL = re.compile(r"(?:[a-z]Ids|^ids|[a-z]s)$")
_MAXIMUM_DEPTH = 20


def add_where(query: Query, node: Node) -> None:
    found, whole = conditions(query, resolved(node), 0)
    query.where += found
    query.partial |= set() if whole else {WHERE}


def conditions(query: Query, node: Node, depth: int) -> tuple[list[str], bool]:
    """The conditions that are certainly ANDed, and whether that is all of them."""
    if node.type != "object" or depth > _MAXIMUM_DEPTH:
        return [], False
    found: list[str] = []
    whole = True
    for key, value in _entries(node):
        if value is None or key is None:
            inner = resolved(named(value)[0]) if value is not None and named(value) else None
            known, all_known = conditions(query, inner, depth + 1) if inner is not None else ([], False)
            found += known
            whole &= all_known
            continue
        if text(value) == "undefined":
            continue
        if key.startswith("Op."):
            read, all_known = _combined(query, key[3:], resolved(value), depth)
            found += read
            whole &= all_known
            continue
        column = query.column(key)
        written = compared(column, value, depth) if column is not None else None
        whole &= written is not None
        found += [written] if written else []
    return found, whole


def _entries(node: Node) -> Iterator[tuple[str | None, Node | None]]:
    """Keys with values; `Op.name` for a computed key. A spread has no key, what cannot be read neither key nor value."""
    for entry in named(node):
        if entry.type == "spread_element":
            yield None, entry
            continue
        key = field(entry, "key")
        value = entry if entry.type == "shorthand_property_identifier" else field(entry, "value")
        if key is not None and key.type == "computed_property_name":
            match = re.fullmatch(r"\[\s*(?:\w+\.)*?(Op\.\w+)\s*\]", text(key))
            yield (match.group(1), value) if match else (None, None)
        else:
            name = key_of(entry)
            yield (name, value) if name is not None else (None, None)


def _combined(query: Query, word: str, node: Node, depth: int) -> tuple[list[str], bool]:
    """`[Op.or]: [...]`, `[Op.and]: {...}`."""
    parts = [resolved(entry) for entry in named(node)] if node.type == "array" else [node]
    read = [conditions(query, part, depth + 1) for part in parts]
    if word == "and":
        return [entry for found, _ in read for entry in found], all(whole for _, whole in read)
    if word not in ("or", "not") or not read or not all(found and whole for found, whole in read):
        return [], False
    if word == "not":
        return [f"NOT ({' AND '.join(entry for found, _ in read for entry in found)})"], True
    joined = [" AND ".join(found) for found, _ in read] if node.type == "array" else read[0][0]
    return [f"({' OR '.join(f'({part})' for part in joined)})"], True


def compared(column: str, value: Node, depth: int = 0) -> str | None:
    """A column with a value or an object of operators; None if it cannot be read."""
    value = unwrapped(value)
    plain = value
    if value.type in ("identifier", "shorthand_property_identifier"):
        plain = resolved(value)
    if text(plain) == "null":
        return f"{column} IS NULL"
    if plain.type == "array" or (value.type == "identifier" and _is_list(value)):
        return f"{column} IN ({VALUE})"
    if plain.type == "object" and depth < _MAXIMUM_DEPTH:
        parts = [
            _operator(column, key[3:], entry, depth)
            if key is not None and key.startswith("Op.") and entry is not None
            else None
            for key, entry in _entries(plain)
        ]
        known = [part for part in parts if part]
        return " AND ".join(known) if known and len(known) == len(parts) else None
    if called(value) in _SQL or plain.type not in _VALUES:
        return None
    return f"{column} = {VALUE}"


def _is_list(node: Node) -> bool:
    name = text(node)
    value = definition_of(name, node)
    if value is not None and called(value) in ("map", "filter", "uniq", "from", "flat", "concat"):
        return True
    return bool(_SEVERAL.search(name)) and not name.endswith(("ss", "us", "is", "address"))


def _operator(column: str, word: str, value: Node, depth: int) -> str | None:
    value = unwrapped(value)
    if text(value) == "null":
        return {"eq": f"{column} IS NULL", "is": f"{column} IS NULL", "ne": f"{column} IS NOT NULL",
                "not": f"{column} IS NOT NULL"}.get(word)  # fmt: skip
    if called(value) in _SQL:
        return None
    if word in ("in", "notIn"):
        return f"{column} {'IN' if word == 'in' else 'NOT IN'} ({VALUE})"
    if word in ("between", "notBetween"):
        return f"{column} {'BETWEEN' if word == 'between' else 'NOT BETWEEN'} {VALUE} AND {VALUE}"
    if word == "is" and text(value) in ("true", "false"):
        return f"{column} IS {text(value).upper()}"
    if word in ("and", "or"):
        parts = [compared(column, entry, depth + 1) for entry in (named(value) if value.type == "array" else [value])]
        known = [part for part in parts if part]
        return f"({f' {word.upper()} '.join(known)})" if known and len(known) == len(parts) else None
    if word == "not":
        if value.type == "array":
            return f"{column} NOT IN ({VALUE})"
        return f"{column} <> {VALUE}" if value.type in _VALUES else None
    if word in _OPERATORS and (value.type in _VALUES or value.type in ("array", "object")):
        return f"{column} {_OPERATORS[word]} {VALUE}"
    return None
