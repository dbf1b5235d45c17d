"""Models of ActiveRecord, with the columns that db/schema.rb or db/structure.sql gives their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.activerecord_tables import Table
from checks.evidence.repository.orm.ruby import (
    arguments_of,
    camelized,
    entries_of,
    method_of,
    name_of,
    pluralized,
    singularized,
    string_of,
    underscored,
)
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

CANDIDATE = re.compile(r"^[ \t]*class\s+[A-Z][\w:]*\s*<\s*(?:::)?[A-Z]|\bActiveSupport::Concern\b", re.MULTILINE)
_CONCERN = re.compile(r"\bextend\s+(?:::)?ActiveSupport::Concern\b")
# A body that is nothing but a relation.
_GIVES = re.compile(
    r"(?:::)?([A-Z]\w*(?:::[A-Z]\w*)*)\s*\.(?:where|joins|left_joins|includes|order|unscoped|with_\w+|for_\w+|by_\w+)\b"
    r"(?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\s*\.\s*(?:where|not|joins|includes|order|limit|distinct|all)\b)*\s*\Z"
)
# Stands for the class that includes a concern.
_INCLUDER = "Includer"
_INCLUDERS_KEY = "includer_id"
_MAXIMUM_CONCERNS = 100
_ROOTS = frozenset(["ApplicationRecord", "ActiveRecord::Base"])


class Declaration(NamedTuple):
    """A class that may be a model, or a concern, which has no parent. `scopes` are by name the body of their lambda, as a file's
    code; `methods` the class's own, `scoped` the relations with conditions of their own, `own_writes` the methods of a row that
    it has written anew, `primary_key` the columns that the class itself says, `includes` the names of modules as they are
    written there, `gives` by method of a row the class whose relation it returns."""

    name: str
    parent: str
    location: Location
    table: str | None = None
    abstract: bool = False
    relations: tuple[ModelRelation, ...] = ()
    indexes: tuple[ModelIndex, ...] = ()
    scopes: tuple[tuple[str, str], ...] = ()
    methods: frozenset[str] = frozenset()
    has_default_scope: bool = False
    scoped: frozenset[str] = frozenset()
    own_writes: frozenset[str] = frozenset()
    primary_key: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    gives: tuple[tuple[str, str], ...] = ()


def read_declarations(source: Source) -> list[Declaration]:
    """The classes of the file that have a parent, and its concerns."""
    found = []
    pending: list[tuple[Node, str]] = [(source.root, "")]
    while pending:
        node, outer = pending.pop()
        if node.type in ("class", "module"):
            name = "::".join(part for part in (outer, text(field(node, "name"))) if part)
            parent = field(node, "superclass")
            if node.type == "class" and parent is not None and named(parent):
                found.append(_declaration(source, node, name, text(named(parent)[0]).removeprefix("::")))
            elif node.type == "module" and _CONCERN.search(text(field(node, "body"))[:2_000]):
                found.append(_declaration(source, node, name, ""))
            pending += [(child, name) for child in named(field(node, "body"))]
        elif node.type in ("program", "body_statement", "begin_block"):
            pending += [(child, outer) for child in named(node)]
    return found


def _declaration(source: Source, node: Node, name: str, parent: str) -> Declaration:
    table = None
    keys: tuple[str, ...] = ()
    abstract = default = False
    relations: list[ModelRelation] = []
    indexes: list[ModelIndex] = []
    scopes: list[tuple[str, str]] = []
    methods: set[str] = set()
    scoped: set[str] = set()
    written: set[str] = set()
    includes: list[str] = []
    gives: list[tuple[str, str]] = []
    for statement in _statements(node):
        if statement.type == "assignment":
            left = text(field(statement, "left"))
            if left == "self.table_name":
                table = name_of(field(statement, "right")) or table
            if left == "self.primary_key":
                keys = _names(field(statement, "right"))
            abstract |= left == "self.abstract_class" and text(field(statement, "right")) == "true"
        elif statement.type == "method":
            written.add(text(field(statement, "name")))
            if begun := _GIVES.match(text(field(statement, "body"))):
                gives.append((text(field(statement, "name")), begun.group(1)))
        elif statement.type == "singleton_method":
            methods.add(text(field(statement, "name")))
        elif statement.type == "singleton_class":
            methods |= _method_names(field(statement, "body"))
        elif statement.type == "call":
            word = method_of(statement)
            written |= {"destroy", "delete"} if _KEEPS_ROWS.match(word) else set()
            default |= word == "default_scope"
            if word in ("include", "prepend"):
                includes += [text(argument).removeprefix("::") for argument in arguments_of(statement)]
            if word == "class_methods" and (block := field(statement, "block")) is not None:
                methods |= _method_names(field(block, "body"))
            if word == "scope" and (scope := _scope(statement)):
                scopes.append(scope)
            elif word in ("belongs_to", "has_many", "has_one", "has_and_belongs_to_many"):
                relation = _relation(name if parent else _INCLUDER, word, statement)
                relations += [relation] if relation else []
                scoped |= {relation.attribute} if relation and len(arguments_of(statement)) > 1 else set()
            elif word in ("validates", "validates_uniqueness_of"):
                indexes += _uniqueness(word, statement)
    return Declaration(
        name,
        parent,
        source.location(node),
        table,
        abstract,
        tuple(relations),
        tuple(indexes),
        tuple(scopes),
        frozenset(methods),
        default,
        frozenset(scoped),
        frozenset(written & WRITES),
        keys,
        tuple(includes),
        tuple(gives),
    )


def _statements(node: Node) -> list[Node]:
    """What stands in the body of the class; of a concern also what it has the class run that includes it."""
    found: list[Node] = []
    for statement in named(field(node, "body")):
        block = field(statement, "block") if method_of(statement) == "included" else None
        found += [statement] if block is None else named(field(block, "body"))
    return found


def _method_names(body: Node | None) -> set[str]:
    return {text(field(child, "name")) for child in named(body) if child.type == "method"}


def _names(node: Node | None) -> tuple[str, ...]:
    """A name, or those of a list; none if one is not written."""
    found = [name_of(child) for child in (named(node) if node is not None and node.type == "array" else [node])]
    return tuple(name for name in found if name) if all(found) else ()


def _scope(call: Node) -> tuple[str, str] | None:
    """The name of a scope and the code of its lambda's body."""
    arguments = arguments_of(call)
    name = name_of(arguments[0]) if arguments else None
    if name is None or len(arguments) < 2:
        return None
    body = field(arguments[1], "body") or field(arguments[1], "block")
    return name, text(body)[:2_000].strip().removeprefix("do").removesuffix("end").strip(
        "{} \n"
    ) if body is not None else ""


def _relation(model: str, word: str, call: Node) -> ModelRelation | None:
    arguments = arguments_of(call)
    attribute = name_of(arguments[0]) if arguments else None
    if attribute is None:
        return None
    options, _ = entries_of(call)
    named_class = string_of(options.get("class_name"))
    target = named_class or camelized(attribute if word in ("belongs_to", "has_one") else singularized(attribute))
    key = name_of(options.get("foreign_key"))
    is_plain = not options.keys() & {"through", "polymorphic", "as", "primary_key"}
    if word == "belongs_to":
        return ModelRelation(attribute, target, (key or f"{attribute}_id",) if is_plain else ())
    known = (key or f"{underscored(model)}_id",) if is_plain and word != "has_and_belongs_to_many" else ()
    dependent = (name_of(options.get("dependent")) or "") if known and len(arguments) == 1 else ""
    return ModelRelation(attribute, target, (), known, word != "has_one", dependent)


def _uniqueness(word: str, call: Node) -> list[ModelIndex]:
    """What `validates :email, uniqueness: { scope: :account_id }` says is unique."""
    options, _ = entries_of(call)
    rule: Node | None = call if word == "validates_uniqueness_of" else options.get("uniqueness")
    if rule is None or text(rule) == "false":
        return []
    details = options if rule == call else entries_of(rule)[0]
    scope = details.get("scope")
    scoped = (
        [name_of(entry) for entry in named(scope)]
        if scope is not None and scope.type == "array"
        else [name_of(scope)] * (scope is not None)
    )
    names = [name for name in scoped if name]
    partial = (
        len(names) < len(scoped)
        or bool(details.keys() & {"conditions", "case_sensitive", "if", "unless"})
        or bool(options.keys() & {"if", "unless", "on"})
    )
    return [
        ModelIndex((*names, attribute), None, True, None, partial, True, text(details.get("case_sensitive")) == "false")
        for argument in arguments_of(call)
        if (attribute := name_of(argument))
    ]


# Methods of a row that send a statement.
WRITES = frozenset(
    "save save! update update! update_attributes update_attributes! update_attribute update_column update_columns touch "
    "destroy destroy! delete".split()
)
_KEEPS_ROWS = re.compile(r"acts_as_paranoid|has_soft_delet|soft_delet")


class Entry(NamedTuple):
    """A model with what its class says besides, itself and by its concerns. `inherits`: it shares its table with its parent.
    `concerns` are those that the class itself includes, by name and path."""

    model: Model
    declaration: Declaration
    scopes: dict[str, str]
    inherits: bool
    concerns: tuple[tuple[str, str], ...] = ()


def build_models(declarations: Iterable[Declaration], tables: Iterable[Table]) -> dict[str, Entry]:
    """The models by the full names of their classes."""
    by_name = {declaration.name: declaration for declaration in declarations}
    by_last: dict[str, list[Declaration]] = {}
    for declaration in by_name.values():
        by_last.setdefault(declaration.name.rpartition("::")[2], []).append(declaration)
    known = {table.name: table for table in tables}
    built: dict[str, Entry] = {}
    for declaration in by_name.values():
        line = _line(declaration, by_name, by_last)
        if not line or declaration.abstract:
            continue
        own = _concerns(declaration, by_name)
        line = [_with_concerns(entry, _concerns(entry, by_name)) for entry in line]
        declaration = line[0]
        concrete = [entry for entry in line if not entry.abstract]
        table = _table(concrete[-1], known) if concrete else None
        for entry in reversed(concrete):
            if entry.table:
                table = known.get(entry.table.rpartition(".")[2]) or (
                    Table(entry.table, None, ()) if not known else None
                )
        if table is None:
            continue
        scopes = {name: body for entry in reversed(line) for name, body in entry.scopes}
        relations = tuple(relation for entry in line for relation in entry.relations)
        keys = next((entry.primary_key for entry in line if entry.primary_key), ())
        table = table._replace(columns=_keyed(table.columns, keys))
        columns = {column.name: column for column in table.columns}
        indexes = tuple(index for entry in line for index in entry.indexes)
        model = Model(declaration.name, "activerecord", table.name, declaration.location, table.schema, table.columns, relations,
                      tuple(_by_column(index, columns, relations) for index in indexes), bool(table.columns))  # fmt: skip
        built[declaration.name] = Entry(model, declaration, scopes, len(concrete) > 1,
                                        tuple((concern.name, concern.location.path) for concern in own))  # fmt: skip
    return built


def _keyed(columns: tuple[ModelColumn, ...], keys: tuple[str, ...]) -> tuple[ModelColumn, ...]:
    """The columns with the primary key that the class says, which may be another than the table's."""
    if not keys or not {column.name for column in columns} >= set(keys):
        return columns
    return tuple(msgspec.structs.replace(column, primary_key=column.name in keys) for column in columns)


def _by_column(index: ModelIndex, columns: dict[str, ModelColumn], relations: tuple[ModelRelation, ...]) -> ModelIndex:
    """The index with columns where the class names a relation."""
    keys = {relation.attribute: relation.columns[0] for relation in relations if len(relation.columns) == 1}
    named_ = tuple(name if name in columns else keys.get(name, name) for name in index.columns)
    partial = index.partial or any(name not in columns for name in named_)
    return msgspec.structs.replace(index, columns=named_, partial=partial)


def _line(
    declaration: Declaration, by_name: dict[str, Declaration], by_last: dict[str, list[Declaration]]
) -> list[Declaration]:
    """The class and its ancestors up to ActiveRecord; empty if it does not descend from it."""
    line = [declaration]
    while line[-1].parent not in _ROOTS:
        parent = line[-1].parent
        scope = line[-1].name.rpartition("::")[0]
        found = by_name.get(f"{scope}::{parent}") or by_name.get(parent)
        if found is None and len(same := by_last.get(parent.rpartition("::")[2], [])) == 1:
            found = same[0]
        if found is None or found in line or len(line) > 20:
            return []
        line.append(found)
    return line


def _concerns(declaration: Declaration, by_name: dict[str, Declaration]) -> list[Declaration]:
    """The concerns that the class includes, and those that they include."""
    found: list[Declaration] = []
    pending = [(declaration.name, name) for name in declaration.includes]
    while pending and len(found) < _MAXIMUM_CONCERNS:
        scope, name = pending.pop(0)
        while (concern := by_name.get(f"{scope}::{name}" if scope else name)) is None and scope:
            scope = scope.rpartition("::")[0]
        if concern is not None and not concern.parent and concern not in found:
            found.append(concern)
            pending += [(concern.name, other) for other in concern.includes]
    return found


def _with_concerns(declaration: Declaration, concerns: list[Declaration]) -> Declaration:
    """The class as its concerns make it."""
    if not concerns:
        return declaration
    relations = list(declaration.relations)
    key = f"{underscored(declaration.name)}_id"
    for relation in (relation for concern in concerns for relation in concern.relations):
        references = tuple(key if name == _INCLUDERS_KEY else name for name in relation.references)
        relations.append(msgspec.structs.replace(relation, references=references))
    parts = [*reversed(concerns), declaration]
    return declaration._replace(
        relations=tuple(reversed({relation.attribute: relation for relation in reversed(relations)}.values())),
        indexes=tuple(index for part in parts for index in part.indexes),
        scopes=tuple(scope for part in parts for scope in part.scopes),
        methods=frozenset().union(*(part.methods for part in parts)),
        scoped=frozenset().union(*(part.scoped for part in parts)),
        own_writes=frozenset().union(*(part.own_writes for part in parts)),
        gives=tuple(each for part in parts for each in part.gives),
        has_default_scope=any(part.has_default_scope for part in parts),
    )


def _table(declaration: Declaration, known: dict[str, Table]) -> Table | None:
    """The table that the name of the class stands for: with the module's name before it, or without."""
    if declaration.table:
        return known.get(declaration.table.rpartition(".")[2])
    scope, _, last = declaration.name.rpartition("::")
    plain = pluralized(underscored(last))
    prefixed = f"{underscored(scope)}_{plain}" if scope else plain
    if not known:
        return Table(plain, None, ())
    return known.get(prefixed) or known.get(plain)
