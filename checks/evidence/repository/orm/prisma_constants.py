"""Objects that modules export for calls of Prisma's client: `export const shown = { id: true } satisfies Prisma.UserSelect`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository import languages
from checks.evidence.repository.orm.drizzle_shared import declared, object_of
from checks.evidence.repository.orm.script import Imports, arguments_of, definition_of, is_changed, is_shadowed, key_of
from checks.evidence.repository.orm.script import resolved as resolved_here
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped

CANDIDATE = re.compile(
    r"\bexport const (?:\w*(?:[sS]elect|[iI]nclude|[wW]here|[aA]rgs|[fF]ields)\b|\w+[^;]{0,2000}\bPrisma\.\w)"
)
_MAXIMUM_DEPTH = 6
_MAXIMUM_CHARACTERS = 20_000


def read_constants(source: Source) -> dict[str, str]:
    """By name the code of the objects that the file declares outside of functions."""
    found = {}
    for name, value in declared(source):
        inner = arguments_of(value)[0] if "Prisma.validator" in text(value)[:60] and arguments_of(value) else value
        entries = object_of(unwrapped(inner)) if value.type != "function_declaration" else None
        if entries is not None and entries.end_byte - entries.start_byte < _MAXIMUM_CHARACTERS:
            found[name] = text(entries)
    return found


class Constants:
    """What the names of a file stand for, where the repository has only one object of that name."""

    def __init__(self, exported: Mapping[str, str], source: Source) -> None:
        self._exported = exported
        self._root = source.root
        self._imported = Imports(source.file.text).names
        self._read: dict[str, Node | None] = {}

    def resolved(self, node: Node) -> Node:
        """The object or array that a constant stands for, of this file or imported."""
        node = resolved_here(node)
        if node.type not in ("identifier", "shorthand_property_identifier"):
            return node
        name = text(node)
        # A constant of another file has that file's imports.
        original = self._imported.get(name) if _root(node) == self._root else name
        if original is None or original not in self._exported or is_shadowed(name, node):
            return node
        if original not in self._read:
            code = f"const it = {self._exported[original]};".encode("utf-8", "replace")
            root = languages.parser("ts").parse(code).root_node
            declaration = root.named_children[0] if root.named_children else None
            entry = declaration.named_children[0] if declaration is not None and declaration.named_children else None
            self._read[original] = field(entry, "value") if entry is not None else None
        return self._read[original] or node

    def entries(self, node: Node | None, depth: int = 0) -> tuple[dict[str, Node], bool]:
        """The entries of an object whose names are known, with those of constants that it spreads; and whether that is all."""
        value = self.resolved(node) if node is not None else None
        if value is None or value.type != "object" or depth > _MAXIMUM_DEPTH:
            return {}, False
        found: dict[str, Node] = {}
        whole = True
        for entry in named(value):
            if entry.type == "spread_element" and named(entry):
                more, all_known = self._spread(named(entry)[0], depth)
                found |= more
                whole &= all_known
                continue
            key = key_of(entry)
            inner = entry if entry.type == "shorthand_property_identifier" else field(entry, "value")
            if key is None or inner is None:
                whole = False
            else:
                found[key] = inner
        return found, whole

    def _spread(self, node: Node, depth: int) -> tuple[dict[str, Node], bool]:
        if node.type == "identifier":
            own = definition_of(text(node), node)
            if own is not None and is_changed(text(node), node):
                return {}, False
            return self.entries(node, depth + 1)
        return self.entries(node, depth + 1) if node.type == "object" else ({}, False)


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node
