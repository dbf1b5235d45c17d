"""What a statement sorts by, and its searches for the nearest vectors (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

from checks.evidence.expressions import (
    Distance,
    children,
    distance_of,
    limit_of,
    read_distance,
    unwrap,
)
from checks.evidence.patterns import Comparison, NearestSearch, OrderKey
from checks.evidence.scopes import Scope

_DESCENDING = 3


def is_descending(sort: Any) -> bool:
    return bool(sort.sortby_dir == _DESCENDING) or [name.string.sval for name in sort.use_op] == [">"]


def nearest_search(statement: Any, scope: Scope) -> NearestSearch | None:
    """What the SELECT does with the distance of a stored vector, without its filters; None if it computes none."""
    limit = limit_of(statement, "limit_count")
    outputs = {entry.res_target.name: entry.res_target.val for entry in statement.target_list}
    for position, entry in enumerate(statement.sort_clause):
        sort = entry.sort_by
        node = sorted_by(sort.node, outputs, statement)
        inner, node = scope.follow(node)
        if found := _distance_within(node, inner):
            distance, bare = found
            descending = is_descending(sort)
            keys = len(statement.sort_clause)
            return _nearest(distance, "order", limit, bare, descending, position, keys)
    # An index gives rows in the order of a window too, and LIMIT ends the scan, unless they are sorted once more.
    for entry in () if statement.sort_clause else statement.target_list:
        keys_of_window = _window_order(entry.res_target.val, statement)
        for position, key in enumerate(keys_of_window):
            if found := _distance_within(key.sort_by.node, scope):
                distance, bare = found
                descending = is_descending(key.sort_by)
                return _nearest(distance, "order", limit, bare, descending, position, len(keys_of_window))
    if statement.HasField("where_clause") and (found := _distance_within(statement.where_clause, scope)):
        return _nearest(found[0], "filter", limit, found[1])
    for entry in statement.target_list:
        if found := _distance_within(entry.res_target.val, scope):
            return _nearest(found[0], "output", limit, found[1])
    return None


def sorted_by(node: Any, outputs: dict[str, Any], statement: Any) -> Any:
    """The expression that a sort key names by its alias or its number in the select list."""
    kind, value = unwrap(node)
    if kind == "column_ref" and len(value.fields) == 1 and value.fields[0].string.sval in outputs:
        return outputs[value.fields[0].string.sval]
    if kind == "a_const" and value.HasField("ival") and 0 < value.ival.ival <= len(statement.target_list):
        return statement.target_list[value.ival.ival - 1].res_target.val
    return node


def _window_order(node: Any, statement: Any) -> list[Any]:
    """What the window of a call such as row_number() sorts all rows by; empty if there is none, or one for each of many parts."""
    kind, value = unwrap(node)
    if kind != "func_call" or not value.HasField("over"):
        return []
    window, name = value.over, value.over.name or value.over.refname
    named = [entry.window_def for entry in statement.window_clause if entry.window_def.name == name]
    if name and named and not window.order_clause:
        window = named[0]
    return [] if window.partition_clause else list(window.order_clause)


def _nearest(
    distance: Distance,
    place: str,
    limit: int | None,
    bare: bool,
    descending: bool = False,
    position: int = 0,
    keys: int = 0,
) -> NearestSearch:
    return NearestSearch(
        distance.column, distance.operator, place, distance.called, distance.wrapped, distance.cast, bare, descending,
        position, keys, limit,
    )  # fmt: skip


def _distance_within(node: Any, scope: Scope) -> tuple[Distance, bool] | None:
    """The first distance in an expression, and whether it is the whole of it."""
    stack, bare = [node], True
    while stack:
        kind, value = unwrap(stack.pop())
        if kind in ("a_expr", "func_call") and (found := read_distance(kind, value, scope)):
            return found, bare
        bare = False
        if value is not None and kind not in ("sub_link", "column_ref", "param_ref", "a_const"):
            stack += children(value)
    return None


def order_key(node: Any, scope: Scope, descending: bool) -> OrderKey:
    kind, value = unwrap(node)
    scope, node = scope.follow(node)
    kind, value = unwrap(node)
    if kind == "column_ref":
        return OrderKey(scope.column(value), descending)
    if kind == "a_expr" and (found := distance_of(kind, value, scope)):
        return OrderKey(found[0], descending, found[1], bare=True)
    stack = [node]
    while stack:
        kind, value = unwrap(stack.pop())
        if kind in ("a_expr", "func_call") and (found := distance_of(kind, value, scope)):
            return OrderKey(found[0], descending, found[1], bare=False)
        if value is not None and kind not in ("sub_link", "column_ref", "param_ref", "a_const"):
            stack += children(value)
    return OrderKey(None, descending, bare=False)


def document_key(statement: Any, node: Any, scope: Scope) -> Comparison | None:
    """What stands inside a document that the expression is about; None where rows are put together first, or it is none."""
    if statement.group_clause or statement.distinct_clause:
        return None
    scope, node = scope.follow(node)
    found = scope.operand(node)
    if found is None or found.json_operator is None:
        return None
    return Comparison(found.column, "sort", found.function, found.json_operator, found.json_key)
