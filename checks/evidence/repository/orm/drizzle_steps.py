"""What each method of a Drizzle statement adds to it."""

from __future__ import annotations

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.drizzle_expressions import Expressions
from checks.evidence.repository.orm.drizzle_shared import declared, object_of
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
    relation,
)
from checks.evidence.repository.orm.script import (
    arguments_of,
    called,
    definition_of,
    is_changed,
    known_entries,
    resolved,
)
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped

_HARMLESS = frozenset(
    "then catch finally execute prepare returning all get values set from comment onConflictDoNothing $withCache".split()
)
_JOINS = {
    "innerJoin": "JOIN", "leftJoin": "LEFT JOIN", "rightJoin": "RIGHT JOIN", "fullJoin": "FULL JOIN",
    "crossJoin": "CROSS JOIN",
}  # fmt: skip

Step = tuple[str, Node]


class Steps:
    """Applies methods to one query; what cannot be read of it is noted as partial."""

    def __init__(self, source: Source, expressions: Expressions) -> None:
        self.source = source
        self.expressions = expressions
        self.functions: dict[str, Node] | None = None

    def apply(self, query: Query, steps: list[Step]) -> None:
        for name, call in steps:
            arguments = arguments_of(call)
            if name == "where" and arguments:
                self.where(query, arguments[0])
            elif name == "orderBy":
                self.order(query, arguments)
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
                self.written(query, arguments[0])
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
                query.partial |= EVERYTHING

    def where(self, query: Query, node: Node) -> None:
        known, whole = self.expressions.conditions(node)
        query.where += known
        query.partial |= set() if whole else {WHERE}

    def order(self, query: Query, arguments: list[Node]) -> None:
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
        self.written(update, changed)
        query.partial |= update.partial
        if all(keys) and update.assigned():
            names = ", ".join(quoted(key.name) for key in keys if key is not None)
            written = ", ".join(f"{quoted(name)} = {VALUE}" for name in update.assigned())
            query.suffix = f" ON CONFLICT ({names}) DO UPDATE SET {written}"
        else:
            query.partial.add(COLUMNS)

    def written(self, query: Query, node: Node) -> None:
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

    def columns(self, query: Query, node: Node) -> None:
        chosen = resolved(node)
        entries, whole = known_entries(chosen)
        query.columns = []
        spreads = [named(entry)[0] for entry in named(chosen) if entry.type == "spread_element" and named(entry)]
        tables = [table for spread in spreads if (table := self._columns_of(spread)) is not None]
        self.all_columns(query, tables)
        whole |= len(tables) == len(spreads) and len(entries) + len(spreads) == len(named(chosen))
        for value in entries.values():
            if found := self.expressions.entity(value):
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
        return self.expressions.entity(arguments[0]) if len(arguments) == 1 else None

    def all_columns(self, query: Query, tables: list[tuple[Model, str]]) -> None:
        query.columns = [
            f"{quoted(alias)}.{quoted(column.name)}" for model, alias in tables for column in model.columns
        ]

    def joined(self, steps: list[Step]) -> list[tuple[Model, str] | None]:
        targets = [arguments_of(step)[:1] for name, step in steps if name in _JOINS]
        return [self.expressions.entity(target[0]) if target else None for target in targets]

    def joins(self, query: Query, steps: list[Step]) -> None:
        for name, step in steps:
            if name not in _JOINS:
                continue
            arguments = arguments_of(step)
            found = self.expressions.entity(arguments[0]) if arguments else None
            if found is None:
                query.partial |= {JOINS, COLUMNS}
                continue
            condition = ""
            if name != "crossJoin":
                known, whole = self.expressions.conditions(arguments[1]) if len(arguments) > 1 else ([], False)
                query.partial |= set() if whole else {JOINS}
                condition = f" ON {' AND '.join(known) or 'true'}"
            query.joins.append(f"{_JOINS[name]} {relation(found[0])} AS {quoted(found[1])}{condition}")
