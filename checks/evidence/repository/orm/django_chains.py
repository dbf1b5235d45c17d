"""Chains of calls that begin with a manager of Django's, and what becomes of the queryset they make."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.orm.django_steps import SENDS, UNREAD, Step, plain_name
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.python_syntax import call_name
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, LIMIT
from checks.evidence.repository.orm.syntax import field, text

_READS = frozenset(
    "list set tuple len sorted bool dict enumerate any all next iter sum max min zip map filter reversed frozenset str "
    "sync_to_async join chain".split()
)
_MAXIMUM_MENTIONS = 60


def chain_above(node: Node) -> tuple[Node, list[Step]]:
    """The outermost expression of the chain that begins with a manager, and its steps."""
    steps: list[Step] = []
    while True:
        outer = node
        while outer.parent is not None and outer.parent.type == "parenthesized_expression":
            outer = outer.parent
        parent = outer.parent
        sent = bool(steps) and plain_name(steps[-1][0]) in SENDS
        if parent is not None and parent.type == "subscript" and field(parent, "value") == outer and not sent:
            steps.append(("[]", parent))
            node = parent
            continue
        call = parent.parent if parent is not None and parent.type == "attribute" else None
        if parent is None or call is None or field(parent, "object") != outer:
            return node, steps
        if call.type != "call" or field(call, "function") != parent:
            return node, steps
        if steps and plain_name(steps[-1][0]) in SENDS | {"[]"} and plain_name(steps[-1][0]) != "iterator":
            return node, steps
        steps.append((text(field(parent, "attribute")), call))
        node = call


def followed(name: str, begun: Node, function: Node) -> tuple[list[Step], set[str]] | None:
    """The same for a queryset kept in a variable: steps that certainly follow, and parts that may be added."""
    steps: list[Step] = []
    partial: set[str] = set()
    sent = False
    end = function.end_byte
    block = begun.parent.parent if begun.parent is not None else None
    mentions = mentions_of(function).get(name, [])
    if len(mentions) > _MAXIMUM_MENTIONS:
        return [], set(EVERYTHING)
    for node in mentions:
        if node.start_byte <= begun.end_byte:
            continue
        if node.start_byte > end:
            break
        if node.type == "assignment":
            right = field(node, "right")
            if right is None or not re.match(rf"\(?\s*{re.escape(name)}\b", text(right)):
                end = node.end_byte
            continue
        parent = node.parent
        if parent is None or (parent.type == "assignment" and field(parent, "left") == node):
            continue
        _, added = chain_above(node)
        kept = _assigned_to(node, name)
        if kept is not None and kept.parent is not None and kept.parent.parent == block and not sent:
            steps += added
            continue
        for step, _ in added:
            partial |= UNREAD.get(plain_name(step), set(EVERYTHING))
        if kept is None:
            sent = True
            if _is_handed_on(parent):
                partial |= set(EVERYTHING)
            elif added and plain_name(added[-1][0]) in ("update", "delete", "create", "bulk_create"):
                partial |= {LIMIT, COLUMNS}
    return (steps, partial) if sent else None


def reads(call: Node) -> bool:
    """Whether the function called takes the rows and no more: `list(...)`, `sync_to_async(list)(...)`."""
    return call_name(call) in _READS or text(field(call, "function")).startswith("sync_to_async(")


def _is_handed_on(parent: Node) -> bool:
    """Whether code elsewhere gets the queryset and may add to it."""
    if parent.type == "argument_list":
        return parent.parent is None or not reads(parent.parent)
    return parent.type in ("return_statement", "keyword_argument")


def _assigned_to(node: Node, name: str) -> Node | None:
    """The assignment that puts what is made of the variable into it again."""
    top, _ = chain_above(node)
    while top.parent is not None and top.parent.type == "parenthesized_expression":
        top = top.parent
    parent = top.parent
    if parent is None or parent.type != "assignment" or text(field(parent, "left")) != name:
        return None
    return parent
