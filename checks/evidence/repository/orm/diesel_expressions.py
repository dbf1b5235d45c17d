"""Names and expressions of Diesel's query builder, as SQL."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import VALUE, Query, column_of, quoted, relation
from checks.evidence.repository.orm.syntax import Source, field, function_around, named, text

_COMPARED = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "like": "LIKE", "ilike": "ILIKE",
             "not_like": "NOT LIKE", "not_ilike": "NOT ILIKE", "contains": "@>", "is_contained_by": "<@", "overlaps_with": "&&",
             "is_distinct_from": "IS DISTINCT FROM", "is_not_distinct_from": "IS NOT DISTINCT FROM", "has_key": "?"}  # fmt: skip
_TRANSPARENT = frozenset(["nullable", "assume_not_null", "into_sql", "is_true"])
_FUNCTIONS = frozenset("lower upper coalesce count sum max min avg count_star length date".split())
_PASSED_ON = frozenset(["reference_expression", "parenthesized_expression", "try_expression", "await_expression"])
_USE_AS = re.compile(r"\b(?:use\s+|[{,]\s*)(?:\w+::)*(\w+)::(?:dsl|table|columns)(?:::\w+)?\s+as\s+(\w+)")
_USE_ALL = re.compile(r"\b(\w+)::(?:dsl::(?:\*|\{[^}]*\}|\w+)|\*|columns::\*)|\b(\w+)::dsl\s*::")
_USE = re.compile(r"^(?:pub\s+)?use\s[^;]{1,2000};", re.MULTILINE)
_MAXIMUM_DEPTH = 60


def unwrapped(node: Node) -> Node:
    while node.type in _PASSED_ON and named(node):
        node = named(node)[-1]
    return node


def called(call: Node) -> str:
    """The last name of what is called."""
    function = field(call, "function")
    if function is not None and function.type == "generic_function":
        function = field(function, "function")
    if function is None:
        return ""
    return text(field(function, "field") if function.type == "field_expression" else function).rpartition("::")[2]


def holder_of(call: Node) -> Node | None:
    """What the method is called on."""
    function = field(call, "function")
    if function is not None and function.type == "generic_function":
        function = field(function, "function")
    return field(function, "value") if function is not None and function.type == "field_expression" else None


def arguments_of(call: Node) -> list[Node]:
    return [child for child in named(field(call, "arguments")) if "comment" not in child.type]


def key_of(model: Model) -> list[str]:
    return [column.name for column in model.columns if column.primary_key]


class Tables:
    """What the paths of a file mean: `users::table`, `users` with `use schema::users::dsl::*`, and modules by other names."""

    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        code = source.file.text
        self.modules = {alias: name for name, alias in _USE_AS.findall(code)}
        self.opened = {one or other for one, other in _USE_ALL.findall(code)}
        uses = "".join(_USE.findall(code))
        self.opened_by_all = sorted({one or other for one, other in _USE_ALL.findall(uses)})
        names = {
            name for name in re.findall(r"\b(\w+)::(?:dsl::)?table\b", code) if models.find(name, source.file.path)
        }
        names |= {name for name in self.opened if models.find(name, source.file.path)}
        names |= {name for name in self.modules.values() if models.find(name, source.file.path)}
        spelled = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        pattern = rf"(?<![\w:.])((?:\w+::)*(?:{spelled})(?:::(?:dsl::)?table)?)(?=\s*[.),])"
        self.pattern = re.compile(pattern.encode()) if names else None
        self._known: dict[tuple[int, str], tuple[Model, ...]] = {}

    def table(self, path: str, near: Node) -> Model | None:
        """The table that a path names."""
        parts = [part for part in path.split("::") if part != "dsl"]
        if parts[-1] == "table" and len(parts) > 1:
            return self.models.find(self.modules.get(parts[-2], parts[-2]), self.source.file.path)
        name = parts[-1]
        module = self.modules.get(parts[-2], parts[-2]) if len(parts) > 1 else None
        if module == name or (module is None and name in self.opened and self._is_opened(name, near)):
            return self.models.find(name, self.source.file.path)
        return None

    def column(self, path: str, near: Node) -> tuple[Model, str] | None:
        """The table and column that a path names."""
        parts = [part for part in path.split("::") if part not in ("dsl", "columns")]
        name = parts[-1].removeprefix("r#")
        if len(parts) > 1:
            model = self.models.find(self.modules.get(parts[-2], parts[-2]), self.source.file.path)
            column = column_of(model, name) if model is not None else None
            return (model, column.name) if model is not None and column is not None else None
        for model in self._opened_at(near):
            column = column_of(model, name)
            if column is not None:
                return model, column.name
        return None

    def _is_opened(self, name: str, near: Node) -> bool:
        return any(model.name == name for model in self._opened_at(near))

    def _opened_at(self, near: Node) -> tuple[Model, ...]:
        """Tables whose columns the place sees by their bare names: those that its function or the file opens."""
        function = function_around(near)
        start = function.start_byte if function is not None else -1
        key = (start, "")
        if key not in self._known:
            own = _USE_ALL.findall(text(function)) if function is not None else []
            names = [one or other for one, other in own] + self.opened_by_all
            found = (self.models.find(name, self.source.file.path) for name in names)
            self._known[key] = tuple(model for model in found if model is not None)
        return self._known[key]


class Expressions:
    """Reads expressions for one query; `near` tells which names are in sight."""

    def __init__(self, tables: Tables, query: Query, near: Node) -> None:
        self.tables = tables
        self.query = query
        self.near = near

    def column(self, node: Node) -> str | None:
        if node.type not in ("scoped_identifier", "identifier"):
            return None
        found = self.tables.column(text(node), self.near)
        return None if found is None else f"{quoted(found[0].table)}.{quoted(found[1])}"

    def scalar(self, node: Node, depth: int = 0) -> str | None:
        """A column or a known function of one; None if it is a value or cannot be read."""
        node = unwrapped(node)
        if node.type != "call_expression":
            return self.column(node)
        name, holder = called(node), holder_of(node)
        if holder is not None:
            return self.scalar(holder, depth + 1) if name in _TRANSPARENT and depth < _MAXIMUM_DEPTH else None
        if name == "count_star":
            return "count(*)"
        if name not in _FUNCTIONS or depth > _MAXIMUM_DEPTH:
            return None
        parts = [self.scalar(argument, depth + 1) for argument in arguments_of(node)]
        if not parts or parts[0] is None:
            return None
        return f"{name}({', '.join(part or VALUE for part in parts)})"

    def condition(self, node: Node | None, depth: int = 0) -> str | None:
        """A condition; None if it cannot be read."""
        if node is None or depth > _MAXIMUM_DEPTH:
            return None
        node = unwrapped(node)
        if node.type != "call_expression":
            return self.column(node)
        name, holder, arguments = called(node), holder_of(node), arguments_of(node)
        if holder is None:
            inner = self.condition(arguments[0], depth + 1) if name == "not" and len(arguments) == 1 else None
            return None if inner is None else f"NOT ({inner})"
        if name in ("and", "or") and len(arguments) == 1:
            left, right = self.condition(holder, depth + 1), self.condition(arguments[0], depth + 1)
            return None if left is None or right is None else f"({left} {name.upper()} {right})"
        left = self.scalar(holder)
        return None if left is None else self._compared(left, name, arguments)

    def _compared(self, left: str, name: str, arguments: list[Node]) -> str | None:
        if name in ("is_null", "is_not_null"):
            return f"{left} IS {'NOT ' * (name == 'is_not_null')}NULL"
        if name in ("eq_any", "ne_all"):
            return f"{left} {'NOT ' * (name == 'ne_all')}IN ({VALUE})"
        if name in ("between", "not_between") and len(arguments) == 2:
            return f"{left} {'NOT ' * (name == 'not_between')}BETWEEN {VALUE} AND {VALUE}"
        if name not in _COMPARED or len(arguments) != 1:
            return None
        return f"{left} {_COMPARED[name]} {self.scalar(arguments[0]) or VALUE}"

    def join(self, word: str, node: Node) -> list[str] | None:
        """The joins that an argument of inner_join() or left_join() stands for."""
        node = unwrapped(node)
        condition: str | None = None
        if node.type == "call_expression" and called(node) == "on":
            condition = self.condition(next(iter(arguments_of(node)), None))
            holder = holder_of(node)
            if condition is None or holder is None:
                return None
            node = holder
        target = self.tables.table(text(node), self.near) if node.type in ("scoped_identifier", "identifier") else None
        if target is None:
            return None
        condition = condition or self._link(target)
        return None if condition is None else [f"{word} {relation(target)} ON {condition}"]

    def _link(self, target: Model) -> str | None:
        """How `joinable!` ties the table to that of the query."""
        for child, parent in ((self.query.model, target), (target, self.query.model)):
            for link in child.relations:
                keys = key_of(parent)
                if link.target == parent.name and len(keys) == 1:
                    return f"{quoted(child.table)}.{quoted(link.columns[0])} = {quoted(parent.table)}.{quoted(keys[0])}"
        return None

    def columns(self, node: Node | None) -> tuple[list[str] | None, bool]:
        """What select() names, None for what a struct takes; and whether that is known."""
        if node is None:
            return None, False
        node = unwrapped(node)
        entries = named(node) if node.type == "tuple_expression" else [node]
        read = [self.scalar(entry) for entry in entries]
        known = [column for column in read if column is not None]
        return (known or None, len(known) == len(read))

    def order(self, node: Node | None) -> list[str] | None:
        if node is None:
            return None
        node = unwrapped(node)
        found = []
        for entry in named(node) if node.type == "tuple_expression" else [node]:
            column, descending = unwrapped(entry), False
            while column.type == "call_expression":
                name, holder = called(column), holder_of(column)
                descending |= name == "desc"
                if name not in ("asc", "desc", "nulls_last", "nulls_first", "nullable"):
                    break
                inner = holder if holder is not None else next(iter(arguments_of(column)), None)
                if inner is None:
                    return None
                column = unwrapped(inner)
            read = self.scalar(column)
            if read is None:
                return None
            found.append(f"{read}{' DESC' * descending}")
        return found

    def assignments(self, node: Node | None) -> bool:
        """Takes note of the columns that set() or values() name; whether that is all of them."""
        if node is None:
            return False
        node = unwrapped(node)
        whole = True
        for entry in named(node) if node.type == "tuple_expression" else [node]:
            entry = unwrapped(entry)
            holder = holder_of(entry) if entry.type == "call_expression" and called(entry) == "eq" else None
            found = self.tables.column(text(holder), self.near) if holder is not None else None
            if found is None or found[0].table != self.query.model.table:
                whole = False
            else:
                self.query.written[found[1]] = None
        return whole
