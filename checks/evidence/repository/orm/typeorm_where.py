"""TypeORM's conditions as SQL: find options, and the SQL in a query builder's strings."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.kysely_expressions import masked
from checks.evidence.repository.orm.query import VALUE, WHERE, Query, column_of, quoted
from checks.evidence.repository.orm.script import arguments_of, called, known_entries, resolved
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped

_OPERATORS = {
    "Equal": "=", "LessThan": "<", "LessThanOrEqual": "<=", "MoreThan": ">", "MoreThanOrEqual": ">=", "Like": "LIKE",
    "ILike": "ILIKE", "ArrayContains": "@>", "ArrayContainedBy": "<@", "ArrayOverlap": "&&", "JsonContains": "@>",
}  # fmt: skip
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression string template_string number true false "
    "shorthand_property_identifier new_expression await_expression binary_expression as_expression ternary_expression".split()
)
_ATTRIBUTE = re.compile(r"(?<![\w.'\"$:])\"?([A-Za-z_]\w*)\"?\.\"?([A-Za-z_]\w*)\"?(?!\s*\()")
_PARAMETER = re.compile(r"\(\s*:\.\.\.\w+\s*\)|:\.\.\.\w+|(?<![:\w]):[A-Za-z_]\w*")
_MAXIMUM_DEPTH = 20


def add_where(query: Query, node: Node) -> None:
    """The `where` of find options: an object, or several of which one must hold."""
    node = resolved(node)
    if node.type == "array":
        parts = [_object(query, resolved(entry)) for entry in named(node)]
        if parts and all(found and whole for found, whole in parts):
            joined = [" AND ".join(found) for found, _ in parts]
            query.where.append(f"({' OR '.join(f'({part})' for part in joined)})" if len(joined) > 1 else joined[0])
        else:
            query.partial.add(WHERE)
        return
    found, whole = _object(query, node)
    query.where += found
    query.partial |= set() if whole else {WHERE}


def _object(query: Query, node: Node) -> tuple[list[str], bool]:
    entries, whole = known_entries(node)
    found: list[str] = []
    for key, value in entries.items():
        value = unwrapped(value)
        if text(value) == "undefined":
            continue
        column = query.column(key)
        relation = next((entry for entry in query.model.relations if entry.attribute == key), None)
        if relation is not None and len(relation.columns) == 1:
            inner, inner_whole = known_entries(resolved(value))
            name = f"{quoted(query.alias)}.{quoted(relation.columns[0])}"
            if inner_whole and list(inner) == list(relation.references):
                condition = compared(name, unwrapped(next(iter(inner.values()))))
            else:
                condition = None
        else:
            condition = compared(column, value) if column is not None else None
        whole &= condition is not None
        found += [condition] if condition else []
    return found, whole


def compared(column: str, value: Node, depth: int = 0) -> str | None:
    """One entry: a value, or an operator such as In(ids)."""
    name, arguments = called(value), arguments_of(value)
    if depth > _MAXIMUM_DEPTH or text(value) == "null":
        return None
    if name == "IsNull":
        return f"{column} IS NULL"
    if name == "Not" and len(arguments) == 1:
        inner = unwrapped(arguments[0])
        if called(inner) == "IsNull":
            return f"{column} IS NOT NULL"
        if called(inner) == "In":
            return f"{column} NOT IN ({VALUE})"
        if called(inner) in _OPERATORS or called(inner) in ("Between", "Raw", "Or", "And"):
            written = compared(column, inner, depth + 1)
            return f"NOT ({written})" if written else None
        return f"{column} <> {VALUE}" if inner.type in _VALUES else None
    if name == "In":
        return f"{column} IN ({VALUE})"
    if name == "Any":
        return f"{column} = ANY ({VALUE})"
    if name == "Between":
        return f"{column} BETWEEN {VALUE} AND {VALUE}"
    if name in _OPERATORS:
        return f"{column} {_OPERATORS[name]} {VALUE}"
    if name in ("And", "Or"):
        parts = [compared(column, unwrapped(argument), depth + 1) for argument in arguments]
        known = [part for part in parts if part]
        return f"({f' {name.upper()} '.join(known)})" if known and len(known) == len(parts) else None
    if (
        name == "Raw"
        or value.type not in _VALUES
        or (value.type == "ternary_expression" and "undefined" in text(value))
    ):
        return None
    return f"{column} = {VALUE}"


def sql_of(code: str, aliases: dict[str, Model]) -> str | None:
    """SQL with `alias.attribute` and `:parameter`, as an expression that parses; None if it cannot be read."""
    if ";" in code or "--" in code or "/*" in code or re.search(r"\bselect\b", code, re.IGNORECASE):
        return None
    unknown = False

    def column(match: re.Match[str]) -> str:
        nonlocal unknown
        model = aliases.get(match.group(1))
        if model is None:
            unknown = True
            return match.group()
        found = column_of(model, match.group(2))
        by_name = any(entry.name == match.group(2) for entry in model.columns)
        unknown |= found is None and not by_name and model.complete
        return f"{quoted(match.group(1))}.{quoted(found.name if found else match.group(2))}"

    written = _ATTRIBUTE.sub(column, " ".join(code.split()))
    written = _PARAMETER.sub(lambda match: f"({VALUE})" if match.group().startswith("(") else VALUE, written)
    return None if unknown else masked(written)


def body_of(node: Node) -> Node | None:
    """What an arrow function with an expression as its body gives."""
    body = field(unwrapped(node), "body")
    return body if body is not None and body.type != "statement_block" else None
