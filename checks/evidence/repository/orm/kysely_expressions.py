"""Kysely's expressions and `sql` templates as SQL."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.orm.named_tables import NamedQuery, aliased
from checks.evidence.repository.orm.query import VALUE, quoted
from checks.evidence.repository.orm.script import (
    arguments_of,
    called,
    definition_of,
    holder_of,
    known_entries,
    sql_template,
)
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped
from checks.evidence.sql import mask_literals, parse

_OPERATORS = frozenset(
    "=,==,!=,<>,>,>=,<,<=,in,not in,is,is not,like,not like,ilike,not ilike,@>,<@,&&,?,?&,?|,~,~*,!~,!~*,@@,^@,"
    "is distinct from,is not distinct from".split(",")
)
_CONSTANTS = {"null": "NULL", "true": "TRUE", "false": "FALSE"}
_LITERALS = frozenset(["string", "number", "true", "false", "array", "new_expression", "object", "template_string"])
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression binary_expression unary_expression await_expression "
    "ternary_expression shorthand_property_identifier".split()
)
_BUILDERS = re.compile(r"\bsql\s*[`<.]|\b(?:selectFrom|fn|eb|lit|exists)\b|\b(?:raw|ref)\(|\.(?:select|as)\(")
_GIVES_QUERY = re.compile(r"quer(?:y|ies)|subq|select", re.IGNORECASE)
_AGGREGATES = frozenset(["count", "sum", "avg", "min", "max"])
_MAXIMUM_DEPTH = 40


class Expressions:
    """What cannot be read is None."""

    def __init__(self, query: NamedQuery, values: Values) -> None:
        self.query = query
        self.values = values

    def value(self, node: Node) -> str | None:
        """A parameter, if the expression certainly is a plain value."""
        node = unwrapped(node)
        if _BUILDERS.search(text(node)):
            return None
        if node.type == "identifier":
            known = definition_of(text(node), node)
            if known is not None and known.type != "await_expression" and _BUILDERS.search(text(known)):
                return None
        if _GIVES_QUERY.search(called(node)):
            return None
        return VALUE if node.type in _LITERALS or node.type in _VALUES else None

    def operand(self, node: Node, depth: int = 0) -> str | None:
        """What stands left of an operator: a column by name, ref(), a function or a template."""
        node = unwrapped(node)
        if (name := self.values.argument(node).string) is not None:
            return self.query.column(name)
        if (template := self.template(node)) is not None:
            return template
        return self.function(node, depth)

    def function(self, node: Node, depth: int = 0) -> str | None:
        """`eb.fn.count("id").as("n")`, `eb.ref("a.b")`, `fn("lower", ["name"])`."""
        node = unwrapped(node)
        name, arguments = called(node), arguments_of(node)
        if depth > _MAXIMUM_DEPTH or not name:
            return None
        holder = holder_of(node)
        if name in ("as", "distinct", "$notNull", "$castTo") and holder is not None:
            return self.function(holder, depth + 1)
        if name == "ref" and arguments:
            column = self.values.argument(arguments[0]).string
            return self.query.column(column) if column else None
        if name == "countAll":
            return "count(*)"
        if name in _AGGREGATES and arguments:
            inner = self.operand(arguments[0], depth + 1)
            return f"{name}({inner})" if inner else None
        return None

    def selection(self, node: Node, depth: int = 0) -> list[str] | None:
        """One entry of a select list; None if it cannot be read."""
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH:
            return None
        known = self.values.argument(node)
        if known.string is not None:
            return self._named(known.string)
        if known.elements and node.type != "array":
            lists = [self._named(entry.string) if entry.string else None for entry in known.elements]
            return [entry for found in lists if found for entry in found] if all(lists) else None
        if node.type == "array":
            parts = [self.selection(entry, depth + 1) for entry in named(node)]
            return [entry for part in parts if part for entry in part] if all(parts) else None
        if node.type == "arrow_function":
            body = field(node, "body")
            return self.selection(body, depth + 1) if body is not None and body.type != "statement_block" else None
        if (template := self.template(node)) is not None:
            return [template]
        if called(node) == "as" and (holder := holder_of(node)) is not None:
            written = self.template(unwrapped(holder))
            return [written] if written else self._listed(node)
        return self._listed(node)

    def _named(self, name: str) -> list[str] | None:
        """`name`, `table.name as alias`, `table.*`."""
        found = aliased(name)
        if found is None:
            return None
        if found[0].endswith(".*"):
            return [f"{quoted(self.query.spell(found[0][:-2]))}.*"]
        column = self.query.column(found[0])
        return [column] if column else None

    def _listed(self, node: Node) -> list[str] | None:
        written = self.function(node)
        return [written] if written else None

    def template(self, node: Node) -> str | None:
        """A `sql` template whose holes are columns and values, as an expression that parses."""
        node = unwrapped(node)
        body = sql_template(node)
        if body is None:
            return None
        parts: list[str] = []
        for child in body.named_children:
            if child.type == "string_fragment":
                parts.append(text(child))
                continue
            inner = named(child)[0] if child.type == "template_substitution" and named(child) else None
            written = self._hole(inner) if inner is not None else None
            if written is None:
                return None
            parts.append(written)
        code = " ".join("".join(parts).split())
        if ";" in code or "--" in code or "/*" in code or re.search(r"\bselect\b", code, re.IGNORECASE):
            return None
        return masked(code)

    def _hole(self, node: Node) -> str | None:
        node = unwrapped(node)
        if called(node) in ("ref", "id") and arguments_of(node):
            names = [self.values.argument(argument).string for argument in arguments_of(node)]
            return self.query.column(".".join(name for name in names if name)) if all(names) else None
        if called(node) in ("lit", "val"):
            return VALUE
        return self.value(node)

    def compared(self, arguments: list[Node]) -> str | None:
        """`"age", ">", 18`."""
        left, operator = self.operand(arguments[0]), self.values.argument(arguments[1]).string
        if left is None or operator is None or operator.lower() not in _OPERATORS:
            return None
        operator = {"==": "=", "!=": "<>"}.get(operator, operator.upper())
        constant = text(unwrapped(arguments[2]))
        if operator in ("IS", "IS NOT"):
            return f"{left} {operator} {_CONSTANTS[constant]}" if constant in _CONSTANTS else None
        right = self.value(arguments[2]) or self.template(arguments[2]) or self.function(arguments[2])
        if right is None:
            return None
        return f"{left} {operator} ({right})" if operator in ("IN", "NOT IN") else f"{left} {operator} {right}"

    def referenced(self, arguments: list[Node]) -> str | None:
        """`"a.id", "=", "b.a_id"`, both of them columns."""
        left, right = self.operand(arguments[0]), self.operand(arguments[2])
        operator = self.values.argument(arguments[1]).string
        return f"{left} {operator} {right}" if left and right and operator in _OPERATORS else None

    def condition(self, arguments: list[Node]) -> str | None:
        """The arguments of where(), having() and on()."""
        if len(arguments) == 3:
            return self.compared(arguments)
        if len(arguments) != 1:
            return None
        node = unwrapped(arguments[0])
        if node.type == "arrow_function":
            body = field(node, "body")
            if body is not None and body.type == "statement_block":
                statements = named(body)
                returned = (
                    named(statements[0]) if len(statements) == 1 and statements[0].type == "return_statement" else []
                )
                body = returned[0] if returned else None
            return self.expression(body) if body is not None else None
        template = self.template(node)
        return f"({template})" if template else None

    def expression(self, node: Node, depth: int = 0) -> str | None:
        """`eb("a", "=", 1)`, `eb.and([...])`, `eb.or({...})`, `eb("a", "=", 1).or("b", "=", 2)`, `not(...)`."""
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH or node.type != "call_expression":
            return None
        if (template := self.template(node)) is not None:
            return f"({template})"
        name, arguments, holder = called(node), arguments_of(node), holder_of(node)
        if name in ("and", "or") and len(arguments) == 1:
            parts = self._parts(arguments[0], depth)
            return f"({f' {name.upper()} '.join(parts)})" if parts and all(parts) else None
        if name in ("and", "or") and len(arguments) == 3 and holder is not None:
            left, right = self.expression(holder, depth + 1), self.compared(arguments)
            return f"({left} {name.upper()} {right})" if left and right else None
        if name == "not" and len(arguments) == 1:
            inner = self.expression(arguments[0], depth + 1)
            return f"NOT ({inner})" if inner else None
        if name == "between" and len(arguments) == 3:
            operand = self.operand(arguments[0])
            return f"{operand} BETWEEN {VALUE} AND {VALUE}" if operand else None
        return self.compared(arguments) if len(arguments) == 3 and name not in ("exists", "fn") else None

    def _parts(self, node: Node, depth: int) -> list[str]:
        """The conditions of a list or an object; an empty one for each that cannot be read."""
        node = unwrapped(node)
        if node.type == "array":
            return [self.expression(entry, depth + 1) or "" for entry in named(node)]
        entries, whole = known_entries(node)
        found = [f"{column} = {VALUE}" if (column := self.query.column(key)) else "" for key in entries]
        return found if whole else [""]


def masked(code: str) -> str | None:
    """The fragment without literals, if it is an expression or a sort key by PostgreSQL's grammar."""
    numbered = code.replace(VALUE, "$1")
    key = re.sub(r"\s+(?:asc|desc)(?:\s+nulls\s+(?:first|last))?$", "", numbered, flags=re.IGNORECASE)
    if not key or parse(f"SELECT 1 WHERE ({key})") is None:
        return None
    return re.sub(r"\$\d+", VALUE, mask_literals(numbered))
