"""Shapes of statements that tell a mistake from their text alone, read from their tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from checks.evidence.expressions import operator_name, unwrap
from checks.evidence.sql import walk

_OPERATOR = 1
_AND, _NOT = 1, 3
_ANY_LINK, _ALL_LINK = 3, 2
_COMPARES = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})
_MAXIMUM_ITEMS = 64


def selects_of(tree: Any) -> Iterator[Any]:
    """Every SELECT of a statement, at whatever level, outermost first."""
    return (message for message in walk(tree) if message.DESCRIPTOR.name == "SelectStmt")


def inserts_without_columns(tree: Any) -> bool:
    """INSERT INTO t VALUES ... or SELECT ..., with no list of columns."""
    kind, statement = unwrap(tree.stmts[0].stmt)
    return kind == "insert_stmt" and not statement.cols and statement.HasField("select_stmt")


def sorts_at_random(tree: Any) -> bool:
    """ORDER BY random() alone, which has to compute and sort all rows."""
    for select in selects_of(tree):
        for entry in select.sort_clause[:1]:
            kind, call = unwrap(entry.sort_by.node)
            if kind == "func_call" and [part.string.sval for part in call.funcname][-1:] == ["random"]:
                return True
    return False


def compares_with_null(tree: Any) -> bool:
    """`x = NULL` and its like: never true, whatever x is."""
    for message in walk(tree):
        if message.DESCRIPTOR.name != "A_Expr" or message.kind != _OPERATOR or operator_name(message) not in _COMPARES:
            continue
        for side in (message.lexpr, message.rexpr):
            kind, value = unwrap(side)
            if kind == "a_const" and value.isnull:
                return True
    return False


def negated_subqueries(tree: Any) -> Iterator[tuple[str, str, str]]:
    """Of each `NOT IN (SELECT column FROM table ...)` and `<> ALL (...)` over one table: its schema (or ''), table and column.
    One that leaves nulls out itself (`column IS NOT NULL`, or any comparison of it) is none."""
    for message in walk(tree):
        if message.DESCRIPTOR.name == "BoolExpr" and message.boolop == _NOT:
            kind, link = unwrap(message.args[0])
            if kind == "sub_link" and link.sub_link_type == _ANY_LINK:
                yield from _column_of(link.subselect)
        elif message.DESCRIPTOR.name == "SubLink" and message.sub_link_type == _ALL_LINK and _differs(message):
            yield from _column_of(message.subselect)


def _differs(link: Any) -> bool:
    return [part.string.sval for part in link.oper_name] == ["<>"]


def _column_of(node: Any) -> Iterator[tuple[str, str, str]]:
    kind, select = unwrap(node)
    if kind != "select_stmt" or len(select.target_list) != 1 or len(select.from_clause) != 1:
        return
    output, column = unwrap(select.target_list[0].res_target.val)
    source, table = unwrap(select.from_clause[0])
    if output != "column_ref" or source != "range_var":
        return
    names = [part.string.sval for part in column.fields]
    if not names or not names[-1]:
        return
    for message in walk(select.where_clause) if select.HasField("where_clause") else ():
        # Whatever compares the column is not true for a null.
        if message.DESCRIPTOR.name == "ColumnRef" and [part.string.sval for part in message.fields][-1:] == names[-1:]:
            return
    yield table.schemaname, table.relname, names[-1]


def relations_joined(select: Any) -> int:
    """Relations that FROM of this SELECT names, subqueries counted as one."""
    count, waiting = 0, list(select.from_clause)
    while waiting and count < 1_000:
        kind, item = unwrap(waiting.pop())
        if kind == "join_expr":
            waiting += [item.larg, item.rarg]
        elif kind is not None:
            count += 1
    return count


def first_relation(tree: Any) -> tuple[str, str] | None:
    """Schema (or '') and name of the relation that FROM of the outermost SELECT begins with; None if it begins with a subquery,
    a WITH query or a function."""
    kind, select = unwrap(tree.stmts[0].stmt)
    if kind != "select_stmt" or not select.from_clause:
        return None
    kind, item = unwrap(select.from_clause[0])
    for _ in range(_MAXIMUM_ITEMS):
        if kind != "join_expr":
            break
        kind, item = unwrap(item.larg)
    own = {unwrap(entry)[1].ctename for entry in select.with_clause.ctes} if select.HasField("with_clause") else set()
    if kind != "range_var" or (not item.schemaname and item.relname in own):
        return None
    return item.schemaname, item.relname


def assumes_order(tree: Any) -> str | None:
    """What takes rows by their place without an ORDER BY: "OFFSET" or "DISTINCT ON"; None if nothing does."""
    kind, select = unwrap(tree.stmts[0].stmt)
    if kind != "select_stmt" or select.sort_clause or not select.from_clause:
        return None
    if any(unwrap(entry)[0] is not None for entry in select.distinct_clause):
        return "DISTINCT ON"
    if select.HasField("limit_offset") and select.HasField("limit_count"):
        kind, offset = unwrap(select.limit_offset)
        zero = kind == "a_const" and (offset.isnull or (offset.HasField("ival") and offset.ival.ival == 0))
        return None if zero else "OFFSET"
    return None


def unconnected(
    select: Any, owner: Callable[[str, list[tuple[str, str, str]]], str | None]
) -> list[tuple[str, str, str]]:
    """Tables (schema, name, alias) that FROM lists with commas and nothing connects with the first: every row of one is paired
    with every row of the other. Empty if a part of FROM or a name cannot be told; an explicit CROSS JOIN is meant.

    `owner` says which alias an unqualified column belongs to, None if it cannot tell.
    """
    items = [unwrap(item) for item in select.from_clause]
    if not 2 <= len(items) <= _MAXIMUM_ITEMS or any(kind != "range_var" for kind, _ in items):
        return []
    tables = [(item.schemaname, item.relname, item.alias.aliasname or item.relname) for _, item in items]
    group = {alias: number for number, (_, _, alias) in enumerate(tables)}
    if len(group) < len(tables):
        return []
    for condition in _conjuncts(select.where_clause) if select.HasField("where_clause") else ():
        named = set()
        for message in walk(condition):
            if message.DESCRIPTOR.name == "ColumnRef":
                names = [part.string.sval for part in message.fields]
                alias = names[-2] if len(names) > 1 else owner(names[-1], tables)
                if alias is None:
                    return []
                named.add(alias)
        together = {group[alias] for alias in named if alias in group}
        if together:
            least = min(together)
            group = {alias: least if number in together else number for alias, number in group.items()}
    first = group[tables[0][2]]
    return [table for table in tables if group[table[2]] != first]


def _conjuncts(node: Any) -> list[Any]:
    found, waiting = [], [node]
    while waiting:
        current = waiting.pop()
        kind, value = unwrap(current)
        if kind == "bool_expr" and value.boolop == _AND:
            waiting.extend(value.args)
        else:
            found.append(current)
    return found
