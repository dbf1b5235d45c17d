"""Calls of Prisma's client that send a statement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.prisma_constants import Constants
from checks.evidence.repository.orm.prisma_where import Conditions, link_of
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
)
from checks.evidence.repository.orm.script import arguments_of, called, string_of
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
_WITHOUT_ROWS = frozenset(["count", "aggregate", "groupBy", "createMany", "updateMany", "deleteMany"])
_MAXIMUM_STATEMENTS = 40
_MAXIMUM_DEPTH = 10


def read_calls(source: Source, models: Models, *, joins_relations: bool, exported: Mapping[str, str]) -> list[OrmCall]:
    """`joins_relations`: the schema turns on Prisma's relationJoins, by which an include changes the statement itself.
    `exported`: see read_constants()."""
    return _Reader(source, models, joins_relations, exported).read()


class _Reader:
    def __init__(self, source: Source, models: Models, joins_relations: bool, exported: Mapping[str, str]) -> None:
        self.source = source
        self.models = models
        self.joins_relations = joins_relations
        self.constants = Constants(exported, source)
        self.conditions = Conditions(models, source.file.path, self.constants)
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
        options, whole = self.constants.entries(self.constants.resolved(arguments[0])) if arguments else ({}, True)
        verb = "insert" if method.startswith(("create", "upsert")) else "select"
        verb = "update" if method.startswith("update") else "delete" if method.startswith("delete") else verb
        query = Query(verb, model)
        query.partial |= set() if whole else EVERYTHING
        if "where" in options and method != "upsert":
            self._where(query, options["where"])
        if verb == "select":
            self._select(query, method, options)
        elif method == "upsert":
            self._data(query, options.get("create"))
        elif verb != "delete":
            self._data(query, options.get("data"))
        if verb == "update" and not query.written and not query.partial:
            # Nothing of the row itself changes: Prisma reads it, and writes the rows of its relations.
            where, query = query.where, Query("select", model)
            query.where, query.limit = where, 1
            query.partial.add(COLUMNS)
        sent = [query] if method != "upsert" else [*self._upserted(query, options), query]
        if verb in ("insert", "update"):
            sent += self._linked(model, options.get("create" if method == "upsert" else "data"), 0)
        if method not in _WITHOUT_ROWS and not self.joins_relations:
            sent += self._related(model, options, 0)
        location, function = self.source.location(name), function_name(function_around(call))
        self.calls += [one.finish(location, "prisma", function) for one in sent[:_MAXIMUM_STATEMENTS]]

    def _upserted(self, insert: Query, options: dict[str, Node]) -> list[Query]:
        """What an upsert sends besides its INSERT: nothing where Prisma has the database do it, by ON CONFLICT; else it looks for
        the row first, and updates the one it found.

        Source: Prisma's reference, "Database upserts"
        """
        model = insert.model
        created, changed = (
            self.constants.entries(self._row(options[word]))[0] if word in options else {}
            for word in ("create", "update")
        )
        keys, _ = (
            self.constants.entries(self.constants.resolved(options["where"])) if "where" in options else ({}, True)
        )
        # With further columns beside the unique one, Prisma looks for the row itself.
        one_key = len(keys) == 1
        if one_key:
            compound, _ = self.constants.entries(next(iter(keys.values())))
            keys = compound or keys
        related = {entry.attribute for entry in model.relations}
        update = Query("update", model)
        self._data(update, options.get("update"))
        update.sets_on_update = bool(update.written or update.partial)
        chosen = {*self.constants.entries(options.get("select"))[0], *self.constants.entries(options.get("include"))[0]}
        same = all(name in created and text(created[name]) == text(value) for name, value in keys.items())
        columns = [column.name for name in keys if (column := column_of(model, name)) is not None]
        if one_key and same and len(columns) == len(keys) and related.isdisjoint({*created, *changed, *chosen}):
            names = ", ".join(quoted(name) for name in columns)
            written = ", ".join(f"{quoted(name)} = {VALUE}" for name in update.assigned())
            insert.suffix = f" ON CONFLICT ({names}) DO " + (f"UPDATE SET {written}" if written else "NOTHING")
            insert.partial |= update.partial
            return []
        found = Query("select", model)
        found.limit = 1
        found.partial.add(COLUMNS)
        for query in (found, update):
            if "where" in options:
                self._where(query, options["where"])
        return [found, update] if update.written or update.partial - {WHERE} else [found]

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
        chosen, whole = self.constants.entries(self.constants.resolved(options["select"]))
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
                fields, _ = self.constants.entries(options[key])
                names = [query.column(name) or "*" for name in fields] or ["*"]
                function = key[1:]
                query.columns += [f"{function}({name})" for name in names if name != "*" or function == "count"]
        query.partial |= {COLUMNS} | ({WHERE} if "having" in options else set())

    def _order(self, query: Query, node: Node) -> None:
        node = unwrapped(node)
        for entry in named(node) if node.type == "array" else [node]:
            keys, whole = self.constants.entries(self.constants.resolved(entry))
            for name, value in keys.items():
                column = query.column(name)
                nested, _ = self.constants.entries(value)
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

    def _where(self, query: Query, node: Node) -> None:
        found, whole = self.conditions.read(query, self.constants.resolved(node))
        query.where += found
        query.partial |= set() if whole else {WHERE}

    # Relations

    def _related(self, model: Model, options: dict[str, Node], depth: int) -> Iterator[Query]:
        """The statements by which Prisma reads the relations that `include` and `select` name, one for each."""
        for word in ("include", "select"):
            chosen, _ = (
                self.constants.entries(self.constants.resolved(options[word])) if word in options else ({}, True)
            )
            for name, value in chosen.items():
                link = link_of(self.models, self.source.file.path, model, name)
                if link is None or text(value) in ("false", "undefined") or depth > _MAXIMUM_DEPTH:
                    continue
                inner, whole = self.constants.entries(self.constants.resolved(value))
                query = Query("select", link.target)
                query.where = [f"{quoted(query.alias)}.{quoted(name)} IN ({VALUE})" for name in link.theirs]
                query.partial |= set() if whole or text(value) == "true" else EVERYTHING
                if "where" in inner:
                    self._where(query, inner["where"])
                if "orderBy" in inner:
                    self._order(query, inner["orderBy"])
                query.partial |= {LIMIT} if {"take", "skip", "cursor"} & inner.keys() else set()
                self._columns(query, inner)
                if query.columns is not None:
                    query.columns += [
                        column
                        for name in link.theirs
                        if (column := f"{quoted(query.alias)}.{quoted(name)}") not in query.columns
                    ]
                yield query
                yield from self._related(link.target, inner, depth + 1)

    def _linked(self, model: Model, node: Node | None, depth: int) -> Iterator[Query]:
        """What `data` has done to rows of relations: created with the row, or connected with it and no longer."""
        entries, _ = self.constants.entries(self._row(node)) if node is not None else ({}, True)
        for name, value in entries.items():
            link = link_of(self.models, self.source.file.path, model, name)
            orders, _ = self.constants.entries(value)
            if link is None or depth > _MAXIMUM_DEPTH:
                continue
            created = orders.get("create") or orders.get("createMany")
            if created is not None:
                if "createMany" in orders:
                    created = self.constants.entries(created)[0].get("data", created)
                query = Query("insert", link.target)
                if link.many:
                    query.written = dict.fromkeys(link.theirs)
                self._data(query, created)
                yield query
                yield from self._linked(link.target, created, depth + 1)
            if link.many and (moved := orders.get("connect") or orders.get("disconnect")) is not None:
                query = Query("update", link.target)
                query.written, query.sets_on_update = dict.fromkeys(link.theirs), False
                self._where(query, self._row(moved))
                yield query

    # Writing

    def _data(self, query: Query, node: Node | None) -> None:
        if node is None:
            query.partial.add(COLUMNS)
            return
        row = self._row(node)
        if row.type == "ternary_expression":
            sides = [side for word in ("consequence", "alternative") if (side := field(row, word)) is not None]
            (one, all_one), (other, all_other) = (self.constants.entries(self._row(side)) for side in sides)
            entries, whole = (
                {key: one[key] for key in one if key in other},
                all_one and all_other and one.keys() == other.keys(),
            )
        else:
            entries, whole = self.constants.entries(row)
        query.partial |= set() if whole else {COLUMNS}
        links = {relation.attribute: relation for relation in query.model.relations}
        for key, value in entries.items():
            if text(value) == "undefined":
                continue
            if key in links:
                # A key on the other side is written there.
                known = {"connect", "create", "disconnect", "connectOrCreate"} & self.constants.entries(value)[0].keys()
                query.partial |= set() if known or links[key].many else {COLUMNS}
                query.written |= dict.fromkeys(links[key].columns) if known else {}
            else:
                query.write(key)

    def _row(self, node: Node) -> Node:
        """The object that `data` stands for, also of each row."""
        node = self.constants.resolved(node)
        if called(node) == "map" and arguments_of(node):
            node = unwrapped(field(arguments_of(node)[0], "body") or node)
        if node.type == "array":
            node = unwrapped(named(node)[0]) if len(named(node)) == 1 else node
        return node
