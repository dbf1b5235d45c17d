"""Models that Sequelize's define(), init() and sequelize-typescript's decorators declare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelRelation
from checks.evidence.repository.orm.decorated import Declared, Field, entry_text, is_true, lineage, returned_name
from checks.evidence.repository.orm.named_tables import Argument, snake_case
from checks.evidence.repository.orm.script import arguments_of, known_entries, resolved
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, text, unwrapped
from checks.model import Location

CANDIDATE = re.compile(
    r"\.define\s*(?:<[^()]*>)?\(|\.init\s*\(|@Table\b|\.(?:belongsTo|hasMany|hasOne|belongsToMany)\s*\("
)
DECORATED = re.compile(r"@(?:Table|Column|BelongsTo|ForeignKey|CreatedAt|DeletedAt)\b")
LIBRARY = re.compile(r"""['"]sequelize(?:-typescript)?['"]|@sequelize/|\bSequelize\b""")
_CALLS = re.compile(rb"\.\s*(define|init|belongsTo|hasMany|hasOne|belongsToMany)\s*(?:<[^()]*>)?\(")
_PROPERTY = frozenset(["property_identifier"])
_ROOTS = frozenset(["Model", "SequelizeModel"])
_RELATIONS = frozenset(["BelongsTo", "HasMany", "HasOne", "BelongsToMany"])
_COLUMNS = frozenset(["Column", "CreatedAt", "UpdatedAt", "DeletedAt", "ForeignKey", "PrimaryKey"])
_TYPE = re.compile(r"(?:DataTypes?|Sequelize|sequelize)\.([A-Z]+)(?:\((\d+)\))?")
_ACTIONS = frozenset(["cascade", "set null", "set default", "restrict", "no action"])
_UNCOUNTABLE = re.compile(
    r"(?:data|media|information|equipment|series|species|sheep|fish|news|money|rice|people|children)$", re.I
)


class Table(NamedTuple):
    """A model in the making. `options` are those of define(), init() or @Table."""

    name: str
    location: Location
    options: Mapping[str, Argument]
    columns: tuple[ModelColumn, ...]
    relations: tuple[ModelRelation, ...] = ()
    complete: bool = True
    paranoid: bool = False
    has_default_scope: bool = False


class Association(NamedTuple):
    """`owner.belongsTo(target, { foreignKey, as, onDelete })`."""

    owner: str
    kind: str
    target: str
    key: str | None
    alias: str | None
    on_delete: str = ""


class Built(NamedTuple):
    """`deleted` are the attributes that mark deleted rows, `scoped` the models that add conditions of their own, by model."""

    models: list[Model]
    deleted: dict[str, str]
    scoped: frozenset[str]


def plural(name: str) -> str:
    """As the inflection library pluralises the last word of a model's name."""
    if _UNCOUNTABLE.search(name):
        return name
    for end, changed in (("person", "people"), ("Person", "People"), ("child", "children"), ("Child", "Children")):
        if name.endswith(end):
            return name.removesuffix(end) + changed
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    if re.search(r"(?:matr|vert|ind)(?:ix|ex)$", name, re.IGNORECASE):
        return name[:-2] + "ices"
    if re.search(r"sis$", name):
        return name[:-2] + "es"
    if re.search(r"(?:ss|us|x|z|ch|sh)$", name):
        return name + "es"
    return name if name.endswith("s") else name + "s"


def read_tables(source: Source) -> tuple[list[Table], list[Association]]:
    """What define(), init() and the methods of associations declare in a file."""
    tables: list[Table] = []
    associations: list[Association] = []
    values = Values({})
    for match, node in source.found(_CALLS, _PROPERTY):
        call = node.parent.parent if node.parent is not None else None
        if call is None or call.type != "call_expression" or field(call, "function") != node.parent:
            continue
        holder = text(field(node.parent, "object")).rpartition(".")[2] if node.parent is not None else ""
        arguments = arguments_of(call)
        word = match.group(1)
        if word in (b"define", b"init"):
            table = _defined(source, word == b"define", holder, call, arguments)
            tables += [table] if table is not None else []
        elif arguments and re.fullmatch(r"[A-Z]\w*", holder):
            options = values.argument(arguments[1]).entries or {} if len(arguments) > 1 else {}
            key = entry_text(options, "foreignKey") or entry_text(
                (options["foreignKey"].entries if "foreignKey" in options else None), "name"
            )
            target = text(arguments[0]).rpartition(".")[2]
            alias = entry_text(options, "as")
            associations.append(Association(holder, word.decode(), target, key, alias, _on_delete(options)))
    return tables, associations


def _on_delete(options: Mapping[str, Argument] | None) -> str:
    """The action in words; empty where hooks delete the rows one by one, and not the database."""
    given = (entry_text(options, "onDelete") or "").lower().replace("_", " ")
    return given if given in _ACTIONS and not is_true(options, "hooks") else ""


def _defined(source: Source, is_define: bool, holder: str, call: Node, arguments: list[Node]) -> Table | None:
    values = Values({})
    given = arguments[1:] if is_define else arguments
    if len(given) < 1 or (not is_define and len(given) < 2):
        return None
    options = values.argument(given[1]).entries or {} if len(given) > 1 else {}
    if not is_define and "sequelize" not in options:
        return None
    label = values.argument(arguments[0]).string if is_define else entry_text(options, "modelName")
    parent = call.parent
    variable = text(field(parent, "name")) if parent is not None and parent.type == "variable_declarator" else ""
    name = (
        (variable if variable.isidentifier() else label)
        if is_define
        else (_class_around(call) if holder == "this" else holder)
    )
    entries, whole = known_entries(resolved(given[0]))
    if not name or (not entries and not whole) or (is_define and label is None):
        return None
    columns = [_attribute(source, key, value) for key, value in entries.items()]
    if label and "modelName" not in options:
        options = {**options, "modelName": Argument(label, label)}
    return Table(
        name, source.location(call), options, tuple(column for column in columns if column is not None), (), whole,
        is_true(options, "paranoid"), "defaultScope" in options,
    )  # fmt: skip


def _attribute(source: Source, name: str, value: Node) -> ModelColumn | None:
    value = unwrapped(value)
    values = Values({})
    options = values.argument(value).entries or {}
    written = text(value) if not options else (options["type"].text if "type" in options else "")
    match = _TYPE.search(written)
    if "VIRTUAL" in written:
        return None
    references = options["references"].entries if "references" in options else None
    target = entry_text(references, "model")
    return ModelColumn(
        entry_text(options, "field") or name,
        name,
        source.location(value),
        match.group(1).lower() if match else None,
        int(match.group(2)) if match and match.group(2) and len(match.group(2)) < 9 else None,
        None,
        None if not options else not (options["allowNull"].text == "false" if "allowNull" in options else False),
        is_true(options, "primaryKey"),
        is_true(options, "unique"),
        (),
        (target, entry_text(references, "key") or "id") if target else (),
        on_delete=_on_delete(options),
    )


def decorated_table(entry: Declared, by_name: Mapping[str, list[Declared]]) -> Table:
    """The table of a class with @Table."""
    ancestors, whole = lineage(entry, by_name, _ROOTS)
    options: dict[str, Argument] = {}
    for argument in entry.decorators.get("Table", []):
        options |= argument.entries or {}
    fields = {member.name: member for ancestor in ancestors for member in ancestor.fields}
    columns = [_decorated_column(member) for member in fields.values() if not _COLUMNS.isdisjoint(member.decorators)]
    relations = [relation for member in fields.values() if (relation := _decorated_relation(member)) is not None]
    deletes = any("DeletedAt" in member.decorators for member in fields.values())
    scoped = any("DefaultScope" in ancestor.decorators for ancestor in ancestors)
    return Table(
        entry.name, entry.location, options, tuple(columns), tuple(relations), whole,
        deletes or is_true(options, "paranoid"), scoped,
    )  # fmt: skip


def _decorated_column(member: Field) -> ModelColumn:
    given = member.decorators.get("Column", [])
    options = next((argument.entries for argument in given if argument.entries is not None), {})
    written = options["type"].text if "type" in options else (given[0].text if given else "")
    match = _TYPE.search(written)
    target = returned_name(member.decorators["ForeignKey"][0]) if member.decorators.get("ForeignKey") else None
    allows = member.decorators.get("AllowNull")
    nullable = True if "?" in member.type or "null" in member.type else None
    if allows is not None:
        nullable = not (allows and allows[0].text == "false")
    if "allowNull" in options:
        nullable = options["allowNull"].text != "false"
    return ModelColumn(
        entry_text(options, "field") or member.name,
        member.name,
        member.location,
        match.group(1).lower() if match else member.type[:60] or None,
        int(match.group(2)) if match and match.group(2) and len(match.group(2)) < 9 else None,
        None,
        nullable,
        "PrimaryKey" in member.decorators or is_true(options, "primaryKey"),
        "Unique" in member.decorators or is_true(options, "unique"),
        (),
        (target, "id") if target else (),
        "UpdatedAt" in member.decorators,
        _on_delete(options),
    )


def _decorated_relation(member: Field) -> ModelRelation | None:
    kind = next((name for name in member.decorators if name in _RELATIONS), None)
    given = member.decorators[kind] if kind is not None else []
    target = returned_name(given[0]) if given else None
    if kind is None or target is None:
        return None
    key = given[1].string if len(given) > 1 else None
    if key is None and len(given) > 1:
        key = entry_text(given[1].entries, "foreignKey")
    own = (key,) if kind == "BelongsTo" and key else ()
    action = _on_delete(given[1].entries) if own and len(given) > 1 else ""
    return ModelRelation(member.name, target, own, ("id",) if own else (), kind in ("HasMany", "BelongsToMany"), action)


def build_models(tables: list[Table], associations: list[Association], *, underscored: bool) -> Built:
    models = [_model(table, associations, underscored) for table in tables]
    deleted = {table.name: "deletedAt" for table in tables if table.paranoid}
    for table in tables:
        given = entry_text(table.options, "deletedAt")
        if table.paranoid and given:
            deleted[table.name] = given
    return Built(models, deleted, frozenset(table.name for table in tables if table.has_default_scope))


def _model(table: Table, associations: list[Association], everywhere: bool) -> Model:
    options = table.options
    underscored = is_true(options, "underscored") if "underscored" in options else everywhere
    columns = {column.attribute: column for column in table.columns}

    def add(attribute: str, **known: object) -> None:
        if attribute not in columns:
            columns[attribute] = msgspec.structs.replace(ModelColumn(attribute, attribute, table.location), **known)

    if not any(column.primary_key for column in columns.values()):
        if "id" in columns:
            columns["id"] = msgspec.structs.replace(columns["id"], primary_key=True)
        else:
            add("id", primary_key=True, type="integer")
    relations = list(table.relations)
    for entry in associations:
        if entry.owner != table.name:
            continue
        alias = entry.alias or entry.target
        key = entry.key
        if entry.kind == "belongsTo":
            key = key or alias[:1].lower() + alias[1:] + "Id"
            add(key, references=(entry.target, "id"))
        own = (key,) if entry.kind == "belongsTo" and key else ()
        many = entry.kind in ("hasMany", "belongsToMany")
        action = (entry.on_delete or _said_by_owner(associations, table.name, entry.target, key)) if own else ""
        relations.append(ModelRelation(alias, entry.target, own, ("id",) if own else (), many, action))
    if not ("timestamps" in options and options["timestamps"].text == "false"):
        for attribute in ("createdAt", "updatedAt"):
            if not (attribute in options and options[attribute].text == "false"):
                add((entry_text(options, attribute) or attribute), on_update=attribute == "updatedAt")
        if table.paranoid:
            add(entry_text(options, "deletedAt") or "deletedAt", nullable=True)
    for attribute, column in columns.items():
        if attribute == "updatedAt":
            column = msgspec.structs.replace(column, on_update=True)
        if underscored and column.name == attribute:
            column = msgspec.structs.replace(column, name=snake_case(attribute))
        columns[attribute] = column
    relations = [_with_column_names(relation, columns) for relation in relations]
    return Model(
        table.name, "sequelize", _table_name(table, underscored), table.location, entry_text(options, "schema"),
        tuple(columns.values()), tuple(relations), (), table.complete,
    )  # fmt: skip


def _said_by_owner(associations: list[Association], name: str, owner: str, key: str | None) -> str:
    """What `owner.hasMany(name, { foreignKey, onDelete })` says of the same key."""
    said = {
        entry.on_delete
        for entry in associations
        if entry.owner == owner and entry.target == name and entry.kind in ("hasMany", "hasOne") and entry.key == key
    }
    return said.pop() if len(said) == 1 else ""


def _with_column_names(relation: ModelRelation, columns: Mapping[str, ModelColumn]) -> ModelRelation:
    names = tuple(columns[key].name if key in columns else key for key in relation.columns)
    return msgspec.structs.replace(relation, columns=names)


def _table_name(table: Table, underscored: bool) -> str:
    options = table.options
    if given := entry_text(options, "tableName"):
        return given
    name = entry_text(options, "modelName") or table.name
    if is_true(options, "freezeTableName"):
        return name
    return snake_case(plural(name)) if underscored else plural(name)


def _class_around(node: Node) -> str:
    current: Node | None = node
    while current is not None and current.type not in ("class_declaration", "class"):
        current = current.parent
    return text(field(current, "name")) if current is not None else ""
