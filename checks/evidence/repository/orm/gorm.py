"""Models of GORM: structs with its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.ruby import pluralized
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

CANDIDATE = re.compile(r"\bgorm\b")
_STRUCT = re.compile(rb"\btype\s+([A-Z]\w*)\s+struct\b|^\t([A-Z]\w*)\s+struct\b", re.MULTILINE)
_TABLE_NAME = re.compile(
    r"func\s*\(\s*(?:\w+\s+)?\*?(\w+)\s*\)\s*TableName\(\s*\)\s*string\s*\{\s*return\s+\"([\w.]{1,127})\""
)
_TAG = re.compile(r'\bgorm:"((?:[^"\\]|\\.)*)"')
_ON_DELETE = re.compile(r"\bOnDelete:\s*([A-Za-z ]+)", re.IGNORECASE)
_INITIALISM = re.compile(r"([A-Z]+)([A-Z][a-z])|([a-z\d])([A-Z])")
_SCALARS = frozenset(
    "bool string int int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 float32 float64 byte rune time.Time".split()
)
_MODEL = (("ID", "uint"), ("CreatedAt", "time.Time"), ("UpdatedAt", "time.Time"), ("DeletedAt", "gorm.DeletedAt"))
SOFT = "gorm.DeletedAt"


class Field(NamedTuple):
    name: str
    type: str
    tag: str
    location: Location


class Struct(NamedTuple):
    """`embedded` are the types whose fields it has too. `is_model`: it has tags of GORM or a name for its table."""

    name: str
    location: Location
    fields: tuple[Field, ...]
    embedded: tuple[str, ...]
    table: str | None
    is_model: bool


def read_structs(source: Source) -> list[Struct]:
    """The exported structs of the file."""
    tables = dict(_TABLE_NAME.findall(source.file.text))
    found = []
    for match in _STRUCT.finditer(source.bytes):
        group = 1 if match.group(1) else 2
        name = source.root.descendant_for_byte_range(match.start(group), match.end(group))
        body = field(name.parent, "type") if name is not None and name.parent is not None else None
        if name is None or body is None or body.type != "struct_type" or name.type != "type_identifier":
            continue
        fields: list[Field] = []
        embedded: list[str] = []
        for entry in named(named(body)[0]) if named(body) else []:
            kind = text(field(entry, "type")).lstrip("*")
            tag = _TAG.search(text(field(entry, "tag")))
            names = [child for child in entry.named_children if child.type == "field_identifier"]
            if not names or (
                tag is not None and re.search(r"(?:^|;)embedded\b(?!Prefix)", tag.group(1), re.IGNORECASE)
            ):
                embedded.append(kind)
            fields += [Field(text(child), kind, tag.group(1) if tag else "", source.location(child)) for child in names]
        title = text(name)
        is_model = title in tables or "gorm.Model" in embedded or any(entry.tag for entry in fields)
        found.append(Struct(title, source.location(name), tuple(fields), tuple(embedded), tables.get(title), is_model))
    return found


def build_models(structs: Iterable[Struct]) -> list[Model]:
    """The models among the structs; what is only ever embedded in others is none."""
    known = {struct.name: struct for struct in structs}
    parts = {kind.rpartition(".")[2] for struct in known.values() for kind in struct.embedded}
    models = {
        name
        for name, struct in known.items()
        if struct.is_model or any(_is_model(known, kind) for kind in struct.embedded)
    }
    return [_model(known[name], known, models) for name in sorted(models) if name not in parts or known[name].table]


def _is_model(known: dict[str, Struct], kind: str) -> bool:
    struct = known.get(kind.rpartition(".")[2])
    return kind == "gorm.Model" or (struct is not None and (struct.is_model or "gorm.Model" in struct.embedded))


def _model(struct: Struct, known: dict[str, Struct], models: set[str]) -> Model:
    columns: list[ModelColumn] = []
    relations: list[ModelRelation] = []
    indexes: dict[tuple[str, bool], list[str]] = {}
    complete = True
    for entry in _fields(struct, known, 0):
        if entry.type == "?":
            complete = False
            continue
        options = _options(entry.tag)
        if "-" in options or not entry.name[:1].isupper():
            continue
        target = entry.type.lstrip("[]*").rpartition(".")[2]
        if (
            "foreignkey" in options
            or "many2many" in options
            or (target in models and "type" not in options and "serializer" not in options)
        ):
            keys = tuple(snake(key.strip()) for key in options.get("foreignkey", "").split(",") if key.strip())
            many = entry.type.startswith("[]")
            action = _ON_DELETE.search(options.get("constraint", ""))
            relations.append(
                ModelRelation(
                    entry.name,
                    target,
                    () if many else keys,
                    keys if many else (),
                    many,
                    " ".join(action[1].lower().split()) if action and not many else "",
                )
            )
            continue
        column = _column(entry, options)
        columns.append(column)
        for word in ("index", "uniqueindex"):
            if word in options:
                name = options[word].partition(",")[0]
                indexes.setdefault((name or f"{word}:{column.name}", word == "uniqueindex"), []).append(column.name)
    if not any(column.primary_key for column in columns):
        columns = [msgspec.structs.replace(column, primary_key=column.attribute.lower() == "id") for column in columns]
    listed = tuple(
        ModelIndex(tuple(names), None if ":" in name else name, unique) for (name, unique), names in indexes.items()
    )
    schema, _, table = (struct.table or pluralized(snake(struct.name))).rpartition(".")
    return Model(
        struct.name, "gorm", table, struct.location, schema or None, tuple(columns), tuple(relations), listed, complete
    )


def _fields(struct: Struct, known: dict[str, Struct], depth: int) -> list[Field]:
    found: list[Field] = []
    for kind in struct.embedded:
        inner = known.get(kind.rpartition(".")[2])
        if kind == "gorm.Model":
            found += [Field(name, type_, "", struct.location) for name, type_ in _MODEL]
        elif inner is not None and inner is not struct and depth < 5:
            found += _fields(inner, known, depth + 1)
        else:
            found.append(Field("?", "?", "", struct.location))
    return found + list(struct.fields)


def _options(tag: str) -> dict[str, str]:
    found = {}
    for part in tag.split(";"):
        name, _, value = part.partition(":")
        found[re.sub(r"[_ ]", "", name.strip().lower())] = value.strip()
    return found


def _column(entry: Field, options: dict[str, str]) -> ModelColumn:
    declared = options.get("type", "")
    length = re.search(r"\((\d{1,9})\)", declared) or re.fullmatch(r"(\d{1,9})", options.get("size", ""))
    vector = re.fullmatch(r"(?:half|sparse)?vec(?:tor)?\((\d{1,9})\)", declared)
    key = "primarykey" in options or "primary" in options
    pointer = entry.type not in _SCALARS
    return ModelColumn(
        options.get("column") or snake(entry.name),
        entry.name,
        entry.location,
        declared.partition("(")[0] or entry.type,
        int(length.group(1)) if length and not vector else None,
        int(vector.group(1)) if vector else None,
        False if "notnull" in options or key else None if pointer else True,
        key,
        "unique" in options,
        on_update="autoupdatetime" in options or entry.name == "UpdatedAt",
    )


def snake(name: str) -> str:
    """As GORM's naming strategy writes a name: `UserID` is user_id, `APIKey` api_key."""
    for _ in range(2):
        name = _INITIALISM.sub(lambda match: f"{match[1] or match[3]}_{match[2] or match[4]}", name)
    return name.lower()
