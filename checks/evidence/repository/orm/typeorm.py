"""Entities that TypeORM's decorators declare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.decorated import (
    Declared,
    Field,
    entry_text,
    is_true,
    lineage,
    number_of,
    returned_name,
)
from checks.evidence.repository.orm.named_tables import Argument

CANDIDATE = re.compile(r"@(?:\w+\.)?(?:Entity|ChildEntity|Column|PrimaryGeneratedColumn|PrimaryColumn)\b")
REPOSITORY = re.compile(r"\bextends\s+(?:\w+\.)?(?:Tree)?Repository<\s*(\w+)")
STRATEGY = re.compile(r"\bnamingStrategy\s*:\s*(?:new\s+)?(\w+)")
_ROOTS = frozenset(["BaseEntity", "Object"])
_COLUMN = re.compile(r"(?!Join)(?:\w*Column)$")
_TO_ONE = frozenset(["ManyToOne", "OneToOne"])
_RELATIONS = frozenset(["ManyToOne", "OneToOne", "OneToMany", "ManyToMany"])
_SET_ON_UPDATE = frozenset(["UpdateDateColumn", "VersionColumn"])
SOFT_DELETE = "DeleteDateColumn"


def snake_case(name: str) -> str:
    """As TypeORM's own StringUtils write a class's name as that of a table."""
    name = re.sub(r"([A-Z])([A-Z])([a-z])", r"\1_\2\3", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def build_models(classes: list[Declared], *, columns_in_snake_case: bool) -> tuple[list[Model], dict[str, str]]:
    """The entities, and by entity the attribute that marks its rows as deleted."""
    by_name: dict[str, list[Declared]] = {}
    for entry in classes:
        by_name.setdefault(entry.name, []).append(entry)
    entities = [entry for entry in classes if "Entity" in entry.decorators]
    keys = {entry.name: _key_of(entry, by_name, columns_in_snake_case) for entry in entities}
    models = []
    deleted: dict[str, str] = {}
    for entry in entities:
        ancestors, whole = lineage(entry, by_name, _ROOTS)
        fields = {member.name: member for ancestor in ancestors for member in ancestor.fields}
        models.append(_model(entry, fields.values(), keys, whole=whole, snake=columns_in_snake_case))
        for member in fields.values():
            if SOFT_DELETE in member.decorators:
                deleted[entry.name] = member.name
    return models, deleted


def _key_of(entry: Declared, by_name: Mapping[str, list[Declared]], snake: bool) -> tuple[str, str]:
    """The attribute and the column of its primary key."""
    ancestors, _ = lineage(entry, by_name, _ROOTS)
    for ancestor in ancestors:
        for member in ancestor.fields:
            if any(name.startswith("Primary") for name in member.decorators):
                return member.name, _column_name(member, snake)
    return "id", "id"


def _options(arguments: list[Argument]) -> dict[str, Argument]:
    return next((argument.entries for argument in arguments if argument.entries is not None), {})


def _column_name(member: Field, snake: bool) -> str:
    for name, arguments in member.decorators.items():
        if _COLUMN.match(name) and (given := entry_text(_options(arguments), "name")):
            return given
    return snake_case(member.name) if snake else member.name


def _model(
    entry: Declared, fields: Iterable[Field], keys: Mapping[str, tuple[str, str]], *, whole: bool, snake: bool
) -> Model:
    arguments = entry.decorators["Entity"]
    options = _options(arguments)
    table = next((argument.string for argument in arguments if argument.string), None) or entry_text(options, "name")
    columns: dict[str, ModelColumn] = {}
    relations: list[ModelRelation] = []
    indexes: list[ModelIndex] = []
    joining: list[tuple[Field, str, list[Argument]]] = []
    for member in fields:
        kind = next((name for name in member.decorators if name in _RELATIONS), None)
        if kind is not None:
            joining.append((member, kind, member.decorators[kind]))
            continue
        column, complete = _column(member, snake)
        whole &= complete
        if column is not None:
            columns[column.name] = column
            indexes += _indexes_of(member, column)
    for member, kind, given in joining:
        target = returned_name(given[0]) if given else None
        if target is None:
            continue
        own = _join_columns(member, kind, target, keys, snake)
        for name, referenced in own:
            known = columns.get(name)
            if known is None:
                columns[name] = ModelColumn(name, member.name, member.location, references=(target, referenced))
        relations.append(
            ModelRelation(
                member.name, target, tuple(name for name, _ in own), tuple(other for _, other in own),
                kind in ("OneToMany", "ManyToMany"), _on_delete(given) if own else "",
            )
        )  # fmt: skip
    return Model(
        entry.name, "typeorm", table or snake_case(entry.name), entry.location, entry_text(options, "schema"),
        tuple(columns.values()), tuple(relations), tuple(indexes), whole,
    )  # fmt: skip


def _on_delete(arguments: list[Argument]) -> str:
    action = (entry_text(_options(arguments), "onDelete") or "").lower()
    return "set default" if action == "default" else action


def _join_columns(
    member: Field, kind: str, target: str, keys: Mapping[str, tuple[str, str]], snake: bool
) -> list[tuple[str, str]]:
    """The columns of a relation that this table holds, with those that they refer to."""
    if kind not in _TO_ONE or (kind == "OneToOne" and "JoinColumn" not in member.decorators):
        return []
    attribute, key = keys.get(target, ("id", "id"))
    given = member.decorators.get("JoinColumn", [])
    lists = [entry.entries or {} for argument in given for entry in (argument.elements or (argument,))]
    found = []
    for options in lists or [{}]:
        referenced = entry_text(options, "referencedColumnName") or attribute
        name = f"{member.name}{referenced[:1].upper()}{referenced[1:]}"
        default = snake_case(name) if snake else name
        found.append((entry_text(options, "name") or default, key if referenced == attribute else referenced))
    return found


def _column(member: Field, snake: bool) -> tuple[ModelColumn | None, bool]:
    """The column, and whether the attribute is fully known: an embedded one is not."""
    word = next((name for name in member.decorators if _COLUMN.match(name)), None)
    if word is None:
        return None, True
    arguments = member.decorators[word]
    if word == "Column" and arguments and "=>" in arguments[0].text and arguments[0].entries is None:
        return None, False
    options = _options(arguments)
    kind = next((argument.string for argument in arguments if argument.string), None) or entry_text(options, "type")
    primary = word.startswith("Primary") or is_true(options, "primary")
    values = options["enum"].elements if "enum" in options else None
    return ModelColumn(
        _column_name(member, snake),
        member.name,
        member.location,
        kind or member.type[:60] or None,
        number_of(options, "length"),
        number_of(options, "dimensions") or (number_of(options, "length") if kind in ("vector", "halfvec") else None),
        is_true(options, "nullable") or word == SOFT_DELETE,
        primary,
        is_true(options, "unique"),
        tuple(entry.string for entry in values or () if entry.string),
        (),
        word in _SET_ON_UPDATE,
    ), True


def _indexes_of(member: Field, column: ModelColumn) -> list[ModelIndex]:
    found = []
    for word in ("Index", "Unique"):
        if word in member.decorators:
            given = member.decorators[word]
            unique = word == "Unique" or is_true(_options(given), "unique")
            found.append(
                ModelIndex((column.name,), next((entry.string for entry in given if entry.string), None), unique)
            )
    return found
