"""String literals of Python code, put together as the code puts them together."""

from __future__ import annotations

import re
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository.helper_names import helped_name
from checks.evidence.repository.literals import Literal
from checks.evidence.repository.placeholders import HOLE
from checks.evidence.repository.strings import StringReader, Syntax, text_of, unescaped

_ESCAPE = re.compile(r"\\(?:\r?\n|.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset("ntr\\'\"\n\r")
_FORMAT_FIELD = re.compile(r"\{\{|\}\}|\{[A-Za-z0-9_.\[\]!:]*\}")

SYNTAX = Syntax(
    strings=frozenset(["string"]),
    pieces=frozenset(["string_content"]),
    holes=frozenset(["interpolation"]),
    sums={"binary_operator": "+"},
    adjacent=frozenset(["concatenated_string"]),
    declarations=frozenset(["assignment"]),
)


@cache
def parser() -> Parser:
    import tree_sitter_python

    return Parser(Language(tree_sitter_python.language()))


class PythonReader(StringReader):
    """Concatenations, f-strings, and `%` or format() with marks for their holes."""

    def outer(self, node: Node) -> Node | None:
        parent = node.parent
        if parent is not None and _is_remainder(parent) and parent.child_by_field_name("left") == node:
            return parent
        return super().outer(node) or _format_around(node)

    def literal(self, top: Node) -> Literal | None:
        if not _is_remainder(top):
            return super().literal(top)
        left = top.child_by_field_name("left")
        text = self.text(left) if left is not None else None
        return None if text is None else Literal(text, self.first_line(top), formatted=True)

    def text(self, node: Node, depth: int = 0) -> str | None:
        template = _template(node)
        if template is None:
            return super().text(node, depth)
        text = super().text(template, depth + 1)
        return None if text is None else _FORMAT_FIELD.sub(_format_field, text)

    def string(self, node: Node, depth: int) -> str:
        prefix = text_of(node.children[0]).lower() if node.children else ""
        parts = []
        for child in node.children[1:]:
            if child.type == "string_content":
                text = text_of(child)
                if "f" in prefix:
                    text = text.replace("{{", "{").replace("}}", "}")
                parts.append(text if "r" in prefix else _ESCAPE.sub(_unescape, text))
            elif child.type == "interpolation":
                parts.append(self.hole(node, child, parts, depth))
        return "".join(parts)

    def hole(self, string: Node, node: Node, before: list[str], depth: int) -> str:
        known = super().hole(string, node, before, depth)
        name = helped_name(node, "".join(before)) if known == HOLE else None
        return known if name is None else name

    def declared_nodes(self) -> list[Node]:
        """A function's own names are none of the module's."""
        statements = [child for child in self.root.children if child.type == "expression_statement"]
        return [child for statement in statements for child in statement.children[:1] if child.type == "assignment"]


def _is_remainder(node: Node) -> bool:
    operator = node.child_by_field_name("operator") if node.type == "binary_operator" else None
    return operator is not None and operator.type == "%"


def _format_around(string: Node) -> Node | None:
    """The call of format() on a string, or on psycopg's `sql.SQL("...")`."""
    holder = string.parent
    if holder is not None and holder.type == "argument_list" and holder.parent is not None:
        string, holder = holder.parent, holder.parent.parent
    call = holder.parent if holder is not None and holder.type == "attribute" else None
    template = _template(call) if call is not None else None
    return call if template is not None else None


def _template(node: Node) -> Node | None:
    """What format() is called on, if the node is such a call."""
    function = node.child_by_field_name("function") if node.type == "call" else None
    if function is None or function.type != "attribute":
        return None
    attribute, template = function.child_by_field_name("attribute"), function.child_by_field_name("object")
    if attribute is None or attribute.text != b"format" or template is None:
        return None
    if template.type == "call":
        arguments = template.child_by_field_name("arguments")
        values = arguments.named_children if arguments is not None else []
        return values[0] if len(values) == 1 else None
    return template


def _unescape(match: re.Match[str]) -> str:
    escape = match.group().replace("\r\n", "\n")
    return unescaped(escape) if escape[1] in _KNOWN_ESCAPES else escape


def _format_field(match: re.Match[str]) -> str:
    return {"{{": "{", "}}": "}"}.get(match.group(), HOLE)
