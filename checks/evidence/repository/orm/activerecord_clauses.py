"""What the methods of an ActiveRecord relation select, sort, join and write."""

from __future__ import annotations

import re
from typing import Protocol

from tree_sitter import Node

from checks.evidence.repository.orm import fragments
from checks.evidence.repository.orm.activerecord import Entry
from checks.evidence.repository.orm.query import COLUMNS, EXPRESSIONS, JOINS, ORDER, Query, column_of, quoted, relation
from checks.evidence.repository.orm.ruby import entries_of, name_of, string_of
from checks.evidence.repository.orm.syntax import field, named, text

AGGREGATES = {"sum": "sum", "minimum": "min", "maximum": "max", "average": "avg"}


class Lookup(Protocol):
    def find(self, name: str, scope: str = "") -> Entry | None: ...


class Clauses:
    """Adds to one query of the class `entry`."""

    def __init__(self, query: Query, entry: Entry, classes: Lookup, depth: int = 0) -> None:
        self.depth = depth
        self.query = query
        self.entry = entry
        self.classes = classes

    def _keys(self) -> list[str]:
        return [column.name for column in self.query.model.columns if column.primary_key]

    def _first(self, way: int, arguments: list[Node]) -> None:
        query = self.query
        if not query.order and ORDER not in query.partial:
            query.order = [column + " DESC" * (way < 0) for key in self._keys() if (column := query.column(key))]
        elif way < 0:
            query.partial.add(ORDER)
        query.limit = 1
        if arguments:
            query.take(text(arguments[0]))

    def _columns(self, arguments: list[Node]) -> None:
        query = self.query
        found: list[str] = []
        for argument in arguments:
            for entry in named(argument) if argument.type == "array" else [argument]:
                name = name_of(entry)
                column = query.column(name) if name is not None else None
                read = [column] if column else fragments.columns(name) if name is not None and "." in name else None
                if read is None or (entry.type == "string" and column is None and "." not in text(entry)):
                    query.partial |= {COLUMNS, EXPRESSIONS}
                else:
                    found += read
        if arguments:
            query.columns = found or query.columns

    def _aggregate(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        attribute = name_of(arguments[0]) if arguments else None
        column = query.column(attribute) if attribute is not None else None
        function = AGGREGATES.get(name, "count")
        if arguments and column is None:
            query.partial |= {COLUMNS, EXPRESSIONS}
        query.columns = [f"{function}({column or '*'})"]
        query.order = []

    def _order(self, name: str, call: Node, arguments: list[Node]) -> None:
        query = self.query
        keys: list[str] | None = []
        for argument in arguments:
            attribute = name_of(argument)
            column = query.column(attribute) if attribute is not None else None
            read = (
                [column]
                if column
                else fragments.order_keys(attribute)
                if argument.type == "string" and attribute
                else None
            )
            keys = None if keys is None or read is None else [*keys, *read]
        entries, whole = entries_of(call)
        for attribute, value in entries.items():
            column = query.column(attribute)
            way = text(value).strip(":\"'").lower()
            keys = (
                None
                if keys is None or column is None or way not in ("asc", "desc")
                else [*keys, column + " DESC" * (way == "desc")]
            )
        if keys is None or not whole or not (keys or entries):
            query.partial.add(ORDER)
        query.order = [*([] if name == "reorder" else query.order), *(keys or [])]

    def _join(self, word: str, call: Node, arguments: list[Node]) -> None:
        query = self.query
        entries, _ = entries_of(call)
        if entries:
            query.partial.add(JOINS)
        for argument in arguments:
            code = string_of(argument)
            clause = fragments.join(code) if code is not None else self._joined(word, name_of(argument))
            query.joins += [clause] if clause else []
            query.partial |= set() if clause else {JOINS}

    def _joined(self, word: str, attribute: str | None) -> str | None:
        model = self.query.model
        link = next((link for link in model.relations if link.attribute == attribute), None)
        target = self.classes.find(link.target, model.name) if link is not None else None
        if link is None or target is None or target.inherits or target.declaration.has_default_scope:
            return None
        if link.attribute in self.entry.declaration.scoped:
            return None
        other = target.model
        if other.table == model.table:
            return None
        keys = [column.name for column in other.columns if column.primary_key]
        own = self._keys()
        if len(link.columns) == 1 and len(keys) == 1:
            pair = f"{quoted(other.table)}.{quoted(keys[0])} = {quoted(model.table)}.{quoted(link.columns[0])}"
        elif len(link.references) == 1 and len(own) == 1:
            pair = f"{quoted(other.table)}.{quoted(link.references[0])} = {quoted(model.table)}.{quoted(own[0])}"
        else:
            return None
        return f"{word} {relation(other)} ON {pair}"

    def _write(self, name: str, call: Node, arguments: list[Node]) -> None:
        query = self.query
        if name in ("destroy_all", "touch_all", "update_counters") or query.verb not in ("insert", "update"):
            return
        entries, whole = entries_of(call)
        rows = [
            entry for argument in arguments for entry in (named(argument) if argument.type == "array" else [argument])
        ]
        if rows and not entries:
            code = string_of(rows[0])
            if code is not None and query.verb == "update":
                for match in re.finditer(r"(?:^|,)\s*\"?(\w+)\"?\s*=", code):
                    query.write(match.group(1))
                whole = False
            else:
                entries, whole = entries_of(rows[0]) if rows[0].type == "hash" else ({}, False)
        for key in entries:
            link = next(
                (link for link in query.model.relations if link.attribute == key and len(link.columns) == 1), None
            )
            query.write(link.columns[0] if link is not None and column_of(query.model, key) is None else key)
        if (block := field(call, "block")) is not None and name.startswith("create"):
            # `create do |post| post.title = title end`
            parameter = text(field(block, "parameters")).strip("|() ")
            if parameter.isidentifier():
                for attribute in re.findall(rf"(?<![\w.@]){parameter}\.(\w+)\s*=(?![=~>])", text(block)):
                    query.write(attribute)
        if not whole or name.startswith(("create", "insert", "upsert")):
            query.partial.add(COLUMNS)
