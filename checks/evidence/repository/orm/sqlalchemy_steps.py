"""What each method of a SQLAlchemy statement adds to it."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import HARMLESS, UNREAD, Step
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    JOINS,
    ORDER,
    VALUE,
    WHERE,
    Query,
    quoted,
    relation,
)
from checks.evidence.repository.orm.syntax import field, named, text

LOADED_APART = re.compile(
    r"(?:selectinload|subqueryload|lazyload|noload|raiseload|contains_eager|immediateload|with_expression)\b"
)


class Steps:
    """`path` is the file's, by which models of the same name are told apart."""

    def __init__(self, expressions: Expressions, models: Models, path: str) -> None:
        self.expressions = expressions
        self.models = models
        self.path = path

    def apply(self, query: Query, steps: list[Step]) -> None:
        for name, call in steps:
            self._step(query, name, call)

    def _step(self, query: Query, name: str, call: Node) -> None:
        positional, keywords = arguments_of(call)
        count = len([entry for entry in named(field(call, "arguments")) if entry.type != "keyword_argument"])
        if name in ("where", "filter"):
            for argument in positional:
                query.filter(self.expressions.condition(argument))
            query.partial |= {WHERE} if count > len(positional) else set()
        elif name == "filter_by":
            unpacked = len(named(field(call, "arguments"))) > len(keywords)
            for key, value in keywords.items():
                column = query.column(key) if not query.joins else None
                known = self.expressions.value(value)
                if column and value.type == "none":
                    query.where.append(f"{column} IS NULL")
                else:
                    query.filter(f"{column} = {known}" if column and known else None)
            query.partial |= {WHERE} if unpacked else set()
        elif name == "order_by":
            for argument in positional:
                written = self.expressions.order(argument)
                if written is None:
                    query.partial.add(ORDER)
                elif ORDER not in query.partial:
                    query.order.append(written)
            query.partial |= {ORDER} if count > len(positional) else set()
        elif name == "limit" and positional:
            query.take(text(positional[0]))
        elif name == "offset" and positional:
            query.offset = text(positional[0]) != "0"
        elif name in ("slice", "paginate"):
            query.limit, query.offset = VALUE, True
        elif name in ("join", "outerjoin"):
            self._join(query, name, positional, keywords)
        elif name in ("join_from", "outerjoin_from"):
            self._join_from(query, positional, keywords)
        elif name == "group_by":
            keys = [self.expressions.scalar(argument) for argument in positional]
            query.group = [key for key in keys if key]
        elif name == "values":
            self._values(query, positional, keywords, call)
        elif name in ("first", "first_or_404"):
            query.limit = query.limit if isinstance(query.limit, int) else 1
        elif name == "count":
            query.columns, query.order = ["count(*)"], []
        elif name in ("delete", "update"):
            query.verb = name
            if name == "update" and positional:
                self._values(query, positional, {}, call)
        elif name in ("get", "get_or_404"):
            filter_by_key(query)
        elif name == "with_for_update":
            query.suffix = " FOR UPDATE SKIP LOCKED" if text(keywords.get("skip_locked")) == "True" else " FOR UPDATE"
        elif name == "options":
            for argument in positional:
                if call_name(argument) == "load_only":
                    self._loaded_only(query, arguments_of(argument)[0])
                else:
                    query.partial |= set() if LOADED_APART.match(text(argument)) else {COLUMNS, JOINS}
        elif name == "on_conflict_do_nothing":
            query.suffix = " ON CONFLICT DO NOTHING"
        elif name == "with_only_columns" and positional and not query.group:
            only = [self.expressions.scalar(argument) for argument in positional]
            query.columns = [expression for expression in only if expression]
            query.partial |= set() if all(only) else UNREAD[name]
        elif name == "distinct" and not positional:
            pass
        elif name.startswith("on_conflict") or name == "select_from":
            query.partial |= {COLUMNS} if name.startswith("on_conflict") else set()
        elif name not in HARMLESS and name != "get_children":
            query.partial |= UNREAD.get(name, EVERYTHING)

    def _loaded_only(self, query: Query, columns: list[Node]) -> None:
        keys = [column for column in query.model.columns if column.primary_key]
        known = [self.expressions.column(column) for column in columns]
        written = [f"{quoted(query.alias)}.{quoted(key.name)}" for key in keys] + [column for column in known if column]
        whole = len(query.columns or ()) == len(query.model.columns) and all(known) and not query.joins
        query.columns = list(dict.fromkeys(written)) if whole else query.columns
        query.partial |= set() if whole else {COLUMNS}

    def _join(self, query: Query, name: str, positional: list[Node], keywords: dict[str, Node]) -> None:
        outer = name == "outerjoin" or text(keywords.get("isouter")) == "True"
        word = "LEFT JOIN" if outer else "JOIN"
        target = self.expressions.model(positional[0]) if positional else None
        condition: str | None = None
        if target is None and positional and positional[0].type == "attribute":
            holder = field(positional[0], "object")
            held = self.expressions.model(holder) if holder is not None else None
            attribute = text(field(positional[0], "attribute"))
            link = next((link for link in held[0].relations if link.attribute == attribute), None) if held else None
            model = self.models.find(link.target, self.path) if link else None
            target = (model, model.table) if model else None
        if target is None or target[1] in query.tables_named():
            query.partial |= {JOINS, WHERE}
            return
        onclause = positional[1] if len(positional) > 1 else keywords.get("onclause")
        if onclause is not None:
            condition = self.expressions.condition(onclause)
        else:
            condition = _by_foreign_key((query.model, query.alias), target) or next(
                (found for known in query.joined if (found := _by_foreign_key(known, target)) is not None), None
            )
        query.partial |= {JOINS} if condition is None else set()
        query.joined.append(target)
        query.joins.append(f"{word} {relation(target[0])} AS {quoted(target[1])} ON {condition or 'true'}")

    def _join_from(self, query: Query, positional: list[Node], keywords: dict[str, Node]) -> None:
        """`join_from(left, right, onclause)`: of the two the one that the query has not yet is joined."""
        sides = [(side, self.expressions.model(side)) for side in positional[:2]]
        new = [side for side, found in sides if found and found[1] not in query.tables_named()]
        if len(new) == 1 and all(found for _, found in sides):
            self._join(query, "join", [*new, *positional[2:3]], keywords)
        else:
            query.partial |= {JOINS, WHERE}

    def _values(self, query: Query, positional: list[Node], keywords: dict[str, Node], call: Node) -> None:
        for key in keywords:
            query.write(key)
        whole = len(named(field(call, "arguments"))) == len(keywords) + len(positional)
        for argument in positional:
            if call_name(argument) == "dict":
                given = arguments_of(argument)[1]
                whole &= len(given) == len(named(field(argument, "arguments")))
                for key in given:
                    query.write(key)
                continue
            entries = named(argument) if argument.type == "dictionary" else []
            whole &= argument.type == "dictionary"
            for pair in entries:
                target = field(pair, "key") if pair.type == "pair" else None
                name = string_of(target)
                if target is not None and target.type == "attribute":
                    name = text(field(target, "attribute"))
                if name is None:
                    whole = False
                elif column := next(
                    (column for column in query.model.columns if name in (column.attribute, column.name)), None
                ):
                    query.written[column.name] = None
        query.partial |= set() if whole else {COLUMNS}


def filter_by_key(query: Query) -> None:
    keys = [column for column in query.model.columns if column.primary_key]
    if keys:
        query.where += [f"{quoted(query.alias)}.{quoted(column.name)} = {VALUE}" for column in keys]
    else:
        query.partial.add(WHERE)


def _by_foreign_key(one: tuple[Model, str], other: tuple[Model, str]) -> str | None:
    """The condition of a join that the models' only foreign key between them gives."""
    found = []
    for (child, child_alias), (parent, parent_alias) in ((one, other), (other, one)):
        for column in child.columns:
            if column.references[-2:-1] == (parent.table,):
                target = f"{quoted(parent_alias)}.{quoted(column.references[-1])}"
                found.append(f"{quoted(child_alias)}.{quoted(column.name)} = {target}")
    return found[0] if len(found) == 1 else None
