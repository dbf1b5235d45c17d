"""Knex's conditions as SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from checks.evidence.repository.orm.kysely_expressions import masked
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery
from checks.evidence.repository.orm.query import VALUE, WHERE
from checks.evidence.repository.orm.script import arguments_of, called, definition_of, holder_of, known_entries
from checks.evidence.repository.orm.script_chains import Step
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped

CONDITION = re.compile(r"(and|or)?([wW]here\w*)")
_OPERATORS = frozenset(
    "=,!=,<>,>,>=,<,<=,like,not like,ilike,not ilike,~,~*,!~,!~*,@>,<@,&&,@@,is,is not,in,not in".split(",")
)
_BUILDERS = re.compile(r"\.(?:select|from|ref|pluck|where\w*)\(|\braw\s*\(|\bref\(|\bfunction\s*\(")
_GIVES_QUERY = re.compile(r"quer(?:y|ies)$|subq|builder$", re.IGNORECASE)
_FUNCTIONS = frozenset(["arrow_function", "function_expression"])
_LITERALS = frozenset(["string", "number", "true", "false", "array", "new_expression", "object", "template_string"])
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression binary_expression unary_expression await_expression "
    "ternary_expression shorthand_property_identifier".split()
)
_MAXIMUM_DEPTH = 12


class Conditions:
    """What cannot be read is None."""

    def __init__(self, query: NamedQuery, values: Values) -> None:
        self.query = query
        self.values = values

    def add(self, steps: list[Step]) -> None:
        """The WHERE of those steps: joined as they stand, an OR among them too."""
        read = [(conjunction, self.condition(name, call)) for conjunction, name, call in _conditions(steps)]
        if not any(conjunction == "or" for conjunction, _ in read[1:]):
            for _, written in read:
                self.query.filter(written)
            return
        if any(written is None for _, written in read):
            self.query.partial.add(WHERE)
            return
        self.query.where.append(f"({_joined(read)})")

    def condition(self, name: str, call: Node, depth: int = 0) -> str | None:
        """One call of where...(); `name` is without its `and` or `or`."""
        arguments = arguments_of(call)
        if not arguments or depth > _MAXIMUM_DEPTH:
            return None
        first = unwrapped(arguments[0])
        negated = "Not" in name
        kind = name.replace("Not", "")
        if first.type in _FUNCTIONS:
            inner = self._group(first, depth) if kind == "where" else None
            return f"NOT ({inner})" if inner and negated else inner
        if kind == "whereRaw":
            return self.raw(arguments)
        if kind == "where" and first.type != "string" and self.values.argument(first).entries is not None:
            inner = self._object(first)
            return f"NOT ({inner})" if inner and negated else inner
        column = self.operand(first)
        if column is None:
            return None
        if kind == "whereNull":
            return f"{column} IS {'NOT ' if negated else ''}NULL"
        if kind == "whereIn" and len(arguments) == 2:
            value = self.value(arguments[1])
            return f"{column} {'NOT ' if negated else ''}IN ({value})" if value else None
        if kind == "whereBetween" and len(arguments) == 2:
            return f"{column} {'NOT ' if negated else ''}BETWEEN {VALUE} AND {VALUE}"
        if kind in ("whereLike", "whereILike") and len(arguments) == 2:
            value = self.value(arguments[1])
            return f"{column} {kind.removeprefix('where').upper()} {value}" if value else None
        if kind == "where":
            written = self._compared(column, arguments[1:])
            return f"NOT ({written})" if written and negated else written
        return None

    def _compared(self, column: str, rest: list[Node]) -> str | None:
        if len(rest) == 1:
            if text(unwrapped(rest[0])) == "null":
                return f"{column} IS NULL"
            value = self.value(rest[0])
            return f"{column} = {value}" if value else None
        operator = (self.values.argument(rest[0]).string or "").lower() if len(rest) == 2 else ""
        if operator not in _OPERATORS:
            return None
        if text(unwrapped(rest[1])) == "null":
            return {"is": f"{column} IS NULL", "=": f"{column} IS NULL"}.get(operator, f"{column} IS NOT NULL")
        value = self.value(rest[1])
        if value is None or operator in ("is", "is not"):
            return None
        operator = {"!=": "<>"}.get(operator, operator.upper())
        return f"{column} {operator} ({value})" if operator in ("IN", "NOT IN") else f"{column} {operator} {value}"

    def operand(self, node: Node) -> str | None:
        """A column by name, or what raw() holds."""
        name = self.values.argument(node).string
        if name is not None:
            return self.query.column(name)
        if called(unwrapped(node)) == "raw":
            return self.raw(arguments_of(unwrapped(node)))
        return None

    def value(self, node: Node) -> str | None:
        """A parameter, or the column in ref(); None if it may be a piece of SQL."""
        node = unwrapped(node)
        if called(node) == "ref" and arguments_of(node):
            name = self.values.argument(arguments_of(node)[0]).string
            return self.query.column(name) if name else None
        if called(node) == "raw":
            return self.raw(arguments_of(node))
        code = text(node)
        if _BUILDERS.search(code) or _GIVES_QUERY.search(called(node) or code):
            return None
        if node.type == "identifier":
            known = definition_of(code, node)
            if known is not None and known.type != "await_expression" and _BUILDERS.search(text(known)):
                return None
        return VALUE if node.type in _LITERALS or node.type in _VALUES else None

    def raw(self, arguments: list[Node]) -> str | None:
        """SQL with `?`, `??` and `:name`, as an expression that parses."""
        written = self.values.argument(arguments[0]).string if arguments else None
        given = self.values.argument(arguments[1]) if len(arguments) > 1 else None
        return self.raw_text(written, (given.elements or ()) if given is not None else ())

    def raw_text(self, written: str | None, given: tuple[Argument, ...] = ()) -> str | None:
        if written is None or ";" in written or "--" in written or re.search(r"\bselect\b", written, re.IGNORECASE):
            return None
        names = iter(given)
        parts: list[str] = []
        for piece in re.split(r"(\?\??|(?<!:):\w+(?!:))", written):
            if piece == "??":
                name = next(names, None)
                column = self.query.column(name.string) if name is not None and name.string else None
                if column is None:
                    return None
                parts.append(column)
            elif piece == "?" or re.fullmatch(r":\w+", piece):
                next(names, None)
                parts.append(VALUE)
            else:
                parts.append(piece)
        return masked(" ".join("".join(parts).split()))

    def _object(self, node: Node) -> str | None:
        if node.type == "identifier":
            known = self.values.argument(node)
            keys: list[tuple[str, str]] = [(key, entry.text) for key, entry in (known.entries or {}).items()]
            whole = known.whole
        else:
            found, whole = known_entries(node)
            keys = [(key, text(value)) for key, value in found.items()]
        columns = [(self.query.column(key), value) for key, value in keys]
        if not whole or not columns or any(column is None for column, _ in columns):
            return None
        if any(_BUILDERS.search(value) for _, value in columns):
            return None
        return " AND ".join(
            f"{column} IS NULL" if value == "null" else f"{column} = {VALUE}" for column, value in columns
        )

    def _group(self, function: Node, depth: int) -> str | None:
        """`(builder) => builder.where(...).orWhere(...)`, or statements that do so one after the other."""
        body = field(function, "body")
        if body is None:
            return None
        statements = named(body) if body.type == "statement_block" else [body]
        steps: list[Step] = []
        for statement in statements:
            inner = statement
            if statement.type in ("expression_statement", "return_statement") and named(statement):
                inner = named(statement)[0]
            found = _chain(inner)
            if not found:
                return None
            steps += found
        read = [(conjunction, self.condition(name, call, depth + 1)) for conjunction, name, call in _conditions(steps)]
        if not read or len(read) != len(steps) or any(written is None for _, written in read):
            return None
        return f"({_joined(read)})"


def _conditions(steps: list[Step]) -> Iterator[tuple[str, str, Node]]:
    for name, call in steps:
        match = CONDITION.fullmatch(name)
        if match:
            yield match.group(1) or "and", match.group(2)[0].lower() + match.group(2)[1:], call


def _joined(read: list[tuple[str, str | None]]) -> str:
    parts = [
        written or "" if not position else f"{word.upper()} {written}" for position, (word, written) in enumerate(read)
    ]
    return " ".join(parts)


def _chain(node: Node) -> list[Step]:
    """The calls of a chain in their order; empty if it begins with anything but a name or `this`."""
    steps: list[Step] = []
    current: Node | None = unwrapped(node)
    while current is not None and current.type == "call_expression":
        steps.append((called(current), current))
        current = holder_of(current)
    return steps[::-1] if current is not None and current.type in ("this", "identifier") else []
