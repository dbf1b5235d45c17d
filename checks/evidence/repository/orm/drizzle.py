"""Tables that Drizzle code declares (`pgTable`, `pgSchema`), read from its source."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.drizzle_shared import (
    Maker,
    Shared,
    as_imported,
    declared,
    maker_of,
    object_of,
    prefix_of,
    schema_of,
)
from checks.evidence.repository.orm.script import (
    Imports,
    arguments_of,
    called,
    entries_of,
    holder_of,
    key_of,
    known_entries,
    string_of,
)
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped

CANDIDATE = re.compile(r"\bpgTable\b|\bpgTableCreator\b|\bpgSchema\b|drizzle-orm/pg-core")
_TABLE = re.compile(rb"\b(pgTable|table|[A-Za-z_$][\w$]*[tT]able)\s*\(")
_SNAKE = re.compile(r"casing:\s*['\"]snake_case['\"]")
_NAMES = frozenset(["identifier", "property_identifier"])
_VECTORS = frozenset(["vector", "halfvec", "sparsevec", "bit"])


def writes_snake_case(code: str) -> bool:
    """Whether Drizzle is told to derive column names in snake case."""
    return bool(_SNAKE.search(code))


def read_shared(source: Source, *, snake_case: bool = False) -> Shared:
    """What the file declares that other files may make tables with."""
    schemas, prefixes, makers = {}, {}, {}
    objects: dict[str, Node] = {}
    for name, value in declared(source):
        if (schema := schema_of(value)) is not None:
            schemas[name] = schema
        elif (prefix := prefix_of(value)) is not None:
            prefixes[name] = prefix
        elif (maker := maker_of(value)) is not None:
            makers[name] = maker
        elif (entries := object_of(value)) is not None:
            objects[name] = entries
    shared = Shared(schemas, prefixes, makers, {})
    reader = _Reader(source, shared, snake_case)
    for name, entries in objects.items():
        columns: list[ModelColumn] = []
        complete = reader.columns(entries, columns)
        if columns:
            shared.columns[name] = (tuple(columns), complete)
    return shared


def read_tables(source: Source, shared: Shared, *, snake_case: bool = False) -> list[Model]:
    """The tables that the file declares as constants, with what it imports of the `shared`."""
    own = read_shared(source, snake_case=snake_case)
    reader = _Reader(source, as_imported(shared, Imports(source.file.text).names, own), snake_case)
    found = []
    for _, node in source.found(_TABLE, _NAMES):
        call = node.parent if node.type == "identifier" else (node.parent.parent if node.parent is not None else None)
        if call is not None and call.type == "call_expression" and (model := reader.table(call)):
            found.append(model)
    return found


class _Reader:
    def __init__(self, source: Source, shared: Shared, snake_case: bool) -> None:
        self.source = source
        self.shared = shared
        self.snake_case = snake_case

    def table(self, call: Node) -> Model | None:
        declarator = call.parent
        while declarator is not None and declarator.type == "member_expression":
            declarator = declarator.parent.parent if declarator.parent is not None else None
        arguments = arguments_of(call)
        name = string_of(arguments[0]) if len(arguments) > 1 else None
        if declarator is None or declarator.type != "variable_declarator" or name is None:
            return None
        prefix, schema = "", None
        function = field(call, "function")
        if function is not None and function.type == "member_expression":
            schema = self.shared.schemas.get(text(holder_of(call)))
            if schema is None:
                return None
        elif text(function) != "pgTable":
            made = self.shared.prefixes.get(text(function))
            if made is None:
                return None
            prefix = made
        columns: list[ModelColumn] = []
        indexes: list[ModelIndex] = []
        complete = self.columns(arguments[1], columns)
        if len(arguments) > 2:
            self._extras(arguments[2], columns, indexes)
        variable = text(field(declarator, "name"))
        location = self.source.location(call)
        return Model(variable, "drizzle", prefix + name, location, schema, tuple(columns), (), tuple(indexes), complete)

    def columns(self, node: Node, columns: list[ModelColumn]) -> bool:
        """Reads the object of columns; whether it knows all of them."""
        node = unwrapped(node)
        if node.type in ("identifier", "call_expression"):
            found, complete = self.shared.columns.get(called(node) or text(node), ((), False))
            columns += found
            return complete
        if node.type != "object":
            return False
        complete = True
        for entry in named(node):
            if entry.type == "spread_element":
                inner = named(entry)
                complete &= bool(inner) and self.columns(inner[0], columns)
                continue
            key, value = key_of(entry), field(entry, "value")
            column = self._column(key, value) if key and value is not None else None
            if column is None:
                complete = False
            else:
                columns.append(column)
        return complete

    def _column(self, attribute: str, value: Node) -> ModelColumn | None:
        """`varchar("email", { length: 64 }).notNull().references(() => user.id)`."""
        steps: list[tuple[str, Node]] = []
        node: Node | None = value
        while node is not None and node.type == "call_expression" and (holder := holder_of(node)) is not None:
            if holder.type != "call_expression":
                break
            steps.append((called(node), node))
            node = holder
        kind = called(node)
        if node is None or not kind:
            return None
        arguments = arguments_of(node)
        name = string_of(arguments[0]) if arguments else None
        options, _ = known_entries(arguments[-1]) if arguments else ({}, False)
        maker = self.shared.makers.get(kind, Maker(kind))
        kind = maker.kind
        names = {*maker.steps, *(step for step, _ in steps)}
        values = options.get("enum")
        unique = "unique" in names
        reference = next((step for word, step in steps if word == "references"), None)
        references = _reference(reference) if reference is not None else ()
        return ModelColumn(
            name if name is not None else (_snake(attribute) if self.snake_case else attribute),
            attribute,
            self.source.location(value),
            kind + ("[]" if "array" in names else ""),
            (_number(options.get("length")) or maker.length) if kind not in _VECTORS else None,
            _number(options.get("dimensions")) if kind in _VECTORS else None,
            not ("notNull" in names or "primaryKey" in names),
            "primaryKey" in names,
            unique,
            tuple(text_ for entry in named(values) if (text_ := string_of(entry))) if values is not None else (),
            references,
            "$onUpdate" in names or "$onUpdateFn" in names,
            _on_delete(reference),
        )

    def _extras(self, node: Node, columns: list[ModelColumn], indexes: list[ModelIndex]) -> None:
        """Indexes and keys in the third argument, however it holds them."""
        names = {column.attribute: column.name for column in columns}
        pending = [node]
        while pending:
            current = pending.pop()
            if current.type != "call_expression":
                pending += reversed(current.named_children)
                continue
            top, steps = current, [(called(current), current)]
            while (holder := holder_of(top)) is not None and holder.type == "call_expression":
                top = holder
                steps.append((called(holder), holder))
            kind = called(top)
            on = next((step for word, step in steps if word in ("on", "using", "onOnly")), None)
            if kind in ("index", "uniqueIndex", "unique") and on is not None:
                arguments = arguments_of(on)
                uses = called(on) == "using"
                method = string_of(arguments[0]) if uses and arguments else None
                keys = [_key(argument) for argument in (arguments[1:] if uses else arguments)]
                plain = tuple(names[key] for key in keys if key in names)
                label = string_of(next(iter(arguments_of(top)), None))
                conditional = any(word == "where" for word, _ in steps)
                partial = len(plain) < len(keys) or conditional
                indexes.append(ModelIndex(plain, label, kind != "index", method, partial))
            elif kind == "primaryKey":
                entries = entries_of(next(iter(arguments_of(top)), None)) or {}
                keys = [_key(entry) for entry in named(entries.get("columns"))] or [
                    _key(argument) for argument in arguments_of(top)
                ]
                for position, column in enumerate(columns):
                    if column.attribute in keys:
                        columns[position] = _as_key(column)


def _key(node: Node) -> str:
    """The attribute in `table.email`, also with `.desc()` or `.op()` behind."""
    while node.type == "call_expression" and (holder := holder_of(node)) is not None:
        node = holder
    return text(field(node, "property")) if node.type == "member_expression" else ""


def _as_key(column: ModelColumn) -> ModelColumn:
    return msgspec.structs.replace(column, primary_key=True)


def _reference(call: Node) -> tuple[str, ...]:
    """The variable and attribute in `.references(() => user.id)`: turned into names when all tables are known."""
    arguments = arguments_of(call)
    body = field(arguments[0], "body") if arguments and arguments[0].type == "arrow_function" else None
    if body is None or body.type != "member_expression":
        return ()
    return (text(field(body, "object")), text(field(body, "property")))


def _on_delete(call: Node | None) -> str:
    arguments = arguments_of(call) if call is not None else []
    options, _ = known_entries(arguments[1]) if len(arguments) > 1 else ({}, False)
    return (string_of(options.get("onDelete")) or "").lower()


def _number(node: Node | None) -> int | None:
    return int(text(node)) if node is not None and node.type == "number" and text(node).isdigit() else None


def _snake(name: str) -> str:
    """As Drizzle's own toSnakeCase writes it."""
    words = re.findall(r"[A-Z]{2,}(?=[A-Z][a-z]+[0-9]*|\b)|[A-Z]?[a-z]+[0-9]*|[A-Z]|[0-9]+", name.replace("'", ""))
    return "_".join(word.lower() for word in words)


def relations_of(source: Source) -> dict[str, list[ModelRelation]]:
    """By table variable what `relations(user, ({ one, many }) => ({ ... }))` says of it."""
    found: dict[str, list[ModelRelation]] = {}
    for _, node in source.found(re.compile(rb"\b(relations)\s*\("), frozenset(["identifier"])):
        call = node.parent
        arguments = arguments_of(call) if call is not None and call.type == "call_expression" else []
        body = field(arguments[1], "body") if len(arguments) == 2 else None
        entries, _ = known_entries(body)
        for attribute, value in entries.items():
            targets = arguments_of(value)
            if called(value) not in ("one", "many") or not targets:
                continue
            options, _ = known_entries(targets[1]) if len(targets) > 1 else ({}, False)
            columns = tuple(_key(entry) for entry in named(options.get("fields")))
            references = tuple(_key(entry) for entry in named(options.get("references")))
            found.setdefault(text(arguments[0]), []).append(
                ModelRelation(attribute, text(targets[0]), columns, references, called(value) == "many")
            )
    return found
