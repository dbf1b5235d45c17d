"""What the arguments of a call in Python code are, as far as they are written out."""

from __future__ import annotations

from tree_sitter import Node

from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.syntax import field, named, text

_MAXIMUM_DEPTH = 20


class Values:
    """Strings of a module; its own constants stand for themselves."""

    def __init__(self, root: Node) -> None:
        self.constants: dict[str, Node] = {}
        for statement in root.children:
            assignment = (
                statement.children[0] if statement.type == "expression_statement" and statement.children else None
            )
            if assignment is not None and assignment.type == "assignment":
                left, right = field(assignment, "left"), field(assignment, "right")
                if left is not None and left.type == "identifier" and right is not None:
                    self.constants[text(left)] = right

    def string(self, node: Node | None, depth: int = 0) -> str | None:
        """A string that is written out: a literal, several of them, a constant, `op.f("name")`, `text("...")`."""
        if node is None or depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "string":
            if any(child.type == "interpolation" for child in node.children):
                return None
            return "".join(text(child) for child in node.children if child.type == "string_content")
        if node.type == "concatenated_string":
            return self._joined([self.string(child, depth + 1) for child in named(node)])
        if node.type == "parenthesized_expression" and len(named(node)) == 1:
            return self.string(named(node)[0], depth + 1)
        if node.type == "binary_operator" and text(field(node, "operator")) == "+":
            return self._joined([self.string(child, depth + 1) for child in named(node)])
        if node.type == "identifier":
            return self.string(self.constants.get(text(node)), depth + 1)
        if node.type == "call" and call_name(node) in ("f", "text", "dedent", "DDL", "conv", "quoted_name"):
            return self.string(next(iter(arguments_of(node)[0]), None), depth + 1)
        return None

    @staticmethod
    def _joined(parts: list[str | None]) -> str | None:
        written = [part for part in parts if part is not None]
        return "".join(written) if len(written) == len(parts) else None

    def strings(self, node: Node | None) -> list[str] | None:
        """A list of such strings; None if one of its entries is none."""
        if node is None:
            return None
        if node.type == "identifier":
            node = self.constants.get(text(node), node)
        if node.type not in ("list", "tuple", "set"):
            return None
        found = [self.string(entry) for entry in named(node)]
        written = [entry for entry in found if entry is not None]
        return written if len(written) == len(found) else None


def words_in(node: Node) -> set[str]:
    """All words of all strings within."""
    found: set[str] = set()
    pending = [node]
    while pending:
        current = pending.pop()
        if current.type == "string_content":
            found.update(word for word in _split(text(current)) if word)
        pending += current.children
    return found


def _split(content: str) -> list[str]:
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in content).split()
