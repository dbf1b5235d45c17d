"""Calls of Sequelize's models that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    ORDER,
    VALUE,
    WHERE,
    Query,
    quoted,
)
from checks.evidence.repository.orm.script import (
    Imports,
    arguments_of,
    call_of,
    called,
    definition_of,
    holder_of,
    known_entries,
    resolved,
    string_of,
)
from checks.evidence.repository.orm.script_chains import value_before
from checks.evidence.repository.orm.sequelize import Built
from checks.evidence.repository.orm.sequelize_where import add_where
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

_METHODS = (
    r"findAll|findOne|findByPk|findAndCountAll|findOrCreate|count|max|min|sum|create|bulkCreate|update|destroy|upsert|increment"
    r"|decrement|restore|save"
)
CANDIDATE = re.compile(rf"\.\s*(?:{_METHODS})\s*(?:<[^()]*>)?\(")
_CALLS = re.compile(rf"\.\s*({_METHODS})\s*(?:<[^()]*>)?\(".encode())
_PROPERTY = frozenset(["property_identifier"])
_OF_INSTANCES = frozenset(["update", "destroy", "save", "increment", "decrement", "restore"])
_MAXIMUM_SCOPES = 8
_FINDS = re.compile(r"find(?:One|ByPk|OrCreate)|create|build")
_HARMLESS = frozenset(
    "transaction raw nest logging benchmark hooks individualHooks returning validate plain rejectOnEmpty distinct userId silent "
    "useMaster ignoreDuplicates subQuery context searchPath searchable paranoid force lock skipLocked where attributes include "
    "order limit offset group having indexHints col dataType by".split()
)


def read_calls(source: Source, models: Models, built: Built) -> list[OrmCall]:
    return _Reader(source, models, built).read()


class _Reader:
    def __init__(self, source: Source, models: Models, built: Built) -> None:
        self.source = source
        self.models = models
        self.built = built
        self.imports = Imports(source.file.text)
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _PROPERTY):
            found_call = call_of(node)
            if found_call is None:
                continue
            call = found_call[0]
            holder = holder_of(call)
            method = match.group(1).decode()
            found = self._model(unwrapped(holder)) if holder is not None else None
            query = None
            if found is not None and method != "save":
                query = self._static(method, found[0], arguments_of(call), scope=found[1])
            elif method in _OF_INSTANCES and holder is not None:
                query = self._of_instance(method, unwrapped(holder), arguments_of(call))
            if query is not None:
                function = function_name(function_around(call))
                self.calls.append(query.finish(self.source.location(node), "sequelize", function))
        return self.calls

    def _named(self, name: str) -> Model | None:
        return (
            self.models.find(self.imports.names.get(name, name), self.source.file.path) if name[:1].isupper() else None
        )

    def _model(self, node: Node, depth: int = 0) -> tuple[Model, str] | None:
        """The model that a method is called on, and its scope: default, none, or one that is not known."""
        if node.type == "identifier":
            model = self._named(text(node))
            return (model, "default") if model else None
        if node.type == "this":
            model = self._named(_static_class_around(node))
            return (model, "default") if model else None
        if node.type == "member_expression":
            model = self._named(text(field(node, "property")))
            return (model, "default") if model else None
        holder = holder_of(node) if node.type == "call_expression" else None
        if holder is None or depth > _MAXIMUM_SCOPES:
            return None
        name = called(node)
        inner = self._model(unwrapped(holder), depth + 1)
        if inner is None or not (name in ("unscoped", "schema", "scope") or re.search(r"[sS]cope", name)):
            return None
        return inner[0], "none" if name == "unscoped" else inner[1] if name == "schema" else "unknown"

    def _of_instance(self, method: str, holder: Node, arguments: list[Node]) -> Query | None:
        """`user.update({...})` of a row that the function found or made."""
        value: Node | None = value_before(text(holder), holder) if holder.type == "identifier" else None
        for _ in range(3):
            if value is not None and value.type in ("identifier",):
                value = value_before(text(value), value)
        if value is None:
            return None
        if value.type == "new_expression":
            model = self._named(text(field(value, "constructor")))
            return self._inserted(model, None) if model is not None and method == "save" else None
        inner = holder_of(value) if value.type == "call_expression" else None
        word = called(value)
        found = self._model(unwrapped(inner)) if inner is not None and _FINDS.fullmatch(word) else None
        if found is None:
            return None
        model = found[0]
        if word == "build":
            return self._inserted(model, None) if method == "save" else None
        return self._changed(method, model, arguments)

    def _inserted(self, model: Model, node: Node | None) -> Query:
        query = Query("insert", model)
        self._data(query, node)
        for column in model.columns:
            if column.attribute in ("createdAt", "updatedAt"):
                query.write(column.attribute)
        return query

    def _changed(self, method: str, model: Model, arguments: list[Node]) -> Query:
        """What an instance's method does to its row."""
        options = known_entries(resolved(arguments[0]))[0] if arguments else {}
        deleted = self.built.deleted.get(model.name)
        forced = "force" in options and text(options["force"]) == "true"
        query = Query("delete" if method == "destroy" and (forced or deleted is None) else "update", model)
        keys = [column for column in model.columns if column.primary_key]
        if len(keys) == 1:
            query.where.append(f"{quoted(query.alias)}.{quoted(keys[0].name)} = {VALUE}")
        else:
            query.partial.add(WHERE)
        if method == "update":
            self._data(query, arguments[0] if arguments else None)
        elif method in ("destroy", "restore") and query.verb == "update":
            query.write(deleted or "")
        elif query.verb == "update":
            query.partial.add(COLUMNS)
        return query

    # Calls of the model itself

    def _static(self, method: str, model: Model, arguments: list[Node], *, scope: str) -> Query | None:
        if method in ("create", "bulkCreate", "upsert"):
            query = self._inserted(model, arguments[0] if arguments else None)
            query.partial |= {COLUMNS} if method == "upsert" else set()
            return query
        if method in ("update", "destroy", "increment", "decrement", "restore"):
            query = self._written(method, model, arguments)
            query.partial |= {WHERE} if scope != "none" and model.name in self.built.scoped else set()
            return query
        query = Query("select", model)
        position = 1 if method in ("findByPk", "max", "min", "sum") else 0
        options = resolved(arguments[position]) if len(arguments) > position else None
        entries = self._options(query, options)
        if method == "findByPk":
            keys = [column for column in model.columns if column.primary_key]
            query.where += [f"{quoted(query.alias)}.{quoted(keys[0].name)} = {VALUE}"] if len(keys) == 1 else []
            query.partial |= set() if len(keys) == 1 else {WHERE}
        elif method in ("max", "min", "sum"):
            column = query.column(string_of(arguments[0]) or "") if arguments else None
            query.columns = [f"{method}({column})"] if column else []
            query.partial |= set() if column else {COLUMNS, EXPRESSIONS}
        elif method == "count":
            query.columns, query.order = ["count(*)"], []
        elif method in ("findOne", "findOrCreate") and not self._is_unique(model, entries):
            query.limit = 1
        self._leave_out_deleted(query, entries)
        if scope == "unknown" or (scope == "default" and model.name in self.built.scoped):
            query.partial |= {WHERE, COLUMNS, JOINS, ORDER}
        return query

    def _is_unique(self, model: Model, entries: dict[str, Node]) -> bool:
        """Whether the condition is by a key alone: then Sequelize adds no LIMIT."""
        where, _ = known_entries(resolved(entries["where"])) if "where" in entries else ({}, False)
        unique = {column.attribute for column in model.columns if column.primary_key or column.unique}
        return any(key in unique and unwrapped(value).type != "object" for key, value in where.items())

    def _leave_out_deleted(self, query: Query, entries: dict[str, Node]) -> None:
        attribute = self.built.deleted.get(query.model.name)
        column = query.column(attribute) if attribute else None
        if column is None:
            return
        if "paranoid" not in entries:
            if not any(part.startswith(f"{column} IS") for part in query.where):
                query.where.append(f"{column} IS NULL")
        elif text(entries["paranoid"]) != "false":
            query.partial.add(WHERE)

    def _written(self, method: str, model: Model, arguments: list[Node]) -> Query:
        position = 0 if method in ("destroy", "restore") else 1
        entries, whole = known_entries(resolved(arguments[position])) if len(arguments) > position else ({}, False)
        deleted = self.built.deleted.get(model.name)
        forced = "force" in entries and text(entries["force"]) != "false"
        query = Query("delete" if method == "destroy" and (forced or deleted is None) else "update", model)
        if "where" in entries:
            add_where(query, entries["where"])
        query.partial |= set() if whole else {WHERE}
        if method in ("destroy", "restore"):
            if query.verb == "update":
                query.write(deleted or "")
                query.sets_on_update = False
        elif method == "update":
            self._data(query, arguments[0] if arguments else None)
        else:
            given = string_of(arguments[0]) if arguments else None
            query.write(given or "")
        if method != "restore" and query.verb == "update":
            self._leave_out_deleted(query, entries)
        return query

    def _data(self, query: Query, node: Node | None) -> None:
        if node is None:
            query.partial.add(COLUMNS)
            return
        node = resolved(node)
        if called(node) == "map" and arguments_of(node):
            node = unwrapped(field(arguments_of(node)[0], "body") or node)
        if node.type == "array":
            node = unwrapped(named(node)[0]) if len(named(node)) == 1 else node
        entries, whole = known_entries(node)
        query.partial |= set() if whole else {COLUMNS}
        for key in entries:
            query.write(key)

    # Options

    def _options(self, query: Query, node: Node | None) -> dict[str, Node]:
        if node is None:
            return {}
        entries, whole = known_entries(node)
        query.partial |= set() if whole else EVERYTHING
        for key, value in entries.items():
            if key == "where":
                add_where(query, value)
            elif key == "limit":
                query.take(text(value))
            elif key == "offset":
                query.offset = text(value) != "0"
            elif key == "order":
                self._order(query, resolved(value))
            elif key == "attributes":
                self._columns(query, resolved(value))
            elif key == "include":
                self._include(query, resolved(value))
            elif key == "group":
                query.partial |= {EXPRESSIONS, COLUMNS}
            elif key == "having":
                query.partial.add(WHERE)
            elif key == "lock" and text(value) != "false":
                query.suffix = " FOR UPDATE" + (" SKIP LOCKED" if "skipLocked" in entries else "")
            elif key not in _HARMLESS:
                query.partial |= set() if definition_of(key, value) is None and key.islower() else {WHERE}
        return entries

    def _order(self, query: Query, node: Node) -> None:
        entries = named(node) if node.type == "array" else [node]
        if node.type == "array" and entries and all(entry.type == "string" for entry in entries) and len(entries) == 2:
            second = (string_of(entries[1]) or "").upper()
            entries = [node] if second in ("ASC", "DESC") else entries
        for entry in entries:
            parts = named(entry) if entry.type == "array" else [entry]
            column = query.column(string_of(parts[0]) or "") if parts else None
            word = (string_of(parts[1]) or "").upper() if len(parts) == 2 else "ASC" if len(parts) == 1 else ""
            match = re.fullmatch(r"(ASC|DESC)( NULLS (?:FIRST|LAST))?", word)
            if column is None or match is None:
                query.partial.add(ORDER)
            elif ORDER not in query.partial:
                query.order.append(column + (" DESC" if match.group(1) == "DESC" else "") + (match.group(2) or ""))

    def _columns(self, query: Query, node: Node) -> None:
        if node.type != "array":
            excluded = named(known_entries(node)[0].get("exclude"))
            names = {string_of(entry) for entry in excluded}
            known = not known_entries(node)[0].keys() - {"exclude"} and None not in names
            kept = [column for column in query.model.columns if column.attribute not in names]
            query.columns = [f"{quoted(query.alias)}.{quoted(column.name)}" for column in kept]
            query.partial |= set() if known else {COLUMNS, EXPRESSIONS}
            return
        query.columns = []
        for entry in named(node):
            name = string_of(entry) or (string_of(named(entry)[0]) if entry.type == "array" and named(entry) else None)
            column = query.column(name) if name else None
            query.columns += [column] if column else []
            query.partial |= set() if column else {COLUMNS, EXPRESSIONS}

    def _include(self, query: Query, node: Node) -> None:
        query.partial.add(COLUMNS)
        for entry in named(node) if node.type == "array" else [node]:
            if not self._join(query, resolved(entry)):
                query.partial |= {JOINS, WHERE}
        if query.limit is not None:
            query.partial.add(JOINS)

    def _join(self, query: Query, node: Node) -> bool:
        """A join with the table that this one refers to; whether that is all that the entry asks for."""
        entries, whole = known_entries(node) if node.type == "object" else ({}, True)
        if "model" in entries:
            name = text(unwrapped(entries["model"])).rpartition(".")[2]
        else:
            name = text(node).rpartition(".")[2] if node.type in ("identifier", "member_expression") else ""
        alias = string_of(entries["as"]) if "as" in entries else None
        alias = alias or (string_of(entries["association"]) if "association" in entries else string_of(node))
        target_name = self.imports.names.get(name, name)
        found = [
            relation for relation in query.model.relations
            if (relation.attribute == alias if alias else relation.target == target_name)
        ]  # fmt: skip
        target = self.models.find(found[0].target, self.source.file.path) if len(found) == 1 else None
        if target is None or not found[0].columns:
            return False
        key = next((column.name for column in target.columns if column.primary_key), "id")
        label = found[0].attribute
        on = f"{quoted(query.alias)}.{quoted(found[0].columns[0])} = {quoted(label)}.{quoted(key)}"
        inner = "where" in entries or ("required" in entries and text(entries["required"]) == "true")
        table = f"{quoted(target.schema)}.{quoted(target.table)}" if target.schema else quoted(target.table)
        query.joins.append(f"{'JOIN' if inner else 'LEFT JOIN'} {table} AS {quoted(label)} ON {on}")
        deleted = self.built.deleted.get(target.name)
        column = next((entry.name for entry in target.columns if entry.attribute == deleted), None)
        if column is not None:
            query.joins[-1] += f" AND {quoted(label)}.{quoted(column)} IS NULL"
        plain = whole and not entries.keys() - {"model", "as", "association", "attributes", "required"}
        return plain and target.name not in self.built.scoped


def _static_class_around(node: Node) -> str:
    """The class whose static method the node stands in."""
    current: Node | None = node
    while current is not None and current.type != "method_definition":
        current = current.parent
    if current is None or not any(text(child) == "static" for child in current.children):
        return ""
    while current is not None and current.type not in ("class_declaration", "class", "abstract_class_declaration"):
        current = current.parent
    return text(field(current, "name")) if current is not None else ""
