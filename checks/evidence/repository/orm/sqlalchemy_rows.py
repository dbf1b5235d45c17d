"""Rows that a session of SQLAlchemy gets, adds, changes and deletes."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.query import COLUMNS, JOINS, Query, column_of
from checks.evidence.repository.orm.sqlalchemy_names import Names
from checks.evidence.repository.orm.sqlalchemy_steps import LOADED_APART, filter_by_key
from checks.evidence.repository.orm.syntax import field, function_around, named, text, unwrapped, whole_text

IDENTIFIER = frozenset(["identifier"])


class Rows(Names):
    """Reads what a session is told to do with single rows."""

    def _get(self, call: Node) -> None:
        """`session.get(User, id)`."""
        positional, keywords = arguments_of(call)
        found = self.expressions.model(positional[0]) if len(positional) > 1 else None
        if found is None:
            return
        query = Query("select", *found)
        filter_by_key(query)
        if "with_for_update" in keywords:
            query.suffix = " FOR UPDATE"
        if "options" in keywords and not re.match(r"\W*" + LOADED_APART.pattern, text(keywords["options"])):
            query.partial |= {COLUMNS, JOINS}
        self._finish(query, call)

    def _add(self, call: Node) -> None:
        """`session.add(User(...))`, or of a variable that was made in the same function."""
        positional, _ = arguments_of(call)
        for argument in positional[:1]:
            for entry in self._rows(argument, call):
                made = entry if entry.type == "call" else self._made(text(entry), call)
                function = field(made, "function") if made is not None else None
                found = self.expressions.model(function) if function is not None else None
                if found and made is not None:
                    query = Query("insert", *found)
                    for key in arguments_of(made)[1]:
                        query.write(key)
                    query.partial.add(COLUMNS)
                    self._finish(query, made)
                elif found is None and entry.type == "identifier" and call_name(call) == "add":
                    self._add_again(entry, call)

    def _add_again(self, variable: Node, call: Node) -> None:
        """`session.add(user)` of a row that is there already, which methods of its own have changed."""
        name = text(variable)
        changed = rf"(?<![\w.]){re.escape(name)}\.\w+\s*[-+*|&]?=(?!=)"
        aliases, self.aliases = self.aliases, {}
        asked = rf"^[ \t]+(?:await )?{re.escape(name)}\.\w+\("
        # A row that is handed in may be a new one, unless it is told to do something first.
        known = re.search(asked, whole_text(self.function), re.MULTILINE) is not None
        found = (self.variables.model if known else self.variables.fetched)(name, self.function, call.start_byte)
        self.aliases = aliases
        if found is None or found[0].table != found[1] or re.search(changed, whole_text(self.function)):
            # Its attributes say what is written.
            return
        query = Query("update", *found)
        query.partial.add(COLUMNS)
        filter_by_key(query)
        self._finish(query, call)

    def _rows(self, argument: Node, before: Node) -> list[Node]:
        """What a list has in it, spelled out, made by a comprehension or appended to a variable."""
        if argument.type == "list":
            return named(argument)
        if argument.type == "list_comprehension" and (body := field(argument, "body")) is not None:
            return [body]
        if argument.type != "identifier" or call_name(before) != "add_all" or self.function is None:
            return [argument]
        for node in mentions_of(self.function).get(text(argument), []):
            value = field(node, "right") if node.type == "assignment" else None
            if value is not None and value.type in ("list", "list_comprehension") and named(value):
                return self._rows(value, before)
            appended = node.parent.parent if node.parent is not None and node.type == "identifier" else None
            if call_name(appended) == "append" and node.start_byte < before.start_byte:
                return arguments_of(appended)[0]
        return [argument]

    def _delete(self, call: Node) -> None:
        """`session.delete(user)`."""
        positional, _ = arguments_of(call)
        if len(positional) != 1 or positional[0].type != "identifier":
            return
        self.aliases = {}
        found = self.variables.model(text(positional[0]), self.function, call.start_byte)
        if found is not None and found[0].table == found[1]:
            query = Query("delete", *found)
            filter_by_key(query)
            self._finish(query, call)

    def _made(self, name: str, before: Node) -> Node | None:
        """The constructor call last assigned to the variable before that place."""
        if self.function is None or not name.isidentifier():
            return None
        made = None
        for node in mentions_of(self.function).get(name, []):
            if node.start_byte >= before.start_byte:
                break
            if node.type == "assignment":
                value = field(node, "right")
                made = unwrapped(value) if value is not None else None
        return made if made is not None and made.type == "call" else None

    def _assignments(self) -> None:
        """Attributes set on a row that a parameter or a query brought: an UPDATE of those columns."""
        pattern = re.compile(rb"(?<![\w.])([A-Za-z_]\w*)\.[A-Za-z_]\w*\s*(?:[-+*|&]?=)(?!=)")
        written: dict[tuple[int, str], tuple[Query, Node]] = {}
        for match, node in self.source.found(pattern, IDENTIFIER):
            name = match.group(1).decode()
            target = node.parent
            self.function = function_around(node)
            if name in ("self", "cls") or self.function is None or target is None or target.type != "attribute":
                continue
            statement = target.parent
            if statement is None or field(statement, "left") != target:
                continue
            self.aliases = {}
            found = self._row(name, node)
            column = column_of(found[0], text(field(target, "attribute"))) if found else None
            if found is None or column is None:
                continue
            query, _ = written.setdefault((self.function.start_byte, name), (Query("update", *found), statement))
            query.written[column.name] = None
            block = statement.parent.parent if statement.parent is not None else None
            if block != field(self.function, "body"):
                query.partial.add(COLUMNS)
        for query, statement in written.values():
            self.function = function_around(statement)
            filter_by_key(query)
            self._finish(query, statement)

    def _row(self, name: str, node: Node) -> tuple[Model, str] | None:
        made = self._made(name, node)
        if made is not None and (function := field(made, "function")) and self.expressions.model(function):
            # A new row, whose insert has the attribute.
            return None
        found = self.variables.model(name, self.function, node.start_byte)
        return found if found and found[0].table == found[1] else None
