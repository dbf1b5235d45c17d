"""Chains of method calls in Python, and what becomes of the statement that one builds."""

from __future__ import annotations

from functools import lru_cache

from tree_sitter import Node

from checks.evidence.repository.orm.python_syntax import call_name, walk
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, EXPRESSIONS, JOINS, LIMIT, ORDER, WHERE
from checks.evidence.repository.orm.syntax import field, named, text

Step = tuple[str, Node]
# Further steps of a statement, and the parts that may be added to it besides.
Context = tuple[list[Step], set[str]]

HARMLESS = frozenset(
    "execution_options all one_or_none scalar scalars scalar_one scalar_one_or_none unique with_hint prefix_with params "
    "yield_per populate_existing enable_eagerloads autoflush correlate correlate_except compile returning one "
    "with_labels".split()
)
UNREAD = {
    "where": {WHERE}, "filter": {WHERE}, "filter_by": {WHERE}, "having": {WHERE}, "order_by": {ORDER}, "limit": {LIMIT},
    "offset": {LIMIT}, "slice": {LIMIT}, "options": {COLUMNS, JOINS}, "with_only_columns": {COLUMNS, EXPRESSIONS},
    "with_entities": {COLUMNS, EXPRESSIONS}, "add_columns": {COLUMNS, EXPRESSIONS}, "join": {JOINS}, "outerjoin": {JOINS},
    "with_for_update": {LIMIT},
}  # fmt: skip
_MAXIMUM_MENTIONS = 100
_MAXIMUM_VARIABLES = 4
# What makes a part of another statement of a query, or says something of it without sending it.
_PARTS = frozenset(
    "in_ not_in notin_ exists any_ all_ union union_all except_ intersect case cast func coalesce literal label select aliased "
    "subquery scalar_subquery cte lateral join outerjoin join_from where filter having and_ or_ not_ select_from values "
    "from_select add_columns print str repr isinstance len debug info warning error append".split()
)
RUNS = frozenset(
    "execute scalars scalar stream stream_scalars exec fetch_all fetch_one fetch_val all first one one_or_none".split()
)


@lru_cache(maxsize=4)
def mentions_of(function: Node) -> dict[str, list[Node]]:
    """By variable its assignments in the function and every place that names it, in the order of the code."""
    found: dict[str, list[Node]] = {}
    for node in walk(function):
        if node.type == "identifier":
            found.setdefault(text(node), []).append(node)
        elif node.type == "assignment" and (left := field(node, "left")) is not None and left.type == "identifier":
            found.setdefault(text(left), []).append(node)
    return found


def call_of(node: Node) -> Node | None:
    """The call whose function's last name the node is."""
    parent = node.parent
    if parent is not None and parent.type == "attribute" and field(parent, "attribute") == node:
        node, parent = parent, parent.parent
    return parent if parent is not None and parent.type == "call" and field(parent, "function") == node else None


def holder_of(call: Node) -> Node | None:
    function = field(call, "function")
    return field(function, "object") if function is not None and function.type == "attribute" else None


def chain_above(call: Node) -> tuple[Node, list[Step]]:
    """The outermost call of the chain that begins with it, and the steps between."""
    steps: list[Step] = []
    top = call
    while True:
        node = top
        while node.parent is not None and node.parent.type == "parenthesized_expression":
            node = node.parent
        parent = node.parent
        outer = parent.parent if parent is not None and parent.type == "attribute" else None
        if parent is None or outer is None or outer.type != "call" or field(outer, "function") != parent:
            return node, steps
        if field(parent, "object") != node:
            return node, steps
        top = outer
        steps.append((text(field(parent, "attribute")), outer))


def steps_above(node: Node) -> list[Step]:
    return chain_above(node)[1]


def root_of(node: Node) -> Node | None:
    """What a chain of calls is called on."""
    while True:
        if node.type == "parenthesized_expression" and named(node):
            node = named(node)[0]
        elif node.type == "call":
            function = field(node, "function")
            if function is None or function.type != "attribute":
                return None
            holder = field(function, "object")
            if holder is None:
                return None
            node = holder
        else:
            return node if node.type == "identifier" else None


def _is_awaited(call: Node) -> bool:
    return call.parent is not None and call.parent.type == "await"


def _is_sent(top: Node, name: str, function: Node | None, depth: int, runs: frozenset[str]) -> bool:
    """Whether what is made of a statement in passing (`session.execute(query.limit(10))`) is sent."""
    parent = top.parent
    if parent is None:
        return False
    if parent.type == "argument_list" and parent.parent is not None:
        return call_name(parent.parent) in runs
    if parent.type == "assignment":
        other = text(field(parent, "left"))
        return other != name and _followed(other, parent, function, depth=depth + 1, runs=runs) is not None
    return parent.type == "return_statement"


def _is_assigned(call: Node, name: str) -> bool:
    return call.parent is not None and call.parent.type == "assignment" and text(field(call.parent, "left")) == name


def context_of(top: Node, function: Node | None, runs: frozenset[str] = RUNS) -> Context | None:
    """What the code goes on to do with a statement: further steps, and parts that may be added; None if it is not sent as it
    is, but put into another one. `runs` are the functions that send what they are given."""
    parent = top.parent
    while parent is not None and parent.type in ("parenthesized_expression", "await", "type_cast"):
        top, parent = parent, parent.parent
    if parent is None:
        return None
    if parent.type == "argument_list" and parent.parent is not None:
        if call_name(parent.parent) in runs:
            return [], set()
        return _handed_on(parent.parent, function, runs)
    if parent.type == "assignment":
        left = field(parent, "left")
        return (
            _followed(text(left), parent, function, runs=runs)
            if left is not None and left.type == "identifier"
            else None
        )
    return ([], set(EVERYTHING)) if parent.type == "return_statement" else None


def _handed_on(call: Node, function: Node | None, runs: frozenset[str]) -> Context | None:
    """The same for a statement that is an argument of a function of the application, which may add anything to it."""
    for _ in range(_MAXIMUM_VARIABLES):
        if not is_helper(call):
            return None
        parent = call.parent
        if parent is not None and parent.type == "argument_list" and parent.parent is not None:
            if call_name(parent.parent) in runs:
                return [], set(EVERYTHING)
            call = parent.parent
            continue
        while parent is not None and parent.type in ("parenthesized_expression", "await"):
            if parent.type == "await":
                return [], set(EVERYTHING)
            parent = parent.parent
        if parent is not None and parent.type == "assignment":
            left = field(parent, "left")
            sent = left is not None and left.type == "identifier"
            sent = sent and _followed(text(left), parent, function, runs=runs) is not None
            return ([], set(EVERYTHING)) if sent else None
        return ([], set(EVERYTHING)) if parent is not None and parent.type == "return_statement" else None
    return None


def is_helper(call: Node) -> bool:
    """Whether the call is of a function of the application rather than of a builder of SQL."""
    function = field(call, "function")
    if function is None or call_name(call) in _PARTS:
        return False
    if function.type == "identifier":
        return call_name(call)[:1].islower() or call_name(call).startswith("_")
    return function.type == "attribute" and (
        text(field(function, "object")) in ("self", "cls")
        or (_is_awaited(call) and (field(function, "object") or function).type == "identifier")
    )


def query_context(top: Node, steps: list[Step], function: Node | None, runs: frozenset[str] = RUNS) -> Context | None:
    last = steps[-1][0] if steps else ""
    sends = last in (
        "all",
        "first",
        "one",
        "one_or_none",
        "scalar",
        "count",
        "delete",
        "update",
        "get",
        "get_or_404",
    )
    if sends or last in ("first_or_404", "one_or_404", "paginate"):
        return [], set()
    parent = top.parent
    if parent is not None and parent.type in ("for_statement", "for_in_clause"):
        return [], set()
    if parent is not None and parent.type == "assignment":
        return _followed(text(field(parent, "left")), parent, function, sent_by_methods=True, runs=runs)
    return ([], set(EVERYTHING)) if parent is not None and parent.type == "return_statement" else None


def _followed(
    name: str,
    begun: Node,
    function: Node | None,
    *,
    sent_by_methods: bool = False,
    depth: int = 0,
    runs: frozenset[str] = RUNS,
) -> Context | None:
    """The same for a statement kept in a variable."""
    if function is None or not name.isidentifier() or depth > _MAXIMUM_VARIABLES:
        return None
    steps: list[Step] = []
    partial: set[str] = set()
    sent = False
    block = begun.parent.parent if begun.parent is not None else None
    mentions = mentions_of(function).get(name, [])
    if len(mentions) > _MAXIMUM_MENTIONS:
        return [], set(EVERYTHING)
    for node in mentions:
        if node.type == "assignment" and text(field(node, "left")) == name and node.start_byte > begun.start_byte:
            value = field(node, "right")
            root = root_of(value) if value is not None else None
            if root is None or text(root) != name or value is None:
                if sent:
                    break
                partial |= set(EVERYTHING)
                continue
            added = steps_above(root)
            same = node.parent is not None and node.parent.parent == block
            if same:
                steps += added
            else:
                for step, _ in added:
                    partial |= UNREAD.get(step, set(EVERYTHING) if step not in HARMLESS else set())
        elif node.type == "identifier" and text(node) == name and node.start_byte > begun.end_byte:
            parent = node.parent
            if parent is None:
                continue
            if parent.type == "argument_list" and parent.parent is not None:
                if call_name(parent.parent) in runs:
                    sent = True
                elif not _is_assigned(parent.parent, name):
                    partial |= set(EVERYTHING)
                    sent |= is_helper(parent.parent) and _is_awaited(parent.parent)
            elif not sent_by_methods and parent.type == "attribute" and field(parent, "object") == node:
                top, added = chain_above(node)
                if added and _is_sent(top, name, function, depth, runs):
                    sent = True
                    for step, _ in added:
                        partial |= UNREAD.get(step, set(EVERYTHING) if step not in HARMLESS else set())
            elif sent_by_methods and parent.type == "attribute" and parent.parent is not None:
                added = steps_above(node)
                if added and added[-1][0] in (
                    "all",
                    "first",
                    "one",
                    "one_or_none",
                    "scalar",
                    "count",
                    "delete",
                    "update",
                ):
                    sent = True
                    partial |= {LIMIT} if len(added) > 1 or added[-1][0] == "first" else set()
                    for step, _ in added[:-1]:
                        partial |= UNREAD.get(step, set())
            elif parent.type == "return_statement":
                sent = True
                partial |= set(EVERYTHING)
            elif sent_by_methods and parent.type == "for_statement":
                sent = True
    return (steps, partial) if sent else None
