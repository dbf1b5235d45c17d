"""Which model the rows are of that a variable of SQLAlchemy code holds."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.syntax import Source, field, text, unwrapped

_MAXIMUM_DEPTH = 5
_MAXIMUM_CHAIN = 30
_BRINGS_ROWS = frozenset("get get_one get_or_404 select query scalars scalar exec execute merge".split())
_OF_RESULTS = frozenset(
    "scalar scalars scalar_one scalar_one_or_none scalar_or_none first one one_or_none all unique fetchall fetchone fetch "
    "where filter filter_by order_by limit offset options join outerjoin with_for_update execution_options distinct "
    "partitions yield_per get get_or_404 first_or_404 list".split()
)
_RETURNS = re.compile(
    r"->\s*[\"']?(?:(?:list|List|Sequence|Optional)\[\s*)?(?:\w+\.)*([A-Za-z_]\w*)\s*\]?\s*(?:\|\s*None)?[\"']?\s*:"
)


class Variables:
    """`models` are the tables: a row of a subquery is none of theirs."""

    def __init__(self, source: Source, expressions: Expressions, models: Models) -> None:
        self._source = source
        self._expressions = expressions
        self._models = models
        # The model of the rows that a method of another class returns.
        self.returned: Callable[[Node, Node | None], tuple[Model, str] | None] = lambda *_: None

    def model(self, name: str, function: Node | None, before: int) -> tuple[Model, str] | None:
        """The model whose row the variable holds at that offset, by its annotation or by what it was assigned."""
        return self._held(name, function, before, 0)

    def fetched(self, name: str, function: Node | None, before: int) -> tuple[Model, str] | None:
        """The same for a variable that was given what the database, or a function, brought."""
        hinted = function is not None and not any(
            node.start_byte < before and (node.type == "assignment" or _is_looped(node))
            for node in mentions_of(function).get(name, [])
        )
        return None if hinted else self._held(name, function, before, 0)

    def _held(self, name: str, function: Node | None, before: int, depth: int) -> tuple[Model, str] | None:
        if function is None or depth > _MAXIMUM_DEPTH or not name.isidentifier():
            return None
        value = None
        for node in mentions_of(function).get(name, []):
            if node.start_byte >= before:
                break
            if node.type == "assignment":
                value = field(node, "right")
            elif _is_looped(node) and node.parent is not None:
                value = field(node.parent, "right")
        if value is not None:
            return self._of_value(value, function, before, depth)
        hint = re.search(
            rf"[(,]\s*{re.escape(name)}\s*:\s*[\"']?(?:\w+\.)*([A-Za-z_]\w*)(?:\s*\|\s*None)?[\"']?\s*[,)=]",
            text(field(function, "parameters")),
        )
        return self._expressions.entity(hint.group(1)) if hint else None

    def _of_value(self, value: Node, function: Node, before: int, depth: int) -> tuple[Model, str] | None:
        node = unwrapped(value)
        for _ in range(_MAXIMUM_CHAIN):
            if node.type == "identifier":
                return self._held(text(node), function, min(before, value.start_byte), depth + 1)
            if node.type != "call":
                return None
            called = field(node, "function")
            name = call_name(node)
            if called is None:
                return None
            if found := self._expressions.model(called):
                return found
            positional, _ = arguments_of(node)
            first = unwrapped(positional[0]) if positional else None
            if name in _BRINGS_ROWS and first is not None:
                found = self._expressions.model(first)
                if found and self._models.find(found[0].name, self._source.file.path) == found[0]:
                    return found if len(positional) == 1 or name.startswith(("get", "merge")) else None
                if first.type == "call" or (first.type == "identifier" and name not in ("get", "select", "query")):
                    return self._of_value(first, function, before, depth + 1) if depth < _MAXIMUM_DEPTH else None
            if called.type == "identifier":
                return (
                    self._of_value(first, function, before, depth + 1)
                    if name == "list" and first
                    else self._of_helper(name)
                )
            holder = field(called, "object")
            if holder is None:
                return None
            if found := self.returned(node, function):
                return found
            if text(holder) == "self":
                return self._of_helper(name)
            if name not in _OF_RESULTS:
                return None
            node = unwrapped(holder)
        return None

    def _of_helper(self, name: str) -> tuple[Model, str] | None:
        """What a function of the same file says that it returns."""
        code = self._source.file.text
        begun = re.search(rf"\bdef\s+{re.escape(name)}\(", code)
        head = re.match(r"[^)]{0,2000}\)[^:]{0,200}:", code[begun.end() : begun.end() + 2_300]) if begun else None
        match = _RETURNS.search(head.group(0)) if head else None
        return self._expressions.entity(match.group(1)) if match else None


def _is_looped(node: Node) -> bool:
    """Whether a loop gives the variable its value there."""
    parent = node.parent
    return parent is not None and parent.type == "for_statement" and field(parent, "left") == node
