"""Calls of Prisma's client that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
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
)
from checks.evidence.repository.orm.script import (
    arguments_of,
    called,
    definition_of,
    is_changed,
    known_entries,
    string_of,
)
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

_METHODS = (
    r"(?:findMany|findFirst|findUnique|create|createMany|createManyAndReturn|update|updateMany|updateManyAndReturn|upsert"
    r"|delete|deleteMany|count|aggregate|groupBy)(?:OrThrow)?"
)
CANDIDATE = re.compile(rf"\.\s*{_METHODS}\s*\(")
_CALLS = re.compile(rf"\.\s*({_METHODS})\s*\(".encode())
_PROPERTY = frozenset(["property_identifier"])
_CLIENT = re.compile(
    r"prisma|^(?:tx|trx|db|client|database|transaction|dbClient|conn|connection|dbRead|dbWrite)$", re.IGNORECASE
)
_EVERYTHING = frozenset([WHERE, ORDER, LIMIT, COLUMNS, JOINS, EXPRESSIONS])
_FILTERS = {"equals": "=", "not": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = frozenset(["contains", "startsWith", "endsWith"])
_ARRAYS = {"has": "@>", "hasEvery": "@>", "hasSome": "&&"}
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression string template_string number true false "
    "shorthand_property_identifier new_expression await_expression array".split()
)
_MAXIMUM_DEPTH = 40


def read_calls(source: Source, models: Models, *, joins_relations: bool) -> list[OrmCall]:
    """`joins_relations`: the schema turns on Prisma's relationJoins, by which an include changes the statement itself."""
    return _Reader(source, models, joins_relations).read()


class _Reader:
    def __init__(self, source: Source, models: Models, joins_relations: bool) -> None:
        self.source = source
        self.models = models
        self.joins_relations = joins_relations
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for _, node in self.source.found(_CALLS, _PROPERTY):
            call = node.parent.parent if node.parent is not None else None
            holder = field(node.parent, "object") if node.parent is not None else None
            if (
                call is None
                or call.type != "call_expression"
                or field(call, "function") != node.parent
                or holder is None
            ):
                continue
            model = self._model(unwrapped(holder))
            if model is not None:
                self._read(text(node).removesuffix("OrThrow"), model, call, node)
        return self.calls

    def _model(self, node: Node) -> Model | None:
        """The model in `prisma.user`."""
        client = field(node, "object") if node.type == "member_expression" else None
        accessor = text(field(node, "property"))
        if client is None or not accessor:
            return None
        client = unwrapped(client)
        name = text(field(client, "property")) if client.type == "member_expression" else text(client)
        if client.type == "call_expression":
            name = called(client)
        if not _CLIENT.search(name):
            return None
        return self.models.find(accessor[0].upper() + accessor[1:], self.source.file.path) or self.models.find(
            accessor, self.source.file.path
        )

    def _read(self, method: str, model: Model, call: Node, name: Node) -> None:
        arguments = arguments_of(call)
        options, whole = known_entries(self._resolved(arguments[0])) if arguments else ({}, True)
        verb = "insert" if method.startswith(("create", "upsert")) else "select"
        verb = "update" if method.startswith("update") else "delete" if method.startswith("delete") else verb
        query = Query(verb, model)
        query.partial |= set() if whole else _EVERYTHING
        if method != "upsert" and "where" in options:
            self._where(query, options["where"])
        if verb == "select":
            self._select(query, method, options)
        elif method == "upsert":
            query.partial.add(COLUMNS)
            self._data(query, options.get("create"))
        elif verb != "delete":
            self._data(query, options.get("data"))
        location = self.source.location(name)
        self.calls.append(query.finish(location, "prisma", function_name(function_around(call))))

    def _resolved(self, node: Node) -> Node:
        """The object that a constant stands for."""
        node = unwrapped(node)
        if node.type in ("identifier", "shorthand_property_identifier"):
            value = definition_of(text(node), node)
            if value is not None and unwrapped(value).type == "object" and not is_changed(text(node), node):
                return unwrapped(value)
        return node

    # Reading

    def _select(self, query: Query, method: str, options: dict[str, Node]) -> None:
        if method in ("findUnique", "findFirst"):
            query.limit = 1
        if "take" in options:
            query.take(text(options["take"]))
            # A negative take sorts the other way round.
            query.partial |= {ORDER} if text(options["take"]).startswith("-") else set()
        query.offset = "skip" in options and text(options["skip"]) != "0"
        if "cursor" in options:
            query.partial.add(WHERE)
        if "distinct" in options:
            query.partial.add(LIMIT)
        if "orderBy" in options:
            self._order(query, options["orderBy"])
        if method == "count":
            query.columns, query.order, query.limit = ["count(*)"], [], None
        elif method in ("aggregate", "groupBy"):
            self._aggregate(query, options)
        else:
            self._columns(query, options)

    def _columns(self, query: Query, options: dict[str, Node]) -> None:
        if "include" in options and self.joins_relations:
            query.partial |= {COLUMNS, JOINS}
        if "omit" in options:
            query.partial.add(COLUMNS)
        if "select" not in options:
            return
        chosen, whole = known_entries(self._resolved(options["select"]))
        query.partial |= set() if whole else {COLUMNS}
        query.columns = []
        for name, flag in chosen.items():
            column = query.column(name)
            if column is not None and text(flag) == "true":
                query.columns.append(column)
            elif text(flag) not in ("false", "undefined"):
                # Prisma adds the keys that it needs to fetch a relation.
                query.partial |= {COLUMNS, JOINS} if self.joins_relations else {COLUMNS}

    def _aggregate(self, query: Query, options: dict[str, Node]) -> None:
        query.columns = []
        by = options.get("by")
        for entry in named(by) if by is not None and by.type == "array" else [by] if by is not None else []:
            column = query.column(string_of(entry) or "")
            if column is None:
                query.partial.add(COLUMNS)
            else:
                query.columns.append(column)
                query.group.append(column)
        for key in ("_count", "_sum", "_avg", "_min", "_max"):
            if key in options:
                fields, _ = known_entries(options[key])
                names = [query.column(name) or "*" for name in fields] or ["*"]
                function = key[1:]
                query.columns += [f"{function}({name})" for name in names if name != "*" or function == "count"]
        query.partial |= {COLUMNS} | ({WHERE} if "having" in options else set())

    def _order(self, query: Query, node: Node) -> None:
        node = unwrapped(node)
        for entry in named(node) if node.type == "array" else [node]:
            keys, whole = known_entries(self._resolved(entry))
            for name, value in keys.items():
                column = query.column(name)
                nested, _ = known_entries(value)
                direction = string_of(unwrapped(nested.get("sort", value)))
                nulls = string_of(nested["nulls"]) if "nulls" in nested else None
                if column is None or direction not in ("asc", "desc"):
                    query.partial.add(ORDER)
                elif ORDER not in query.partial:
                    words = " DESC" if direction == "desc" else ""
                    query.order.append(
                        column + words + (f" NULLS {nulls.upper()}" if nulls in ("first", "last") else "")
                    )
            query.partial |= set() if whole else {ORDER}

    # Conditions

    def _where(self, query: Query, node: Node) -> None:
        found, whole = self._filter(query, self._resolved(node), 0)
        query.where += found
        query.partial |= set() if whole else {WHERE}

    def _filter(self, query: Query, node: Node, depth: int) -> tuple[list[str], bool]:
        """The conditions that are certainly ANDed, and whether that is all of them."""
        entries, whole = known_entries(node)
        found: list[str] = []
        if depth > _MAXIMUM_DEPTH:
            return [], False
        for key, value in entries.items():
            known, all_known = self._entry(query, key, value, depth)
            found += known
            whole &= all_known
        return found, whole

    def _entry(self, query: Query, key: str, value: Node, depth: int) -> tuple[list[str], bool]:
        value = unwrapped(value)
        if text(value) == "undefined":
            return [], True
        if key == "AND":
            parts = [
                self._filter(query, self._resolved(part), depth + 1)
                for part in (named(value) if value.type == "array" else [value])
            ]
            return [entry for found, _ in parts for entry in found], all(whole for _, whole in parts)
        if key in ("OR", "NOT"):
            if value.type != "array" and key == "OR":
                return [], False
            parts = [
                self._filter(query, self._resolved(part), depth + 1)
                for part in (named(value) if value.type == "array" else [value])
            ]
            if not parts or not all(whole and found for found, whole in parts):
                return [], False
            joined = [" AND ".join(found) for found, _ in parts]
            if key == "OR":
                return [f"({' OR '.join(f'({part})' for part in joined)})"], True
            return [f"NOT ({part})" for part in joined], True
        column = query.column(key)
        if column is None:
            return self._compound(query, key, value)
        return self._compared(column, value)

    def _compound(self, query: Query, key: str, value: Node) -> tuple[list[str], bool]:
        """`userId_projectId: { userId, projectId }`; the condition on a relation is not read."""
        entries, whole = known_entries(value)
        related = any(relation.attribute == key for relation in query.model.relations)
        if related or not entries or not whole or any(column_of(query.model, name) is None for name in entries):
            return [], False
        found: list[str] = []
        for name, inner in entries.items():
            known, all_known = self._compared(query.column(name) or "", unwrapped(inner))
            found += known
            whole &= all_known
        return found, whole

    def _compared(self, column: str, value: Node) -> tuple[list[str], bool]:
        if value.type in ("identifier", "shorthand_property_identifier"):
            value = self._resolved(value)
        if text(value) == "null":
            return [f"{column} IS NULL"], True
        if value.type != "object":
            return ([f"{column} = {VALUE}"], True) if _is_value(value) else ([], False)
        entries, whole = known_entries(value)
        ignoring_case = text(entries.get("mode")).strip("\"'") == "insensitive"
        found: list[str] = []
        for name, operand in entries.items():
            condition = _operator(column, name, unwrapped(operand), ignoring_case)
            found += [condition] if condition else []
            whole &= condition is not None
        return found, whole

    # Writing

    def _data(self, query: Query, node: Node | None) -> None:
        if node is None:
            query.partial.add(COLUMNS)
            return
        node = self._resolved(node)
        if called(node) == "map" and arguments_of(node):
            node = unwrapped(field(arguments_of(node)[0], "body") or node)
        if node.type == "array":
            node = unwrapped(named(node)[0]) if len(named(node)) == 1 else node
        entries, whole = known_entries(node)
        query.partial |= set() if whole else {COLUMNS}
        links = {relation.attribute: relation for relation in query.model.relations}
        for key, value in entries.items():
            if text(value) == "undefined":
                continue
            if key in links:
                query.partial.add(COLUMNS)
                query.written |= dict.fromkeys(links[key].columns) if "connect" in known_entries(value)[0] else {}
            else:
                query.write(key)


def _is_value(node: Node) -> bool:
    """Whether it certainly is one value, and not perhaps nothing, which would take the condition away."""
    return node.type in _VALUES and text(node) != "undefined"


def _operator(column: str, name: str, operand: Node, ignoring_case: bool) -> str | None:
    """One operator of a filter; empty if it restricts nothing, None if it cannot be read."""
    if name == "mode" or text(operand) == "undefined":
        return ""
    if text(operand) == "null":
        return {"equals": f"{column} IS NULL", "not": f"{column} IS NOT NULL"}.get(name)
    if not _is_value(operand):
        return None
    if name in ("in", "notIn"):
        return f"{column} {'IN' if name == 'in' else 'NOT IN'} ({VALUE})"
    if name in _PATTERNS or (name == "equals" and ignoring_case):
        return f"{column} {'ILIKE' if ignoring_case else 'LIKE'} {VALUE}"
    if name in _ARRAYS:
        return f"{column} {_ARRAYS[name]} {VALUE}"
    return f"{column} {_FILTERS[name]} {VALUE}" if name in _FILTERS else None
