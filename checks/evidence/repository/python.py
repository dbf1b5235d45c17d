"""String literals of Python code, put together as the code puts them together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository.literals import Literal
from checks.evidence.repository.placeholders import HOLE

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "\n": ""}
_ESCAPE = re.compile(r"\\(\r?\n|.)", re.DOTALL)
_FORMAT_FIELD = re.compile(r"\{\{|\}\}|\{[A-Za-z0-9_.\[\]!:]*\}")
_STRINGS = frozenset(["string", "concatenated_string"])
_MAXIMUM_DEPTH = 200


@cache
def parser() -> Parser:
    import tree_sitter_python

    return Parser(Language(tree_sitter_python.language()))


def read_literals(text: str) -> Iterator[Literal]:
    """Every string of the module that is a whole: concatenations, f-strings and `%` or format() with marks for their holes.
    A module's own constants are put in where their names stand."""
    tree = parser().parse(text.encode("utf-8", "replace"))
    reader = _Reader(_constants(tree.root_node))
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        literal = reader.read(node)
        if literal is None:
            pending += reversed(node.named_children)
        else:
            yield literal
            pending += reader.inside(node)


def _constants(root: Node) -> dict[str, Node | None]:
    """Names that the module assigns once, at its top level, to a string."""
    found: dict[str, Node | None] = {}
    for statement in root.children:
        assignment = statement.children[0] if statement.type == "expression_statement" and statement.children else None
        if assignment is None or assignment.type != "assignment":
            continue
        name, value = assignment.child_by_field_name("left"), assignment.child_by_field_name("right")
        if name is not None and name.type == "identifier" and value is not None:
            text = _text(name)
            found[text] = None if text in found else value
    return found


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


class _Reader:
    def __init__(self, constants: dict[str, Node | None]) -> None:
        self.constants = constants

    def read(self, node: Node) -> Literal | None:
        """The node as text, if it is a string expression."""
        line = node.start_point.row + 1
        if node.type == "binary_operator" and _operator(node) == "%":
            left = node.child_by_field_name("left")
            text = self.text(left) if left is not None else None
            return Literal(text, _first_line(node), formatted=True) if text is not None else None
        if node.type in _STRINGS or node.type == "binary_operator" or _is_format(node):
            text = self.text(node)
            return Literal(text, _first_line(node) if node.type != "string" else line) if text is not None else None
        return None

    def text(self, node: Node, depth: int = 0) -> str | None:
        """The text of a string expression; None if the node is none."""
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "string":
            return self._string(node, depth)
        if node.type == "concatenated_string":
            return "".join(self._string(child, depth) for child in node.named_children if child.type == "string")
        if node.type == "parenthesized_expression":
            inner = [child for child in node.named_children if child.type != "comment"]
            return self.text(inner[0], depth + 1) if len(inner) == 1 else None
        if node.type == "binary_operator" and _operator(node) == "+":
            return self._sum(node, depth)
        if _is_format(node):
            function = node.child_by_field_name("function")
            template = function.child_by_field_name("object") if function is not None else None
            text = self._template(template, depth) if template is not None else None
            return None if text is None else _FORMAT_FIELD.sub(_format_field, text)
        return None

    def inside(self, node: Node) -> list[Node]:
        """What stands within a string expression and may hold further strings."""
        found, pending = [], list(node.children)
        while pending:
            child = pending.pop()
            if child.type in ("interpolation", "argument_list", "call", "tuple", "dictionary"):
                found.append(child)
            elif child.type not in _STRINGS or child.type == "concatenated_string":
                pending += child.children
            else:
                pending += [part for part in child.children if part.type == "interpolation"]
        return found

    def _sum(self, node: Node, depth: int) -> str | None:
        """`a + b + c`, read from the right end: such chains nest to the left, and may be long."""
        parts: list[str | None] = []
        current: Node | None = node
        while current is not None and current.type == "binary_operator" and _operator(current) == "+":
            right = current.child_by_field_name("right")
            parts.append(self._part(right, depth) if right is not None else None)
            current = current.child_by_field_name("left")
        parts.append(self._part(current, depth) if current is not None else None)
        if all(part is None for part in parts):
            return None
        return "".join(HOLE if part is None else part for part in reversed(parts))

    def _part(self, node: Node, depth: int) -> str | None:
        if node.type == "identifier":
            return self._constant(_text(node), depth)
        return self.text(node, depth + 1)

    def _constant(self, name: str, depth: int) -> str | None:
        value = self.constants.get(name)
        return self.text(value, depth + 20) if value is not None else None

    def _template(self, node: Node, depth: int) -> str | None:
        """What format() is called on: a string, or psycopg's `sql.SQL("...")`."""
        if node.type == "call":
            arguments = node.child_by_field_name("arguments")
            values = arguments.named_children if arguments is not None else []
            return self.text(values[0], depth + 1) if len(values) == 1 else None
        return self.text(node, depth + 1)

    def _string(self, node: Node, depth: int) -> str:
        prefix = _text(node.children[0]).lower() if node.children else ""
        raw = "r" in prefix
        parts = []
        for child in node.children[1:]:
            if child.type == "string_content":
                text = _text(child)
                if "f" in prefix:
                    text = text.replace("{{", "{").replace("}}", "}")
                parts.append(text if raw else _ESCAPE.sub(_unescape, text))
            elif child.type == "interpolation":
                expression = child.child_by_field_name("expression")
                known = None
                if expression is not None and expression.type == "identifier":
                    known = self._constant(_text(expression), depth)
                parts.append(HOLE if known is None else known)
        return "".join(parts)


def _operator(node: Node) -> str:
    operator = node.child_by_field_name("operator")
    return operator.type if operator is not None else ""


def _is_format(node: Node) -> bool:
    function = node.child_by_field_name("function") if node.type == "call" else None
    if function is None or function.type != "attribute":
        return False
    attribute = function.child_by_field_name("attribute")
    return attribute is not None and attribute.text == b"format"


def _first_line(node: Node) -> int:
    """The line of the first string in an expression, which may begin with a parenthesis or a call."""
    current = node
    while current.type not in ("string", "identifier") and current.named_children:
        current = next(
            (child for child in current.named_children if child.type != "comment"), current.named_children[0]
        )
    return current.start_point.row + 1


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1).replace("\r\n", "\n"), match.group())


def _format_field(match: re.Match[str]) -> str:
    return {"{{": "{", "}}": "}"}.get(match.group(), HOLE)
