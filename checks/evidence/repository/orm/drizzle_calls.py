"""Calls of Drizzle that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.drizzle_expressions import Expressions
from checks.evidence.repository.orm.drizzle_steps import Step, Steps
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, JOINS, Query
from checks.evidence.repository.orm.script import (
    Imports,
    arguments_of,
    called,
    chain_above,
    definition_of,
    holder_of,
    is_shadowed,
    known_entries,
)
from checks.evidence.repository.orm.syntax import (
    Source,
    field,
    function_around,
    function_name,
    named,
    text,
    unwrapped,
    whole_text,
)

CANDIDATE = re.compile(
    r"\.(?:select|selectDistinct|selectDistinctOn|insert|update|delete|\$count)\s*[(<]|\.query\.\w+\.find"
)
_STARTS = re.compile(
    rb"\.\s*(select|selectDistinct|selectDistinctOn|insert|update|delete|\$count|findFirst|findMany)\s*(?:<[^()]*>)?\("
)
_PROPERTY = frozenset(["property_identifier"])
_NOT_SENT = frozenset(["as", "getSQL", "toSQL", "union", "unionAll", "except", "intersect", "$with"])
_TAKES_SUBQUERIES = frozenset(
    "inArray notInArray exists notExists eq ne gt gte lt lte from innerJoin leftJoin as union unionAll except intersect "
    "and or not with".split()
)

_MAXIMUM_DEPTH = 8


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.imports = Imports(source.file.text)
        self.expressions = Expressions(self.entity, self.subselect)
        self.depth = 0
        self.steps = Steps(source, self.expressions)
        self.parameters: dict[str, Model] = {}
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_STARTS, _PROPERTY):
            word = match.group(1).decode()
            call = node.parent.parent if node.parent is not None else None
            if call is None or call.type != "call_expression" or field(call, "function") != node.parent:
                continue
            self.parameters = {}
            if word in ("findFirst", "findMany"):
                self._relational(word, call)
            elif word == "$count":
                self._count(call)
            elif word.startswith("select"):
                self._select(call)
            else:
                self._write(word, call)
        return self.calls

    def entity(self, node: Node) -> tuple[Model, str] | None:
        """The table that `users` or `schema.users` means, or an alias of one."""
        node = unwrapped(node)
        name = text(node)
        if node.type == "member_expression":
            holder = field(node, "object")
            if holder is None or text(holder) not in self.imports.modules:
                return None
            model = self.models.find(text(field(node, "property")), self.source.file.path)
            return (model, model.table) if model else None
        if node.type != "identifier":
            return None
        if name in self.parameters:
            model = self.parameters[name]
            return model, model.table
        original = self.imports.names.get(name)
        if is_shadowed(name, node):
            original = None
        model = self.models.find(original or name, self.source.file.path)
        if model is not None and (original is not None or model.location.path == self.source.file.path):
            return model, model.table
        value = definition_of(name, node)
        arguments = arguments_of(value) if called(value) in ("alias", "aliasedTable") else []
        if not arguments or text(arguments[0]) == name:
            return None
        found = self.entity(arguments[0])
        return (found[0], name) if found else None

    # Statements

    def subselect(self, node: Node) -> str | None:
        """The SQL of a query that stands within another one, also in a variable; None where a part of it could not be read."""
        value = unwrapped(node)
        if value.type == "identifier":
            value = unwrapped(definition_of(text(value), value) or value)
        start: Node | None = value
        while start is not None and start.type == "call_expression" and not called(start).startswith("select"):
            holder = holder_of(start)
            start = unwrapped(holder) if holder is not None else None
        if start is None or start.type != "call_expression" or self.depth > _MAXIMUM_DEPTH:
            return None
        steps = [step for step in chain_above(start)[1] if step[1].end_byte <= value.end_byte]
        self.depth += 1
        query = self._selected(start, steps)
        self.depth -= 1
        return query.sql() if query is not None and not query.partial else None

    def _select(self, call: Node) -> None:
        top, steps = chain_above(call)
        state = self._state(top, steps)
        query = self._selected(call, steps) if state is not None else None
        if query is not None and state is not None:
            query.partial |= state
            self._finish(query, call)

    def _selected(self, call: Node, steps: list[Step]) -> Query | None:
        target = next((arguments_of(step)[:1] for name, step in steps if name == "from"), [])
        found = self.entity(target[0]) if target else None
        if found is None:
            return None
        query = Query("select", *found)
        self.steps.joins(query, steps)
        arguments = arguments_of(call)
        if called(call) == "selectDistinctOn":
            query.partial.add(COLUMNS)
        elif arguments:
            self.steps.columns(query, arguments[0])
        elif query.joins:
            self.steps.all_columns(query, [found, *(joined for joined in self.steps.joined(steps) if joined)])
        self.steps.apply(query, steps)
        return query

    def _write(self, verb: str, call: Node) -> None:
        arguments = arguments_of(call)
        found = self.entity(arguments[0]) if len(arguments) == 1 else None
        top, steps = chain_above(call)
        state = self._state(top, steps) if found else None
        if found is None or state is None:
            return
        if verb in ("insert", "update") and not {"values", "set", "select"} & {name for name, _ in steps}:
            return
        query = Query(verb, *found)
        query.partial |= state
        self.steps.apply(query, steps)
        self._finish(query, call)

    def _count(self, call: Node) -> None:
        arguments = arguments_of(call)
        found = self.entity(arguments[0]) if arguments else None
        if found is None:
            return
        query = Query("select", *found)
        query.columns = ["count(*)"]
        if len(arguments) > 1:
            self.steps.where(query, arguments[1])
        self._finish(query, call)

    def _relational(self, word: str, call: Node) -> None:
        """`db.query.users.findMany({ where, columns, with, orderBy, limit, offset })`."""
        holder = holder_of(call)
        outer = field(holder, "object") if holder is not None and holder.type == "member_expression" else None
        if holder is None or outer is None or text(field(outer, "property")) != "query":
            return
        model = self.models.find(text(field(holder, "property")), self.source.file.path)
        if model is None:
            return
        query = Query("select", model)
        arguments = arguments_of(call)
        entries, whole = known_entries(arguments[0]) if arguments else ({}, True)
        query.partial |= set() if whole else EVERYTHING
        for key, value in entries.items():
            if key == "where":
                self.steps.where(query, self._body(value, model))
            elif key == "orderBy":
                body = self._body(value, model)
                self.steps.order(query, named(body) if body.type == "array" else [body])
            elif key == "columns":
                chosen, known = known_entries(value)
                names = [name for name, flag in chosen.items() if text(flag) == "true"]
                query.columns = [column for name in names if (column := query.column(name))] or None
                query.partial |= set() if known and len(names) == len(chosen) else {COLUMNS}
            elif key == "limit":
                query.take(text(value))
            elif key == "offset":
                query.offset = text(value) != "0"
            elif key in ("with", "extras"):
                query.partial |= {COLUMNS, JOINS}
        if word == "findFirst":
            query.limit = 1
        self._finish(query, call)

    def _body(self, value: Node, model: Model) -> Node:
        """The expression of a callback over the table's columns, or the value itself."""
        if value.type != "arrow_function":
            return value
        parameters = field(value, "parameters") or field(value, "parameter")
        first = named(parameters)[0] if parameters is not None and named(parameters) else parameters
        name = text(field(first, "pattern") or first) if first is not None else ""
        if name.isidentifier():
            self.parameters = {name: model}
        return field(value, "body") or value

    def _state(self, top: Node, steps: list[Step]) -> frozenset[str] | None:
        """Parts that may be added to the statement before it is sent; None if it is put into another one."""
        names = {name for name, _ in steps}
        if names & _NOT_SENT:
            return None
        parent = top.parent
        while parent is not None and parent.type in ("as_expression", "parenthesized_expression", "spread_element"):
            parent = parent.parent
        if parent is None:
            return None
        if parent.type == "arguments" and parent.parent is not None:
            return None if called(parent.parent) in _TAKES_SUBQUERIES else frozenset()
        if parent.type == "template_substitution":
            return None
        if "$dynamic" in names:
            return EVERYTHING
        if parent.type in ("variable_declarator", "assignment_expression"):
            return self._kept(text(field(parent, "name") or field(parent, "left")), parent)
        return frozenset()

    def _kept(self, name: str, near: Node) -> frozenset[str] | None:
        """The same for a statement kept in a variable."""
        function = function_around(near)
        if function is None or not name.isidentifier():
            return EVERYTHING
        code = whole_text(function)
        if near.type == "assignment_expression" or re.search(
            rf"(?<![\w$.]){name}\s*(?:\n\s*)?\.\w|(?<![\w$.]){name}\s*=[^=>]",
            code[code.find(text(near)) + len(text(near)) :],
        ):
            return EVERYTHING
        sent = re.search(rf"\bawait\s+{name}\b|\breturn\s+{name}\s*[;\n}}]|\[[^\[\]]*\b{name}\b[^\[\]]*\]\)", code)
        return frozenset() if sent else None

    # Steps
    def _finish(self, query: Query, node: Node) -> None:
        place = holder_of(node)
        start = field(node, "function")
        line = field(start, "property") if start is not None and place is not None else node
        where = self.source.location(line if line is not None else node)
        self.calls.append(query.finish(where, "drizzle", function_name(function_around(node))))
