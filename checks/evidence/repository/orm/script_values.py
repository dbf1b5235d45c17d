"""Arguments of TypeScript and JavaScript calls, as far as the code tells what they are."""

from __future__ import annotations

from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.orm.named_tables import Argument
from checks.evidence.repository.orm.query import VALUE
from checks.evidence.repository.orm.script import (
    arguments_of,
    called,
    definition_of,
    is_changed,
    known_entries,
    string_of,
)
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped

_LITERALS = frozenset(["string", "template_string", "binary_expression", "object", "array"])
_MAXIMUM_DEPTH = 6


class Values:
    """`constants` are strings that modules of the repository export by name."""

    def __init__(self, constants: Mapping[str, str]) -> None:
        self.constants = constants

    def argument(self, node: Node, depth: int = 0) -> Argument:
        """The argument, also through constants and to the object that a map() makes of each row."""
        node = unwrapped(node)
        if node.type in ("identifier", "shorthand_property_identifier") and depth < _MAXIMUM_DEPTH:
            value = definition_of(text(node), node)
            if value is not None and unwrapped(value).type in _LITERALS:
                known = self.argument(value, depth + 1)
                return known._replace(whole=False) if is_changed(text(node), node) else known
            if text(node) in self.constants:
                return Argument(text(node), self.constants[text(node)])
        if node.type == "member_expression" and depth < _MAXIMUM_DEPTH:
            holder = field(node, "object")
            if holder is not None and holder.type == "this":
                value = _own_field(text(field(node, "property")), node)
                return self.argument(value, depth + 1) if value is not None else Argument(text(node))
            value = definition_of(text(holder), node) if holder is not None and holder.type == "identifier" else None
            entry = known_entries(value)[0].get(text(field(node, "property"))) if value is not None else None
            if entry is not None and unwrapped(entry).type in ("string", "template_string"):
                return self.argument(entry, depth + 1)
        if node.type == "array" and depth < _MAXIMUM_DEPTH:
            elements = tuple(self.argument(element, depth + 1) for element in named(node)[:20])
            return Argument(text(node)[:100], elements=elements)
        if called(node) == "map" and arguments_of(node) and depth < _MAXIMUM_DEPTH:
            body = field(arguments_of(node)[0], "body")
            if body is not None and unwrapped(body).type == "object":
                return self.argument(body, depth + 1)
        if node.type == "object" and depth < _MAXIMUM_DEPTH:
            found, whole = known_entries(node)
            entries = {key: self.argument(value, depth + 1) for key, value in found.items()}
            return Argument(text(node)[:100], entries=entries, whole=whole)
        return Argument(text(node)[:100], self._shape(node, depth))

    def _shape(self, node: Node, depth: int) -> str | None:
        if (plain := string_of(node)) is not None:
            return plain
        if node.type == "template_string":
            parts = []
            for child in node.named_children:
                inner = named(child)[0] if child.type == "template_substitution" and named(child) else None
                known = self.argument(inner, depth + 1).shape if inner is not None and depth < _MAXIMUM_DEPTH else None
                parts.append(text(child) if child.type == "string_fragment" else known or VALUE)
            return "".join(parts)
        if node.type == "binary_expression" and text(field(node, "operator")) == "+" and depth < _MAXIMUM_DEPTH:
            sides = [field(node, side) for side in ("left", "right")]
            return "".join(
                (self.argument(side, depth + 1).shape or VALUE) if side is not None else "" for side in sides
            )
        return None


def _own_field(name: str, near: Node) -> Node | None:
    """The literal that the class around gives a field of its own."""
    body = near.parent
    while body is not None and body.type != "class_body":
        body = body.parent
    for member in named(body):
        if (
            member.type in ("public_field_definition", "field_definition")
            and text(field(member, "name") or field(member, "property")) == name
        ):
            value = field(member, "value")
            return value if value is not None and unwrapped(value).type in _LITERALS else None
    return None
