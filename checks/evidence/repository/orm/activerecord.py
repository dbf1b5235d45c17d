"""Models of ActiveRecord, with the columns that db/schema.rb or db/structure.sql gives their tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.activerecord_declarations import INCLUDERS_KEY, Declaration
from checks.evidence.repository.orm.activerecord_tables import Table
from checks.evidence.repository.orm.ruby import pluralized, singularized, underscored

_ROOTS = frozenset(["ApplicationRecord", "ActiveRecord::Base"])
_MAXIMUM_CONCERNS = 100


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
    declarations = list(declarations)
    by_name = {declaration.name: declaration for declaration in declarations}
    by_last: dict[str, list[Declaration]] = {}
    for declaration in by_name.values():
        by_last.setdefault(declaration.name.rpartition("::")[2], []).append(declaration)
    known = {table.name: table for table in tables}
    prefixes = {declaration.name: declaration.prefix for declaration in declarations if declaration.prefix}
    built: dict[str, Entry] = {}
    for declaration in by_name.values():
        line = _line(declaration, by_name, by_last)
        if not line or declaration.abstract:
            continue
        own = _concerns(declaration, by_name)
        line = [_with_concerns(entry, _concerns(entry, by_name)) for entry in line]
        declaration = line[0]
        concrete = [entry for entry in line if not entry.abstract]
        table = _table(concrete[-1], known, prefixes) if concrete else None
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
    return {name: _followed(entry, built) for name, entry in built.items()}


def _followed(entry: Entry, built: dict[str, Entry]) -> Entry:
    """The model with the classes that its associations through others lead to."""
    if not entry.declaration.through:
        return entry
    leads = {attribute: (through, source) for attribute, through, source in entry.declaration.through}
    relations = []
    for relation in entry.model.relations:
        through, source = leads.get(relation.attribute, ("", ""))
        between = _target(entry, through, built) if through else None
        names = (source, singularized(source), pluralized(source))
        target = next(
            (found for name in names if between is not None and (found := _target(between, name, built))), None
        )
        changed = msgspec.structs.replace(relation, target=target.model.name) if target is not None else relation
        relations.append(changed)
    return entry._replace(model=msgspec.structs.replace(entry.model, relations=tuple(relations)))


def _target(entry: Entry, attribute: str, built: dict[str, Entry]) -> Entry | None:
    link = next((link for link in entry.model.relations if link.attribute == attribute), None)
    scope = entry.model.name
    while link is not None:
        if found := built.get(f"{scope}::{link.target}" if scope else link.target.removeprefix("::")):
            return found
        if not scope:
            return None
        scope = scope.rpartition("::")[0]
    return None


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
        references = tuple(key if name == INCLUDERS_KEY else name for name in relation.references)
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
        through=tuple(each for part in parts for each in part.through),
        has_default_scope=any(part.has_default_scope for part in parts),
    )


def _table(declaration: Declaration, known: dict[str, Table], prefixes: dict[str, str]) -> Table | None:
    """The table that the name of the class stands for: with what its module says before it, else with the module's name, or
    without."""
    if declaration.table:
        return known.get(declaration.table.rpartition(".")[2])
    scope, _, last = declaration.name.rpartition("::")
    plain = pluralized(underscored(last))
    module = scope
    while module and module not in prefixes:
        module = module.rpartition("::")[0]
    prefixed = prefixes[module] + plain if module else f"{underscored(scope)}_{plain}" if scope else plain
    if not known:
        return Table(prefixed if module else plain, None, ())
    whole = "_".join([*(underscored(part) for part in scope.split("::") if part), plain])
    return (known.get(whole) if not module else None) or known.get(prefixed) or known.get(plain)
