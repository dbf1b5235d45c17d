"""Trees of source files, and the ways through them that every reader of ORM calls takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from tree_sitter import Node

from checks.evidence.repository import languages
from checks.evidence.repository.files import SourceFile
from checks.model import Location

MAXIMUM_PER_FILE = 600

_FUNCTIONS = frozenset(
    "function_definition function_declaration method_definition arrow_function function_expression "
    "generator_function_declaration function_item method_declaration method singleton_method".split()
)
_WRAPPERS = frozenset("parenthesized_expression as_expression satisfies_expression non_null_expression await".split())


class Source:
    """A parsed file. `names` are what its imports and declarations call things: local name to original name."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.bytes = file.text.encode("utf-8", "replace")
        parser = languages.parser(languages.kind_of(file.extension))
        self.language = parser.language
        self.root = parser.parse(self.bytes).root_node

    def location(self, node: Node) -> Location:
        return Location(self.file.path, node.start_point.row + 1)

    def found(self, pattern: re.Pattern[bytes], kinds: frozenset[str]) -> Iterator[tuple[re.Match[bytes], Node]]:
        """The name tokens of those kinds at each match's first group, of the first 600 matches: what stands in strings and
        comments is none."""
        for match in islice(pattern.finditer(self.bytes), MAXIMUM_PER_FILE):
            node = self.root.descendant_for_byte_range(match.start(1), match.end(1))
            if node is not None and node.type in kinds and node.end_byte - node.start_byte == len(match.group(1)):
                yield match, node


@lru_cache(maxsize=2)
def source_of(file: SourceFile) -> Source:
    return Source(file)


def text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


@lru_cache(maxsize=4)
def whole_text(node: Node | None) -> str:
    """The same for a function, which is asked for again and again."""
    return text(node)


def field(node: Node, name: str) -> Node | None:
    return node.child_by_field_name(name)


def named(node: Node | None) -> list[Node]:
    """Its named children but for comments."""
    return [child for child in node.named_children if child.type != "comment"] if node is not None else []


def unwrapped(node: Node) -> Node:
    """Without parentheses, casts and await."""
    while node.type in _WRAPPERS or node.type == "await_expression":
        inner = named(node)
        if not inner:
            break
        node = inner[0]
    return node


def function_around(node: Node) -> Node | None:
    """The named function or method that it stands in, else the innermost function."""
    innermost = None
    current = node.parent
    while current is not None:
        if current.type in _FUNCTIONS:
            innermost = innermost or current
            if function_name(current):
                return current
        current = current.parent
    return innermost


def function_name(node: Node | None) -> str | None:
    if node is None:
        return None
    name = field(node, "name")
    if name is None and node.parent is not None and node.parent.type in ("variable_declarator", "pair"):
        name = field(node.parent, "name") or field(node.parent, "key")
    return text(name)[:100] or None
