"""Subqueries and common table expressions that a function keeps in variables, written out as `WITH`."""

from __future__ import annotations

from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import Step, chain_above, mentions_of
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import COLUMNS, EXPRESSIONS, Query, quoted
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped

# Builds the query of a call of select(...) and its further steps.
Build = Callable[[Node, list[Step]], Query | None]

_KEPT = frozenset(["subquery", "cte", "lateral", "alias", "scalar_subquery"])
_MAXIMUM_DEPTH = 8
_MAXIMUM_CHAIN = 60
_MAXIMUM_CHARACTERS = 20_000


class Subqueries:
    def __init__(self, source: Source, models: Models, expressions: Expressions, build: Build) -> None:
        self._source = source
        self._models = models
        self._expressions = expressions
        self._build = build
        self._function = -1
        self._found: dict[str, tuple[Model, Query] | None] = {}
        self._depth = 0

    def entity(self, name: str, function: Node | None) -> tuple[Model, str] | None:
        """What the variable of the function stands for, as if it were a table."""
        found = self._read(name, function)
        return (found[0], found[0].table) if found else None

    def inline(self, node: Node, function: Node | None) -> str | None:
        """The SQL of a select(...) or of a variable that holds one; None where a part of it could not be read."""
        if node.type == "identifier":
            found = self._read(text(node), function)
            query = found[1] if found else None
        else:
            query = self._query(node)
        return query.sql() if query is not None and not query.partial and not self.used(query.sql()) else None

    def existing(self, node: Node, function: Node | None) -> Query | None:
        """The query within `exists(...)` or before `.exists()`, also of a variable that holds such a thing; None where a part of
        it could not be read."""
        value = unwrapped(node)
        if value.type == "identifier" and function is not None:
            made = [node for node in mentions_of(function).get(text(value), []) if node.type == "assignment"]
            value = unwrapped(right) if len(made) == 1 and (right := field(made[0], "right")) is not None else value
        begin = begin_of(value) if value.type == "call" else None
        if begin is None or self._depth > _MAXIMUM_DEPTH:
            return None
        steps = [step for step in chain_above(begin)[1] if step[1].end_byte <= value.end_byte]
        if call_name(begin) == "exists":
            positional = arguments_of(begin)[0]
            inner = unwrapped(positional[0]) if len(positional) == 1 else None
            if inner is not None and inner.type == "call" and begin_of(inner) is not None:
                begin = begin_of(inner) or begin
                steps = [step for step in chain_above(begin)[1] if step[1].end_byte <= inner.end_byte] + steps
        elif not steps or steps[-1][0] != "exists":
            return None
        if call_name(begin) not in ("select", "query", "exists"):
            return None
        self._depth += 1
        query = self._build(begin, [step for step in steps if step[0] not in (*_KEPT, "exists")])
        self._depth -= 1
        if query is None or query.partial - {COLUMNS, EXPRESSIONS}:
            return None
        query.columns, query.partial = ["1"], set()
        return query if not self.used(query.sql()) else None

    def used(self, sql: str) -> dict[str, Query]:
        """The subqueries that a statement of the last function names, and those that they name, in the order they were made."""
        chosen: dict[str, Query] = {}
        for found in reversed([found for found in self._found.values() if found]):
            if quoted(found[0].table) in sql:
                chosen[found[0].table] = found[1]
                sql += found[1].sql()
        return dict(reversed(chosen.items()))

    def _read(self, name: str, function: Node | None) -> tuple[Model, Query] | None:
        if function is None or self._depth > _MAXIMUM_DEPTH:
            return None
        if function.start_byte != self._function:
            self._function, self._found = function.start_byte, {}
        if name in self._found:
            return self._found[name]
        made = [node for node in mentions_of(function).get(name, []) if node.type == "assignment"]
        value = field(made[0], "right") if made else None
        if value is None:
            return None
        self._found[name] = None
        self._depth += 1
        query = self._query(unwrapped(value))
        self._depth -= 1
        # After those that it is made of.
        del self._found[name]
        known = query is not None and len(query.sql()) < _MAXIMUM_CHARACTERS
        self._found[name] = (self._model(name, unwrapped(value)), query) if query and known else None
        return self._found[name]

    def _query(self, value: Node) -> Query | None:
        call = begin_of(value)
        if call is None or call_name(call) != "select":
            return None
        steps = [step for step in chain_above(call)[1] if step[1].end_byte <= value.end_byte]
        return self._build(call, [step for step in steps if step[0] not in _KEPT])

    def _model(self, name: str, value: Node) -> Model:
        table = name
        while any(model.table == table for model in self._models.all()):
            table += "_"
        call = begin_of(value)
        positional = arguments_of(call)[0] if call is not None else []
        location = self._source.location(value)
        names = [self._names(argument) for argument in positional]
        columns = {entry: ModelColumn(entry, entry, location) for each in names for entry in each or ()}
        complete = all(each is not None for each in names)
        return Model(name, "sqlalchemy", table, location, columns=tuple(columns.values()), complete=complete)

    def _names(self, argument: Node) -> list[str] | None:
        """What the columns of one argument of select(...) are called; None if it does not say."""
        if argument.type == "list":
            inner = [self._names(entry) for entry in named(argument)]
            return [name for each in inner for name in each or ()]
        if found := self._expressions.model(argument):
            return [column.attribute for column in found[0].columns]
        if call_name(argument) == "label":
            label = string_of(next(iter(arguments_of(argument)[0]), None))
            return [label] if label else None
        if argument.type == "attribute":
            return [text(field(argument, "attribute"))]
        inner_arguments = arguments_of(argument)[0] if call_name(argument) == "distinct" else []
        return self._names(inner_arguments[0]) if len(inner_arguments) == 1 else None


def begin_of(value: Node) -> Node | None:
    """The call that a chain of calls begins with."""
    node = value
    for _ in range(_MAXIMUM_CHAIN):
        node = unwrapped(node)
        if node.type != "call":
            return None
        function = field(node, "function")
        holder = field(function, "object") if function is not None and function.type == "attribute" else None
        if holder is None or unwrapped(holder).type != "call":
            return node
        node = holder
    return None
