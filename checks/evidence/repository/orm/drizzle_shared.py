"""What Drizzle's tables are made with, where other files have it: schemas, prefixes, columns in common, functions for columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import ModelColumn
from checks.evidence.repository.orm.script import arguments_of, called, chain_above, string_of
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped

_CUSTOM_TYPE = re.compile(r"\bdataType\b[^{]{0,200}\{\s*return\s+['\"]([a-z][\w ]*)")
_FUNCTIONS = frozenset(["arrow_function", "function_expression"])

Thing = TypeVar("Thing")


class Maker(msgspec.Struct, frozen=True):
    """A function that makes a column: of what type, with which further steps (`notNull`, ...)."""

    kind: str
    length: int | None = None
    steps: tuple[str, ...] = ()


class Shared(msgspec.Struct, frozen=True):
    """By the name that a file gives it: pgSchema's schemas, the prefixes of pgTableCreator, makers of columns, and columns that
    several tables have, with whether those are all."""

    schemas: dict[str, str]
    prefixes: dict[str, str]
    makers: dict[str, Maker]
    columns: dict[str, tuple[tuple[ModelColumn, ...], bool]]


def declared(source: Source) -> Iterator[tuple[str, Node]]:
    """The names that the file declares outside of functions, with their values or functions."""
    for statement in source.root.named_children:
        inner = field(statement, "declaration") if statement.type == "export_statement" else statement
        if inner is None:
            continue
        if inner.type == "function_declaration":
            yield text(field(inner, "name")), inner
        elif inner.type == "lexical_declaration":
            for entry in inner.named_children:
                value = field(entry, "value")
                if value is not None:
                    yield text(field(entry, "name")), unwrapped(value)


def schema_of(value: Node) -> str | None:
    """The name in `pgSchema("billing")`."""
    arguments = arguments_of(value) if called(value) == "pgSchema" else []
    return string_of(arguments[0]) if arguments else None


def prefix_of(value: Node) -> str | None:
    """What `pgTableCreator((name) => `prefix_${name}`)` puts before names."""
    arguments = arguments_of(value) if called(value) == "pgTableCreator" else []
    body = field(arguments[0], "body") if arguments else None
    match = re.fullmatch(r"`([\w-]*)\$\{\w+\}`", text(body)) if body is not None else None
    return match.group(1) if match else None


def maker_of(value: Node) -> Maker | None:
    """A type of its own by customType, or a function that hands its first parameter to the function of a type."""
    if called(value) == "customType":
        match = _CUSTOM_TYPE.search(text(value))
        return Maker(match.group(1).strip()) if match else None
    parameters = field(value, "parameters") or field(value, "parameter")
    first = next(iter(named(parameters)), parameters) if parameters is not None else None
    name = text(field(first, "pattern") or first) if first is not None else ""
    body = field(value, "body") if value.type == "function_declaration" or value.type in _FUNCTIONS else None
    if body is None or not name.isidentifier():
        return None
    pending = [body]
    while pending:
        node = pending.pop()
        arguments = arguments_of(node) if node.type == "call_expression" else []
        if arguments and text(arguments[0]) == name and called(node):
            length = re.search(r"\blength:\s*([0-9]{1,9})\b", text(arguments[1])) if len(arguments) > 1 else None
            steps = tuple(step for step, _ in chain_above(node)[1])
            return Maker(called(node), int(length.group(1)) if length else None, steps)
        pending += reversed(node.named_children)
    return None


def object_of(value: Node) -> Node | None:
    """The object that the name stands for, or that the function returns as the only thing it does."""
    body = field(value, "body") if value.type == "function_declaration" or value.type in _FUNCTIONS else value
    if body is not None and body.type == "statement_block":
        statements = named(body)
        body = (
            next(iter(named(statements[0])), None) if [one.type for one in statements] == ["return_statement"] else None
        )
    body = unwrapped(body) if body is not None else None
    return body if body is not None and body.type == "object" else None


def together(parts: Iterable[Shared]) -> Shared:
    """All of them by name; a name that stands for two things stands for none."""
    found = list(parts)
    return Shared(
        _unambiguous([part.schemas for part in found]),
        _unambiguous([part.prefixes for part in found]),
        _unambiguous([part.makers for part in found]),
        _unambiguous([part.columns for part in found]),
    )


def _unambiguous(parts: list[dict[str, Thing]]) -> dict[str, Thing]:
    found: dict[str, Thing] = {}
    twice: set[str] = set()
    for part in parts:
        for name, value in part.items():
            if found.setdefault(name, value) != value:
                twice.add(name)
    return {name: value for name, value in found.items() if name not in twice}


def as_imported(shared: Shared, imported: dict[str, str], own: Shared) -> Shared:
    """What a file's own names and those that it imports stand for."""

    def named_here(theirs: dict[str, Thing], ours: dict[str, Thing]) -> dict[str, Thing]:
        return {local: theirs[name] for local, name in imported.items() if name in theirs} | ours

    return Shared(
        named_here(shared.schemas, own.schemas),
        named_here(shared.prefixes, own.prefixes),
        named_here(shared.makers, own.makers),
        named_here(shared.columns, own.columns),
    )
