"""Fields, choices, indexes and constraints of Django models."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import ModelIndex
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.syntax import field, named, text
from checks.model import Location

RELATIONS = frozenset(["ForeignKey", "OneToOneField", "ManyToManyField"])
_NO_COLUMN = frozenset(["GenericForeignKey", "GenericRelation", "ReverseGenericManyToOneField", "FileFieldMixin"])
_METHODS = {
    "GinIndex": "gin", "GistIndex": "gist", "SpGistIndex": "spgist", "BrinIndex": "brin", "HashIndex": "hash",
    "BloomIndex": "bloom", "HnswIndex": "hnsw", "IvfflatIndex": "ivfflat",
}  # fmt: skip
_LENGTHS = {
    "SlugField": 50,
    "EmailField": 254,
    "URLField": 200,
    "FilePathField": 100,
    "FileField": 100,
    "ImageField": 100,
}
_CHOICES = re.compile(r"(?:Text|Integer)?Choices$|^Enum$|^StrEnum$|^IntEnum$")


class Field(msgspec.Struct):
    """`column` is its name in the database. `to` is what a relation leads to as written, `choices` the name of its choices."""

    name: str
    column: str
    kind: str
    location: Location
    length: int | None = None
    dimensions: int | None = None
    nullable: bool = False
    unique: bool = False
    indexed: bool = False
    key: bool = False
    to: str = ""
    to_field: str = ""
    through: str = ""
    table: str = ""
    related_name: str = ""
    values: tuple[str, ...] = ()
    choices: str = ""
    on_update: bool = False


def is_field(called: str) -> bool:
    return (called.endswith("Field") or called in RELATIONS) and called not in _NO_COLUMN


def read_field(name: str, called: str, call: Node, location: Location) -> Field:
    positional, keywords = arguments_of(call)
    relation = called in RELATIONS
    found = Field(name, name + "_id" * (called in ("ForeignKey", "OneToOneField")), called, location)
    found.column = string_of(keywords.get("db_column")) or found.column
    found.nullable = text(keywords.get("null")) == "True"
    found.unique = text(keywords.get("unique")) == "True" or called == "OneToOneField"
    found.key = text(keywords.get("primary_key")) == "True"
    found.indexed = text(keywords.get("db_index")) == "True" or called == "SlugField" or called == "ForeignKey"
    if text(keywords.get("db_index")) == "False":
        found.indexed = False
    found.on_update = text(keywords.get("auto_now")) == "True"
    found.length = _number(keywords.get("max_length")) or _LENGTHS.get(called)
    found.dimensions = _number(keywords.get("dimensions")) or _number(keywords.get("max_dimensions"))
    if relation:
        to = positional[0] if positional else keywords.get("to")
        found.to = string_of(to) or text(to)
        found.to_field = string_of(keywords.get("to_field")) or ""
        found.through = string_of(keywords.get("through")) or text(keywords.get("through"))
        found.table = string_of(keywords.get("db_table")) or ""
        found.related_name = string_of(keywords.get("related_name")) or ""
    if (choices := keywords.get("choices")) is not None:
        found.values = choices_of(choices) if choices.type in ("list", "tuple") else ()
        found.choices = text(choices) if not found.values else ""
    return found


def choices_of(node: Node) -> tuple[str, ...]:
    """The values of a list of pairs, or of a class of choices; empty where any of them is no literal."""
    if node.type == "class_definition":
        bases = [text(base).rpartition(".")[2] for base in named(field(node, "superclasses"))]
        if not any(_CHOICES.search(base) for base in bases):
            return ()
        entries = []
        for statement in named(field(node, "body")):
            assignment = (
                statement.children[0] if statement.type == "expression_statement" and statement.children else None
            )
            if assignment is not None and assignment.type == "assignment" and not text(assignment).startswith("__"):
                entries.append(field(assignment, "right"))
    else:
        entries = list(named(node))
    values: list[str] = []
    for entry in entries:
        first = (
            named(entry)[0]
            if entry is not None and entry.type in ("tuple", "list", "expression_list") and named(entry)
            else entry
        )
        if first is not None and first.type == "call":
            first = next(iter(arguments_of(first)[0]), None)
        value = string_of(first)
        if value is None and first is not None and first.type == "integer":
            value = text(first)
        if value is None:
            return ()
        values.append(value)
    return tuple(values)


def read_meta_index(call: Node) -> ModelIndex | None:
    """An entry of Meta.indexes or a unique constraint of Meta.constraints; None for any other constraint."""
    kind = call_name(call)
    if kind != "UniqueConstraint" and not kind.endswith("Index"):
        return None
    positional, keywords = arguments_of(call)
    columns = tuple(part for entry in named(keywords.get("fields")) if (part := string_of(entry)))
    partial = "condition" in keywords or bool(positional)
    name = string_of(keywords.get("name"))
    return ModelIndex(columns, name, kind == "UniqueConstraint", _METHODS.get(kind), partial)


def _number(node: Node | None) -> int | None:
    return int(text(node)) if node is not None and node.type == "integer" and text(node).isdigit() else None
