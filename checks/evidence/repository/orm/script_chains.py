"""What TypeScript and JavaScript go on to do with a statement that a chain of calls builds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.orm.script import called, chain_above
from checks.evidence.repository.orm.syntax import field, function_around, text, unwrapped

Step = tuple[str, Node]

_MAXIMUM_MENTIONS = 60
_MAXIMUM_NODES = 20_000
_PASSING = frozenset(
    "await_expression as_expression satisfies_expression parenthesized_expression non_null_expression ternary_expression "
    "spread_element".split()
)
_SENDS = frozenset(["all", "allSettled", "race", "push", "resolve", "catch", "then"])
_BLOCKS = frozenset(
    "statement_block program switch_case switch_default if_statement else_clause for_statement for_in_statement while_statement "
    "do_statement ternary_expression binary_expression arrow_function".split()
)


class Fate(NamedTuple):
    """`steps` certainly follow, `possible` may; `open`: anything may be added; `sent`: it is awaited, returned or handed on, to
    the functions of the names `given_to`."""

    steps: list[Step]
    possible: list[Step]
    open: bool
    sent: bool
    given_to: tuple[str, ...] = ()


def fate_of(top: Node, subqueries: Iterable[str] = (), *, awaited: bool = False) -> Fate:
    """`subqueries` are functions that put a statement which they are given into another one."""
    node = top
    parent = node.parent
    while parent is not None and parent.type in _PASSING:
        awaited |= parent.type == "await_expression"
        node, parent = parent, parent.parent
    if awaited:
        return Fate([], [], False, True)
    if parent is None:
        return Fate([], [], False, False)
    if parent.type == "arguments" and parent.parent is not None:
        name = called(parent.parent)
        return Fate([], [], name not in _SENDS, name not in subqueries, (name,))
    if parent.type == "variable_declarator":
        name_node = field(parent, "name")
        if name_node is None or name_node.type != "identifier":
            return Fate([], [], True, True)
        return _followed(text(name_node), parent, frozenset(subqueries))
    if parent.type == "assignment_expression":
        left = field(parent, "left")
        return Fate([], [], True, left is not None and left.type == "identifier")
    return Fate([], [], parent.type == "pair", parent.type != "expression_statement")


def _block_of(node: Node) -> Node | None:
    current = node.parent
    while current is not None and current.type not in _BLOCKS:
        current = current.parent
    return current


@lru_cache(maxsize=8)
def _mentions(function: Node) -> dict[str, list[Node]]:
    """By name every place in the function that names a variable, in the order of the code."""
    found: dict[str, list[Node]] = {}
    pending, seen = [function], 0
    while pending and seen < _MAXIMUM_NODES:
        node = pending.pop()
        seen += 1
        if node.type in ("identifier", "shorthand_property_identifier"):
            found.setdefault(text(node), []).append(node)
        pending += reversed(node.named_children)
    return found


def _followed(name: str, declared: Node, subqueries: frozenset[str]) -> Fate:
    """The same for a statement kept in a variable."""
    function = function_around(declared) or _root(declared)
    block = _block_of(declared)
    mentions = [node for node in _mentions(function).get(name, []) if node.start_byte > declared.end_byte]
    if len(mentions) > _MAXIMUM_MENTIONS:
        return Fate([], [], True, True)
    certain: list[Step] = []
    possible: list[Step] = []
    given: list[str] = []
    open_, sends = False, 0
    for node in mentions:
        parent = node.parent
        if parent is None:
            continue
        if parent.type == "assignment_expression" and field(parent, "left") == node:
            root = _chain_root(field(parent, "right"))
            open_ |= root is None or text(root) != name
            continue
        if parent.type == "member_expression" and field(parent, "object") == node:
            top, steps = chain_above(node)
            if not steps:
                continue
            (certain if _block_of(node) == block else possible).extend(steps)
            outer = top.parent
            while outer is not None and outer.type in _PASSING:
                sends += outer.type == "await_expression"
                outer = outer.parent
            sends += outer is not None and outer.type in ("return_statement", "arrow_function")
        elif parent.type == "arguments" and called(parent.parent) in subqueries:
            continue
        elif parent.type == "arguments" and parent.parent is not None:
            open_ |= called(parent.parent) not in _SENDS
            given.append(called(parent.parent))
            sends += 1
        elif parent.type in ("await_expression", "return_statement", "array", "spread_element", "arrow_function"):
            sends += 1
        else:
            open_ |= parent.type in ("pair", "variable_declarator", "shorthand_property_identifier")
            sends += parent.type not in ("expression_statement", "binary_expression", "unary_expression")
    return Fate(certain, possible, open_ or sends > 1, sends > 0, tuple(given))


def _chain_root(node: Node | None) -> Node | None:
    """The name that a chain of calls begins with."""
    while node is not None and node.type != "identifier":
        if node.type == "call_expression":
            node = field(node, "function")
        elif node.type == "member_expression":
            node = field(node, "object")
        elif node.type in _PASSING and node.named_children:
            node = node.named_children[0]
        else:
            return None
    return node


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def value_before(name: str, near: Node) -> Node | None:
    """The value that the function last gave the variable before this place, awaited or not; None if it is a parameter, or
    a branch may have given it another one."""
    function = function_around(near) or _root(near)
    found: Node | None = None
    block = _block_of(near)
    for node in _mentions(function).get(name, []):
        parent = node.parent
        if node.start_byte >= near.start_byte or parent is None:
            continue
        if parent.type == "variable_declarator" and field(parent, "name") == node:
            found = field(parent, "value") or found
        elif parent.type == "assignment_expression" and field(parent, "left") == node:
            if found is not None and _block_of(parent) != block:
                return None
            found = field(parent, "right")
    return unwrapped(found) if found is not None else None
