"""Classes of TypeScript with their decorators, by which TypeORM and sequelize-typescript declare tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.orm.named_tables import Argument
from checks.evidence.repository.orm.script import arguments_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

Decorators = Mapping[str, list[Argument]]
_BARE_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_RETURNED = re.compile(r"=>\s*\(?\s*([A-Za-z_$][\w$]*)")
_MAXIMUM_LINEAGE = 10


class Field(NamedTuple):
    """`type` as its annotation writes it."""

    name: str
    location: Location
    decorators: Decorators
    type: str = ""


class Declared(NamedTuple):
    """`parameters` are the type arguments of the class that it extends."""

    name: str
    location: Location
    decorators: Decorators
    base: str | None
    parameters: tuple[str, ...]
    fields: tuple[Field, ...]


def read_classes(source: Source) -> Iterator[Declared]:
    pending = list(reversed(source.root.named_children))
    while pending:
        node = pending.pop()
        declaration = field(node, "declaration") if node.type == "export_statement" else node
        if declaration is None:
            continue
        if declaration.type in ("class_declaration", "abstract_class_declaration", "class"):
            outer = node.children if node is not declaration else []
            yield _read(source, declaration, [*outer, *declaration.children])
        elif declaration.type in ("internal_module", "statement_block", "expression_statement"):
            pending += reversed(declaration.named_children)


def _read(source: Source, node: Node, children: Iterable[Node]) -> Declared:
    heritage = next((child for child in node.children if child.type == "class_heritage"), None)
    extends = next((child for child in named(heritage) if child.type == "extends_clause"), None)
    # JavaScript's grammar has the class itself where TypeScript's has clauses.
    inner = [child for child in named(heritage) if not child.type.endswith("_clause")]
    base = field(extends, "value") if extends is not None else (inner[0] if inner else None)
    given = next((child for child in named(extends) if child.type == "type_arguments"), None)
    parameters = tuple(text(entry) for entry in named(given))
    fields = []
    for member in named(field(node, "body")):
        if member.type in ("public_field_definition", "field_definition"):
            annotation = text(field(member, "type")).lstrip(": ").strip()
            name = text(field(member, "name") or field(member, "property"))
            fields.append(Field(name, source.location(member), _decorators(member.children), annotation))
    return Declared(
        text(field(node, "name")), source.location(node), _decorators(children),
        text(base).rpartition(".")[2] if base is not None else None, parameters, tuple(fields),
    )  # fmt: skip


def _decorators(children: Iterable[Node]) -> Decorators:
    values = Values({})
    found: dict[str, list[Argument]] = {}
    for child in children:
        inner = named(child)[0] if child.type == "decorator" and named(child) else None
        if inner is None:
            continue
        if inner.type == "call_expression":
            name = text(field(inner, "function")).rpartition(".")[2]
            found[name] = [values.argument(argument) for argument in arguments_of(inner)]
        else:
            found[text(inner).rpartition(".")[2]] = []
    return found


def lineage(
    entry: Declared, by_name: Mapping[str, list[Declared]], roots: frozenset[str]
) -> tuple[list[Declared], bool]:
    """The class with those that it extends, the most general first; whether all of them are known. `roots` are the library's
    own classes."""
    found = [entry]
    current = entry
    while current.base is not None and current.base not in roots and len(found) < _MAXIMUM_LINEAGE:
        known = by_name.get(current.base, [])
        if len(known) != 1 or known[0] in found:
            return found[::-1], False
        current = known[0]
        found.append(current)
    return found[::-1], True


def returned_name(argument: Argument) -> str | None:
    """The class in `() => User`, or one given by its name."""
    if argument.string is not None:
        return argument.string
    match = _RETURNED.search(argument.text)
    if match:
        return match.group(1)
    return argument.text if _BARE_NAME.fullmatch(argument.text) else None


def entry_text(entries: Mapping[str, Argument] | None, name: str) -> str | None:
    """The string of an entry."""
    return entries[name].string if entries and name in entries else None


def is_true(entries: Mapping[str, Argument] | None, name: str) -> bool:
    return bool(entries) and name in (entries or {}) and (entries or {})[name].text == "true"


def number_of(entries: Mapping[str, Argument] | None, name: str) -> int | None:
    written = (entries or {})[name].text.strip("'\"") if name in (entries or {}) else ""
    return int(written) if written.isascii() and written.isdigit() and len(written) < 9 else None
