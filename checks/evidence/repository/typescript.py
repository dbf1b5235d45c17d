"""String literals and template strings of TypeScript and JavaScript code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository.literals import Literal
from checks.evidence.repository.placeholders import HOLE, VALUE

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "", "\n": "", "\r\n": ""}
_STRINGS = frozenset(["string", "template_string"])
_NO_TAGS = frozenset(
    ["return", "typeof", "case", "await", "yield", "in", "of", "else", "default", "new", "void", "raw"]
)
_TAG = re.compile(rb"([A-Za-z0-9_$]+|[>)\]])\s*$")
_BEFORE_NAME = re.compile(r"(?:\b(?:from|join|into|update|table)\s+(?:only\s+)?|[.\"])$", re.IGNORECASE)
_FRAGMENT = re.compile(rb"\b(?:raw|unsafe|identifier|ident|ref|table|empty)\b|^(?:sql|db)\(")
_MAXIMUM_DEPTH = 200


@cache
def parser(extension: str) -> Parser:
    import tree_sitter_javascript
    import tree_sitter_typescript

    if extension in ("ts", "mts", "cts"):
        return Parser(Language(tree_sitter_typescript.language_typescript()))
    if extension == "tsx":
        return Parser(Language(tree_sitter_typescript.language_tsx()))
    return Parser(Language(tree_sitter_javascript.language()))


def read_literals(text: str, extension: str) -> Iterator[Literal]:
    """Every string of the module that is a whole. What a tagged template holds (`` sql`...` ``, `` $queryRaw`...` ``) are
    values, unless it stands where a name does; what any other template or a concatenation holds are holes."""
    source = text.encode("utf-8", "replace")
    root = parser(extension).parse(source).root_node
    reader = _Reader(source, _constants(root))
    pending = [root]
    while pending:
        node = pending.pop()
        literal = reader.read(node)
        if literal is None:
            pending += reversed(node.named_children)
        else:
            yield literal
            pending += reader.inside(node)


def _constants(root: Node) -> dict[str, Node | None]:
    """Names that the module declares once, at its top level, as a `const` of a string."""
    found: dict[str, Node | None] = {}
    for statement in root.children:
        declaration = (
            statement.child_by_field_name("declaration") if statement.type == "export_statement" else statement
        )
        if declaration is None or declaration.type != "lexical_declaration":
            continue
        for entry in declaration.named_children:
            name, value = entry.child_by_field_name("name"), entry.child_by_field_name("value")
            if name is not None and value is not None:
                found[_text(name)] = None if _text(name) in found else value
    return found


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


class _Reader:
    def __init__(self, source: bytes, constants: dict[str, Node | None]) -> None:
        self.source = source
        self.constants = constants

    def read(self, node: Node) -> Literal | None:
        if node.type in _STRINGS or (node.type == "binary_expression" and _is_sum(node)):
            text = self.text(node)
            return None if text is None else Literal(text, _first_line(node))
        return None

    def inside(self, node: Node) -> list[Node]:
        """What stands within a string expression and may hold further strings."""
        found, pending = [], list(node.children)
        while pending:
            child = pending.pop()
            if child.type in ("template_substitution", "arguments", "call_expression"):
                found.append(child)
            else:
                pending += child.children
        return found

    def text(self, node: Node, depth: int = 0) -> str | None:
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "string":
            return "".join(_piece(child) for child in node.named_children)
        if node.type == "template_string":
            return self._template(node, depth)
        if node.type == "parenthesized_expression" and len(node.named_children) == 1:
            return self.text(node.named_children[0], depth + 1)
        if node.type == "binary_expression" and _is_sum(node):
            return self._sum(node, depth)
        return None

    def _sum(self, node: Node, depth: int) -> str | None:
        parts: list[str | None] = []
        current: Node | None = node
        while current is not None and current.type == "binary_expression" and _is_sum(current):
            right = current.child_by_field_name("right")
            parts.append(self._part(right, depth) if right is not None else None)
            current = current.child_by_field_name("left")
        parts.append(self._part(current, depth) if current is not None else None)
        if all(part is None for part in parts):
            return None
        return "".join(HOLE if part is None else part for part in reversed(parts))

    def _part(self, node: Node, depth: int) -> str | None:
        if node.type == "identifier":
            value = self.constants.get(_text(node))
            return self.text(value, depth + 20) if value is not None else None
        return self.text(node, depth + 1)

    def _template(self, node: Node, depth: int) -> str:
        tagged = self._is_tagged(node)
        parts: list[str] = []
        for child in node.named_children:
            if child.type != "template_substitution":
                parts.append(_piece(child))
                continue
            expression = child.named_children[0] if child.named_children else None
            known = self._part(expression, depth) if expression is not None and not tagged else None
            if known is not None:
                parts.append(known)
            elif tagged and expression is not None and not self._is_fragment(expression, parts):
                parts.append(VALUE)
            else:
                parts.append(HOLE)
        return "".join(parts)

    def _is_tagged(self, node: Node) -> bool:
        """A template right after a name, a call or a type argument has a tag. Read from the text before it, because the
        grammar takes `` sql<Row>`...` `` for two comparisons."""
        before = self.source[max(0, node.start_byte - 80) : node.start_byte]
        match = _TAG.search(before)
        if match is None or before[: match.end()].rstrip().endswith(b"=>"):
            return False
        return match.group(1).decode("ascii") not in _NO_TAGS

    def _is_fragment(self, expression: Node, before: list[str]) -> bool:
        """Whether a tagged template puts it in as SQL and not as a parameter."""
        if expression.type == "template_string" or _BEFORE_NAME.search("".join(before[-1:])):
            return True
        code = (expression.text or b"")[:200]
        return bool(_FRAGMENT.search(code)) or b"`" in code


def _is_sum(node: Node) -> bool:
    operator = node.child_by_field_name("operator")
    return operator is not None and operator.type == "+"


def _piece(node: Node) -> str:
    if node.type == "escape_sequence":
        escaped = _text(node)[1:]
        return _ESCAPES.get(escaped, escaped if len(escaped) == 1 else " ")
    return _text(node) if node.type == "string_fragment" else ""


def _first_line(node: Node) -> int:
    current = node
    while current.type == "binary_expression" or current.type == "parenthesized_expression":
        current = current.named_children[0]
    return current.start_point.row + 1
