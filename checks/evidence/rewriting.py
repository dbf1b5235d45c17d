"""Writes filters otherwise, so that their column stands alone and an index over it serves: with the same result."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from checks.evidence.sql import parse, walk

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_MOMENTS = frozenset({"timestamp", "timestamptz"})


class Rewritten(NamedTuple):
    """The whole statement, and of its first changed filter the text before and after."""

    text: str
    before: str
    after: str


def with_plain_column(text: str, column: str, column_type: str) -> Rewritten | None:
    """The statement with `column` alone on its side where the date of a moment, or the text of a uuid, is compared with a value;
    None where there is nothing of the kind. `column_type` as in pg_type. Arithmetic is left alone: with values of another type
    the result would not be the same."""
    tree = parse(text)
    if tree is None or len(tree.stmts) != 1:
        return None
    shown: tuple[str, str] | None = None
    for node in list(walk(tree)):
        if node.DESCRIPTOR.name != "Node" or node.WhichOneof("node") != "a_expr":
            continue
        after = _plain(node.a_expr, column, column_type)
        if after is None:
            continue
        before = _deparsed(node)
        shown = shown or (before, after)
        node.CopyFrom(_parsed(after))
    return Rewritten(_postgast().deparse(tree), *shown) if shown else None


def _plain(expression: Any, column: str, column_type: str) -> str | None:
    if not expression.name or len(expression.name) != 1:
        return None
    operator = expression.name[0].string.sval
    left, right = expression.lexpr, expression.rexpr
    kinds = expression.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    kind = kinds[expression.kind].name
    if kind == "AEXPR_BETWEEN" and column_type in _MOMENTS:
        name = _of_date(left, column)
        values = [_value(one) for one in right.list.items] if right.WhichOneof("node") == "list" else []
        if name and len(values) == 2 and all(values):
            return f"{name} >= {values[0]}::date AND {name} < {values[1]}::date + 1"
        return None
    if kind != "AEXPR_OP" or operator not in _MIRRORED:
        return None
    value = _value(right)
    if value is None:
        left, right, operator = right, left, _MIRRORED[operator]
        value = _value(right)
    if value is None:
        return None
    if column_type in _MOMENTS and (name := _of_date(left, column)):
        return _range(name, operator, value)
    if column_type == "uuid" and operator == "=" and (name := _cast_to(left, column, {"text", "varchar"})):
        return f"{name} = {value}::uuid"
    return None


def _range(name: str, operator: str, value: str) -> str:
    day, following = f"{value}::date", f"({value}::date + 1)"
    return {
        "=": f"{name} >= {day} AND {name} < {following}",
        "<": f"{name} < {day}",
        "<=": f"{name} < {following}",
        ">": f"{name} >= {following}",
        ">=": f"{name} >= {day}",
    }[operator]


def _of_date(node: Any, column: str) -> str | None:
    """The column whose date is taken, by a cast or by the function."""
    if node.WhichOneof("node") == "func_call":
        call = node.func_call
        if [part.string.sval for part in call.funcname] == ["date"] and len(call.args) == 1:
            return _column(call.args[0], column)
        return None
    return _cast_to(node, column, {"date"})


def _cast_to(node: Any, column: str, types: set[str]) -> str | None:
    if node.WhichOneof("node") != "type_cast":
        return None
    names = [part.string.sval for part in node.type_cast.type_name.names]
    return _column(node.type_cast.arg, column) if names and names[-1] in types else None


def _column(node: Any, column: str) -> str | None:
    """The reference as it is written, if it is one to that column."""
    if node.WhichOneof("node") != "column_ref" or not node.column_ref.fields:
        return None
    return _deparsed(node) if node.column_ref.fields[-1].string.sval == column else None


def _value(node: Any) -> str | None:
    """A parameter or constant, cast or not, as it is written."""
    inner = node.type_cast.arg if node.WhichOneof("node") == "type_cast" else node
    return _deparsed(node) if inner.WhichOneof("node") in {"param_ref", "a_const"} else None


def _deparsed(node: Any) -> str:
    tree = parse("SELECT 1")
    assert tree is not None
    tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    return str(_postgast().deparse(tree)).removeprefix("SELECT ")


def _parsed(expression: str) -> Any:
    tree = parse(f"SELECT 1 WHERE {expression}")
    assert tree is not None
    return tree.stmts[0].stmt.select_stmt.where_clause


def _postgast() -> Any:
    # By name, because its stub files are no valid Python for mypy.
    return importlib.import_module("postgast")
