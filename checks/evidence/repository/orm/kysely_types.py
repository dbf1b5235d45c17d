"""The tables that the type of Kysely's database declares."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

DATABASE = re.compile(r"\b(?:Kysely|Transaction)<\s*([A-Za-z_]\w*)\s*>")
CANDIDATE = re.compile(r"\b(?:interface|type)\s+\w+")
_WRAPPER = re.compile(
    r"(?:Generated|GeneratedAlways|ColumnType|JSONColumnType)<\s*([^,<>]*(?:<[^<>]*>)?)[^<>]*(?:<[^<>]*>[^<>]*)*>"
)
_MAXIMUM_TYPES = 50


class Types:
    """Object types by name, each with its place, what it extends and its members."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Source, Node, tuple[str, ...], dict[str, Node]]] = {}

    def read(self, source: Source) -> None:
        for node in source.root.named_children:
            declaration = field(node, "declaration") if node.type == "export_statement" else node
            if declaration is None or declaration.type not in ("interface_declaration", "type_alias_declaration"):
                continue
            name = text(field(declaration, "name"))
            body = field(declaration, "body") or field(declaration, "value")
            extends = tuple(
                text(parent)
                for child in declaration.named_children
                if child.type == "extends_type_clause"
                for parent in named(child)
            )
            members = members_of(body)
            if members or extends:
                self._known.setdefault(name, (source, declaration, extends, members))

    def tables(self, database: str, spell: Callable[[str], str], seen: set[str] | None = None) -> list[Model]:
        """The tables of the database's type and of those that it extends."""
        seen = set() if seen is None else seen
        entry = self._known.get(database)
        if entry is None or database in seen or len(seen) > _MAXIMUM_TYPES:
            return []
        seen.add(database)
        _, _, extends, members = entry
        found = [model for parent in extends for model in self.tables(parent, spell, seen)]
        for name, value in members.items():
            written = _type_of(value)
            table = self._known.get(written)
            if table is None:
                continue
            source, node, parents, columns = table
            whole = not parents
            *schema, plain = name.split(".")
            read = tuple(_column(source, attribute, entry, spell) for attribute, entry in columns.items())
            found.append(
                Model(
                    written,
                    "kysely",
                    spell(plain),
                    source.location(node),
                    schema[0] if schema else None,
                    read,
                    complete=whole,
                )
            )
        return found


def members_of(node: Node | None) -> dict[str, Node]:
    """The members of an object type by name."""
    while node is not None and node.type in ("type_annotation", "parenthesized_type") and named(node):
        node = named(node)[0]
    if node is None or node.type not in ("object_type", "interface_body"):
        return {}
    found = {}
    for member in named(node):
        value = field(member, "type")
        if member.type == "property_signature" and value is not None:
            found[text(field(member, "name")).strip("'\"")] = value
    return found


def _type_of(node: Node) -> str:
    return text(node).lstrip(": \n").strip()


def _column(source: Source, name: str, node: Node, spell: Callable[[str], str]) -> ModelColumn:
    written = _type_of(node)
    nullable = bool(re.search(r"\|\s*null\b", written))
    plain = re.sub(r"\s*\|\s*(?:null|undefined)\b", "", written)
    match = _WRAPPER.fullmatch(plain)
    place: Location = source.location(node)
    return ModelColumn(spell(name), name, place, (match.group(1) if match else plain)[:60], nullable=nullable)
