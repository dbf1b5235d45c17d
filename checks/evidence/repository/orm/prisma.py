"""Models of Prisma's schema files."""

from __future__ import annotations

import re

import msgspec

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.files import SourceFile
from checks.model import Location

_BLOCK = re.compile(r"^[ \t]*(model|view|enum|datasource|generator)\s+(\w+)\s*\{[^\n]*\n(.*?)^[ \t]*\}", re.M | re.S)
_PROVIDER = re.compile(r"^\s*provider\s*=\s*\"(\w+)\"", re.MULTILINE)
_FIELD = re.compile(r"^\s*(\w+)\s+([\w.]+(?:\(\"[^\"\n]*\"\))?)(\[\])?(\?)?(.*)$")
_STRING = r"\(\s*(?:name:\s*)?\"([^\"\n]*)\""
_NAMES = re.compile(r"\[([^\]]*)\]")
_OURS = frozenset(["postgresql", "postgres", "cockroachdb"])
_SCALARS = frozenset("String Boolean Int BigInt Float Decimal DateTime Json Bytes".split())


class Schema(msgspec.Struct):
    """One schema file. `ours` is None where it does not say which database it is for."""

    path: str
    models: list[Model]
    ours: bool | None
    joins_relations: bool


def read_schema(file: SourceFile) -> Schema:
    """The models of a .prisma file; relations and columns of enumerations are told apart by link_models()."""
    models, ours, joins = [], None, "relationJoins" in file.text
    values: dict[str, tuple[str, ...]] = {}
    blocks = list(_BLOCK.finditer(file.text))
    for block in blocks:
        if block.group(1) == "datasource" and (provider := _PROVIDER.search(block.group(3))):
            ours = provider.group(1) in _OURS
        elif block.group(1) == "enum":
            values[block.group(2)] = _labels(block.group(3))
    for block in blocks:
        if block.group(1) in ("model", "view"):
            line = file.text.count("\n", 0, block.start(1)) + 1
            models.append(_read_model(file.path, line, block.group(2), block.group(3), values))
    return Schema(file.path, models, ours, joins)


def _labels(body: str) -> tuple[str, ...]:
    """The values of an enum as the database has them: the name of each, or what @map says."""
    found = []
    for line in body.splitlines():
        code = re.sub(r"(?<!:)//.*$", "", line).strip()
        if code and not code.startswith("@"):
            mapped = re.search(r"@map" + _STRING, code)
            found.append(mapped.group(1) if mapped else code.split()[0])
    return tuple(found)


def link_models(schemas: list[Schema]) -> list[Model]:
    """The models for PostgreSQL. A field whose type is a model is a relation and no column."""
    models = [model for schema in schemas if schema.ours is not False for model in schema.models]
    names = {model.name for model in models}
    linked = []
    for model in models:
        columns = tuple(column for column in model.columns if column.type not in names)
        mapped = {column.attribute: column.name for column in columns}
        relations = tuple(
            msgspec.structs.replace(entry, columns=tuple(mapped.get(name, name) for name in entry.columns))
            for entry in model.relations
            if entry.target in names
        )
        indexes = tuple(
            msgspec.structs.replace(entry, columns=tuple(mapped[name] for name in entry.columns if name in mapped))
            for entry in model.indexes
        )
        linked.append(msgspec.structs.replace(model, columns=columns, relations=relations, indexes=indexes))
    return linked


_ACTIONS = {
    "Cascade": "cascade",
    "Restrict": "restrict",
    "NoAction": "no action",
    "SetNull": "set null",
    "SetDefault": "set default",
}


def _read_model(path: str, line: int, name: str, body: str, values: dict[str, tuple[str, ...]]) -> Model:
    columns: list[ModelColumn] = []
    relations: list[ModelRelation] = []
    indexes: list[ModelIndex] = []
    table, schema = name, None
    keys: tuple[str, ...] = ()
    for offset, written in enumerate(body.splitlines(), 1):
        code = re.sub(r"(?<!:)//.*$", "", written)
        stripped = code.strip()
        if stripped.startswith("@@"):
            word = stripped[2:].split("(")[0]
            listed = _NAMES.search(stripped)
            fields = tuple(re.findall(r"(?:^|,)\s*(\w+)", listed.group(1))) if listed else ()
            if word == "map" and (match := re.search(r"@@map" + _STRING, stripped)):
                table = match.group(1)
            elif word == "schema" and (match := re.search(r"@@schema" + _STRING, stripped)):
                schema = match.group(1)
            elif word == "id":
                keys = fields
            elif word in ("index", "unique"):
                named = re.search(r"map:\s*\"([^\"]*)\"", stripped)
                method = re.search(r"type:\s*(\w+)", stripped)
                indexes.append(
                    ModelIndex(
                        fields,
                        named.group(1) if named else None,
                        word == "unique",
                        method.group(1).lower() if method else None,
                    )
                )
            continue
        match = _FIELD.match(code)
        if match is None:
            continue
        attribute, kind, many, optional, rest = match.groups()
        if kind not in _SCALARS and kind not in values and not kind.startswith("Unsupported"):
            relations.append(_relation(attribute, kind, rest, bool(many)))
        if "@relation" in rest or (many and kind not in _SCALARS and kind not in values):
            continue
        columns.append(
            _column(attribute, kind, bool(many), bool(optional), rest, values, Location(path, line + offset))
        )
    columns = [
        msgspec.structs.replace(column, primary_key=True) if column.attribute in keys else column for column in columns
    ]
    return Model(name, "prisma", table, Location(path, line), schema, tuple(columns), tuple(relations), tuple(indexes))


def _column(
    attribute: str,
    kind: str,
    many: bool,
    optional: bool,
    rest: str,
    values: dict[str, tuple[str, ...]],
    location: Location,
) -> ModelColumn:
    mapped = re.search(r"(?<!@)@map" + _STRING, rest)
    native = re.search(r"@db\.(\w+)(?:\(\s*(\d+))?", rest)
    dimensions = re.search(r"vector\((\d+)\)", kind)
    sized = native is not None and native.group(2) is not None and native.group(1) in ("VarChar", "Char")
    return ModelColumn(
        mapped.group(1) if mapped else attribute,
        attribute,
        location,
        (native.group(1) if native else kind) + ("[]" if many else ""),
        int(native.group(2)) if native is not None and sized else None,
        int(dimensions.group(1)) if dimensions else None,
        optional,
        bool(re.search(r"(?<!@)@id\b", rest)),
        bool(re.search(r"(?<!@)@unique\b", rest)),
        values.get(kind, ()),
        (),
        "@updatedAt" in rest,
    )


def _relation(attribute: str, target: str, rest: str, many: bool) -> ModelRelation:
    fields = re.search(r"fields:\s*\[([^\]]*)\]", rest)
    references = re.search(r"references:\s*\[([^\]]*)\]", rest)
    named = re.search(r"@relation\(\s*(?:name:\s*)?\"([^\"\n]*)\"", rest)
    action = re.search(r"onDelete:\s*(\w+)", rest)
    return ModelRelation(
        attribute,
        target,
        tuple(re.findall(r"\w+", fields.group(1))) if fields else (),
        tuple(re.findall(r"\w+", references.group(1))) if references else (),
        many,
        _ACTIONS.get(action.group(1), "") if action else "",
        named.group(1) if named else "",
    )
