"""Calls of Drizzle that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.drizzle_expressions import Expressions
from checks.evidence.repository.orm.drizzle_shared import declared, object_of
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
    relation,
)
from checks.evidence.repository.orm.script import (
    Imports,
    arguments_of,
    called,
    chain_above,
    definition_of,
    holder_of,
    is_changed,
    is_shadowed,
    known_entries,
    resolved,
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
_HARMLESS = frozenset(
    "then catch finally execute prepare returning all get values set from comment onConflictDoNothing $withCache".split()
)
_EVERYTHING = frozenset([WHERE, ORDER, LIMIT, COLUMNS, JOINS, EXPRESSIONS])
_JOINS = {
    "innerJoin": "JOIN", "leftJoin": "LEFT JOIN", "rightJoin": "RIGHT JOIN", "fullJoin": "FULL JOIN",
    "crossJoin": "CROSS JOIN",
}  # fmt: skip
_NOT_SENT = frozenset(["as", "getSQL", "toSQL", "union", "unionAll", "except", "intersect", "$with"])
_TAKES_SUBQUERIES = frozenset(
    "inArray notInArray exists notExists eq ne gt gte lt lte from innerJoin leftJoin as union unionAll except intersect "
    "and or not with".split()
)

_MAXIMUM_DEPTH = 8

Step = tuple[str, Node]


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.imports = Imports(source.file.text)
        self.expressions = Expressions(self.entity, self.subselect)
        self.depth = 0
        self.functions: dict[str, Node] | None = None
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
        self._joins(query, steps)
        arguments = arguments_of(call)
        if called(call) == "selectDistinctOn":
            query.partial.add(COLUMNS)
        elif arguments:
            self._columns(query, arguments[0])
        elif query.joins:
            self._all_columns(query, [found, *(joined for joined in self._joined(steps) if joined)])
        self._apply(query, steps)
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
        self._apply(query, steps)
        self._finish(query, call)

    def _count(self, call: Node) -> None:
        arguments = arguments_of(call)
        found = self.entity(arguments[0]) if arguments else None
        if found is None:
            return
        query = Query("select", *found)
        query.columns = ["count(*)"]
        if len(arguments) > 1:
            self._where(query, arguments[1])
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
        query.partial |= set() if whole else _EVERYTHING
        for key, value in entries.items():
            if key == "where":
                self._where(query, self._body(value, model))
            elif key == "orderBy":
                body = self._body(value, model)
                self._order(query, named(body) if body.type == "array" else [body])
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
            return _EVERYTHING
        if parent.type in ("variable_declarator", "assignment_expression"):
            return self._kept(text(field(parent, "name") or field(parent, "left")), parent)
        return frozenset()

    def _kept(self, name: str, near: Node) -> frozenset[str] | None:
        """The same for a statement kept in a variable."""
        function = function_around(near)
        if function is None or not name.isidentifier():
            return _EVERYTHING
        code = whole_text(function)
        if near.type == "assignment_expression" or re.search(
            rf"(?<![\w$.]){name}\s*(?:\n\s*)?\.\w|(?<![\w$.]){name}\s*=[^=>]",
            code[code.find(text(near)) + len(text(near)) :],
        ):
            return _EVERYTHING
        sent = re.search(rf"\bawait\s+{name}\b|\breturn\s+{name}\s*[;\n}}]|\[[^\[\]]*\b{name}\b[^\[\]]*\]\)", code)
        return frozenset() if sent else None

    # Steps

    def _apply(self, query: Query, steps: list[Step]) -> None:
        for name, call in steps:
            arguments = arguments_of(call)
            if name == "where" and arguments:
                self._where(query, arguments[0])
            elif name == "orderBy":
                self._order(query, arguments)
            elif name == "limit" and arguments:
                query.take(text(arguments[0]))
            elif name == "offset" and arguments:
                query.offset = text(arguments[0]) != "0"
            elif name == "groupBy":
                keys = [self.expressions.scalar(argument) for argument in arguments]
                query.group = [key for key in keys if key]
            elif name == "having":
                query.partial.add(WHERE)
            elif name in ("set", "values") and arguments:
                self._written(query, arguments[0])
            elif name == "onConflictDoNothing":
                query.suffix = " ON CONFLICT DO NOTHING"
            elif name == "onConflictDoUpdate":
                self._conflict(query, arguments)
            elif name == "for":
                query.suffix = (
                    " FOR UPDATE SKIP LOCKED"
                    if "skipLocked" in text(call.child_by_field_name("arguments"))
                    else " FOR UPDATE"
                )
            elif name == "select":
                query.partial |= {COLUMNS, JOINS, WHERE}
            elif name not in _HARMLESS and name not in _JOINS:
                query.partial |= _EVERYTHING

    def _where(self, query: Query, node: Node) -> None:
        known, whole = self.expressions.conditions(node)
        query.where += known
        query.partial |= set() if whole else {WHERE}

    def _order(self, query: Query, arguments: list[Node]) -> None:
        for argument in arguments:
            key = self.expressions.order(argument)
            if key is None:
                query.partial.add(ORDER)
            elif ORDER not in query.partial:
                query.order.append(key)

    def _conflict(self, query: Query, arguments: list[Node]) -> None:
        """`onConflictDoUpdate({ target, set })`, but with conditions."""
        options, whole = known_entries(arguments[0]) if arguments else ({}, False)
        target, changed = options.get("target"), options.get("set")
        if not whole or target is None or changed is None or not options.keys() <= {"target", "set"}:
            query.partial.add(COLUMNS)
            return
        nodes = named(target) if target.type == "array" else [target]
        keys = [column_of(query.model, text(field(node, "property"))) for node in nodes]
        update = Query("update", query.model)
        self._written(update, changed)
        query.partial |= update.partial
        if all(keys) and update.assigned():
            names = ", ".join(quoted(key.name) for key in keys if key is not None)
            written = ", ".join(f"{quoted(name)} = {VALUE}" for name in update.assigned())
            query.suffix = f" ON CONFLICT ({names}) DO UPDATE SET {written}"
        else:
            query.partial.add(COLUMNS)

    def _written(self, query: Query, node: Node) -> None:
        node = unwrapped(node)
        if node.type in ("identifier", "shorthand_property_identifier"):
            value = definition_of(text(node), node)
            query.partial |= {COLUMNS} if value is None or is_changed(text(node), node) else set()
            if value is None:
                return
            node = unwrapped(value)
        if node.type == "array":
            elements = named(node)
            query.partial |= set() if len(elements) == 1 else {COLUMNS}
            node = elements[0] if elements else node
        if called(node) == "map" and arguments_of(node):
            made = unwrapped(arguments_of(node)[0])
            node = self._made(made) if made.type == "identifier" else unwrapped(field(made, "body") or made)
        elif node.type == "call_expression" and (function := field(node, "function")) is not None:
            node = self._made(function) if function.type == "identifier" else node
        entries, whole = known_entries(node)
        for key in entries:
            query.write(key)
        query.partial |= set() if whole else {COLUMNS}

    def _made(self, function: Node) -> Node:
        """The object that a function of this file returns; its name where that is not told."""
        if self.functions is None:
            self.functions = dict(declared(self.source))
        value = self.functions.get(text(function))
        return (object_of(value) if value is not None else None) or function

    def _columns(self, query: Query, node: Node) -> None:
        chosen = resolved(node)
        entries, whole = known_entries(chosen)
        query.columns = []
        spreads = [named(entry)[0] for entry in named(chosen) if entry.type == "spread_element" and named(entry)]
        tables = [table for spread in spreads if (table := self._columns_of(spread)) is not None]
        self._all_columns(query, tables)
        whole |= len(tables) == len(spreads) and len(entries) + len(spreads) == len(named(chosen))
        for value in entries.values():
            if found := self.entity(value):
                query.columns += [f"{quoted(found[1])}.{quoted(column.name)}" for column in found[0].columns]
            elif (written := self.expressions.scalar(value)) is not None:
                query.columns.append(written)
            else:
                query.partial |= {COLUMNS, EXPRESSIONS}
        query.partial |= set() if whole else {COLUMNS, EXPRESSIONS}

    def _columns_of(self, node: Node) -> tuple[Model, str] | None:
        """The table whose columns `getTableColumns(users)` gives, also in a variable."""
        value = definition_of(text(node), node) if node.type == "identifier" else node
        arguments = arguments_of(value) if called(value) in ("getTableColumns", "getColumns") else []
        return self.entity(arguments[0]) if len(arguments) == 1 else None

    def _all_columns(self, query: Query, tables: list[tuple[Model, str]]) -> None:
        query.columns = [
            f"{quoted(alias)}.{quoted(column.name)}" for model, alias in tables for column in model.columns
        ]

    def _joined(self, steps: list[Step]) -> list[tuple[Model, str] | None]:
        targets = [arguments_of(step)[:1] for name, step in steps if name in _JOINS]
        return [self.entity(target[0]) if target else None for target in targets]

    def _joins(self, query: Query, steps: list[Step]) -> None:
        for name, step in steps:
            if name not in _JOINS:
                continue
            arguments = arguments_of(step)
            found = self.entity(arguments[0]) if arguments else None
            if found is None:
                query.partial |= {JOINS, COLUMNS}
                continue
            condition = ""
            if name != "crossJoin":
                known, whole = self.expressions.conditions(arguments[1]) if len(arguments) > 1 else ([], False)
                query.partial |= set() if whole else {JOINS}
                condition = f" ON {' AND '.join(known) or 'true'}"
            query.joins.append(f"{_JOINS[name]} {relation(found[0])} AS {quoted(found[1])}{condition}")

    def _finish(self, query: Query, node: Node) -> None:
        place = holder_of(node)
        start = field(node, "function")
        line = field(start, "property") if start is not None and place is not None else node
        where = self.source.location(line if line is not None else node)
        self.calls.append(query.finish(where, "drizzle", function_name(function_around(node))))
