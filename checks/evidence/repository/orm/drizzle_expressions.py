"""Drizzle's operators and `sql` templates as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.query import VALUE, column_of, quoted, relation
from checks.evidence.repository.orm.script import (
    arguments_of,
    called,
    definition_of,
    holder_of,
    is_changed,
    sql_template,
)
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped
from checks.evidence.sql import mask_literals, parse

_OPERATORS = {
    "eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "notLike": "NOT LIKE",
    "ilike": "ILIKE", "notIlike": "NOT ILIKE", "arrayContains": "@>", "arrayContained": "<@", "arrayOverlaps": "&&",
}  # fmt: skip
_DISTANCES = {
    "cosineDistance": "<=>", "l2Distance": "<->", "innerProduct": "<#>", "l1Distance": "<+>", "hammingDistance": "<~>",
    "jaccardDistance": "<%>",
}  # fmt: skip
_AGGREGATES = frozenset(["count", "countDistinct", "sum", "avg", "min", "max", "sumDistinct", "avgDistinct"])
_LITERALS = frozenset(["string", "number", "true", "false", "array", "new_expression", "object"])
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression template_string binary_expression unary_expression".split()
)
# Code that may put SQL where a value could stand.
_BUILDERS = re.compile(
    r"\bsql\b|\.(?:select|selectDistinct|query|with|as|getSQL|placeholder)\(|\b(?:exists|alias|inArray|eq|and|or)\("
)
_MAXIMUM_DEPTH = 60


class Expressions:
    """`entity` gives the model and the alias that a name stands for, `subselect` the SQL of a query that stands within another
    one. What cannot be read is None."""

    def __init__(
        self, entity: Callable[[Node], tuple[Model, str] | None], subselect: Callable[[Node], str | None]
    ) -> None:
        self.entity = entity
        self.subselect = subselect

    def column(self, node: Node) -> str | None:
        """`users.email`, `schema.users.email`."""
        node = unwrapped(node)
        holder = field(node, "object") if node.type == "member_expression" else None
        found = self.entity(holder) if holder is not None else None
        column = column_of(found[0], text(field(node, "property"))) if found else None
        return f"{quoted(found[1])}.{quoted(column.name)}" if found and column else None

    def scalar(self, node: Node, depth: int = 0) -> str | None:
        """An expression over columns, or written in SQL; None if it is a value or cannot be read."""
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH:
            return None
        if (column := self.column(node)) is not None:
            return column
        if (template := self.template(node, depth)) is not None:
            return template
        if node.type == "identifier":
            value = definition_of(text(node), node)
            built = value is not None and (value.type == "call_expression" or value.type == "member_expression")
            return self.scalar(value, depth + 1) if built and value is not None else None
        if node.type != "call_expression":
            return None
        name, arguments = called(node), arguments_of(node)
        if name in ("as", "mapWith") and (holder := holder_of(node)) is not None:
            return self.scalar(holder, depth + 1)
        if name == "count" and not arguments:
            return "count(*)"
        if name in _AGGREGATES and len(arguments) == 1:
            inner = self.scalar(arguments[0], depth + 1)
            distinct = "DISTINCT " if name.endswith("Distinct") else ""
            return f"{name.removesuffix('Distinct')}({distinct}{inner})" if inner else None
        if name in _DISTANCES and len(arguments) == 2:
            inner = self.scalar(arguments[0], depth + 1)
            return f"({inner} {_DISTANCES[name]} {VALUE})" if inner else None
        return None

    def template(self, node: Node, depth: int = 0) -> str | None:
        """A `sql` template whose holes are columns and values, as an expression that parses."""
        body = sql_template(node)
        if body is None or depth > _MAXIMUM_DEPTH:
            return None
        parts: list[str] = []
        selects = re.search(r"\bselect\b", text(body), re.IGNORECASE) is not None
        for child in body.named_children:
            if child.type == "string_fragment":
                parts.append(text(child))
                continue
            inner = named(child)[0] if child.type == "template_substitution" and named(child) else None
            if inner is None:
                return None
            written = self.scalar(inner, depth + 1) or self.value(inner)
            if written is None and (found := self.entity(inner)):
                model, alias = found
                named_so = relation(model) if alias == model.table else f"{relation(model)} AS {quoted(alias)}"
                written = named_so if selects else quoted(alias)
            if written is None:
                return None
            parts.append(written)
        code = " ".join("".join(parts).split())
        if ";" in code or "--" in code or "/*" in code:
            return None
        return _masked(code)

    def value(self, node: Node) -> str | None:
        """A parameter, if the expression certainly is a plain value."""
        node = unwrapped(node)
        if self.entity(node) or self.column(node) or _BUILDERS.search(text(node)):
            return None
        if node.type in _LITERALS:
            return VALUE
        if node.type not in _VALUES:
            return None
        if node.type == "identifier":
            definition = definition_of(text(node), node)
            if definition is not None and definition.type != "await_expression" and _BUILDERS.search(text(definition)):
                return None
        return VALUE

    def condition(self, node: Node, depth: int = 0) -> str | None:
        """A condition; empty if it restricts nothing."""
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH:
            return None
        if text(node) == "undefined":
            return ""
        if node.type == "identifier":
            value = definition_of(text(node), node)
            return self.condition(value, depth + 1) if value is not None else None
        if (template := self.template(node, depth)) is not None:
            return f"({template})"
        if node.type != "call_expression":
            return None
        name, arguments = called(node), arguments_of(node)
        if name == "and":
            # What is not certain of an AND is dealt with by conditions(); within another expression all of it counts.
            known, whole = self.conditions(node, depth)
            return (f"({' AND '.join(known)})" if known else "") if whole else None
        if name == "or":
            parts = [self.condition(argument, depth + 1) for argument in arguments]
            return f"({' OR '.join(part for part in parts if part)})" if parts and all(parts) else None
        if name == "not" and len(arguments) == 1:
            inner = self.condition(arguments[0], depth + 1)
            return f"NOT ({inner})" if inner else None
        if name in ("exists", "notExists") and len(arguments) == 1:
            inner = self.subselect(arguments[0])
            return f"{'NOT ' if name == 'notExists' else ''}EXISTS ({inner})" if inner else None
        left = self.scalar(arguments[0]) if arguments else None
        if left is None:
            return None
        if name in ("inArray", "notInArray") and len(arguments) == 2 and (inner := self.subselect(arguments[1])):
            return f"{left} {'IN' if name == 'inArray' else 'NOT IN'} ({inner})"
        if name in ("isNull", "isNotNull"):
            return f"{left} IS {'NULL' if name == 'isNull' else 'NOT NULL'}"
        others = [self.scalar(argument) or self.value(argument) for argument in arguments[1:]]
        if not others or any(other is None for other in others):
            return None
        if name in _OPERATORS and len(others) == 1:
            return f"{left} {_OPERATORS[name]} {others[0]}"
        if name in ("inArray", "notInArray") and len(others) == 1:
            return f"{left} {'IN' if name == 'inArray' else 'NOT IN'} ({VALUE})"
        if name in ("between", "notBetween") and len(others) == 2:
            return f"{left} {'BETWEEN' if name == 'between' else 'NOT BETWEEN'} {others[0]} AND {others[1]}"
        return None

    def conditions(self, node: Node, depth: int = 0) -> tuple[list[str], bool]:
        """The conditions that are certainly ANDed, and whether that is all of them."""
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH:
            return [], False
        if node.type == "identifier" and (value := definition_of(text(node), node)) is not None:
            return self.conditions(value, depth + 1)
        if node.type == "ternary_expression":
            return self._either(node, depth)
        if called(node) != "and":
            read = self.condition(node, depth)
            return ([read] if read else []), read is not None
        found: list[str] = []
        whole = True
        for argument in arguments_of(node):
            known, all_known = (
                self._listed(argument, depth)
                if argument.type == "spread_element"
                else self.conditions(argument, depth + 1)
            )
            found += known
            whole &= all_known
        return found, whole

    def _either(self, node: Node, depth: int) -> tuple[list[str], bool]:
        """What both sides of `value ? one : other` ask for."""
        sides = [field(node, "consequence"), field(node, "alternative")]
        (one, all_one), (other, all_other) = (
            self.conditions(side, depth + 1) if side is not None else ([], False) for side in sides
        )
        return [part for part in one if part in other], one == other and all_one and all_other

    def _listed(self, spread: Node, depth: int) -> tuple[list[str], bool]:
        """`...conditions` of an array that the function begins with certain elements."""
        inner = named(spread)[0] if named(spread) else None
        value = definition_of(text(inner), spread) if inner is not None and inner.type == "identifier" else None
        if value is None or inner is None or unwrapped(value).type != "array":
            return [], False
        found: list[str] = []
        whole = not is_changed(text(inner), spread)
        for element in named(unwrapped(value)):
            known, all_known = self.conditions(element, depth + 1) if element.type != "spread_element" else ([], False)
            found += known
            whole &= all_known
        return found, whole

    def order(self, node: Node) -> str | None:
        """One key of ORDER BY."""
        node = unwrapped(node)
        if called(node) in ("asc", "desc") and len(arguments_of(node)) == 1:
            inner = self.scalar(arguments_of(node)[0])
            return f"{inner}{' DESC' if called(node) == 'desc' else ''}" if inner else None
        written = self.scalar(node)
        if written is not None and (
            match := re.fullmatch(r"(.*?)\s+(asc|desc)(\s+nulls\s+(?:first|last))?", written, re.I)
        ):
            return f"{match.group(1)} {match.group(2)}{match.group(3) or ''}"
        return written


def _masked(code: str) -> str | None:
    """The fragment without literals, if it is an expression or a sort key by PostgreSQL's grammar."""
    numbered = code.replace(VALUE, "$1")
    key = re.sub(r"\s+(?:asc|desc)(?:\s+nulls\s+(?:first|last))?$", "", numbered, flags=re.IGNORECASE)
    if not key or parse(f"SELECT 1 WHERE ({key})") is None:
        return None
    return re.sub(r"\$\d+", VALUE, mask_literals(numbered))
