"""Tables that SQLAlchemy (1.4, 2.0), Flask-SQLAlchemy and SQLModel code declares, read from its source."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

CANDIDATE = re.compile(
    r"__tablename__|SQLAlchemyBase\w*Table|table\s*=\s*True|mapped_column\(|\bColumn\(|\bTable\(|declared_attr"
)

_COLUMN_CALLS = frozenset(["Column", "mapped_column"])
_NO_TYPES = frozenset(["ForeignKey", "Identity", "Sequence", "Computed", "CheckConstraint", "FetchedValue", "Index"])
_RELATIONS = frozenset(["relationship", "Relationship", "relation"])
_KNOWN_BASES = frozenset(
    "Base DeclarativeBase DeclarativeBaseNoMeta SQLModel Model MappedAsDataclass AsyncAttrs object Generic ABC BaseModel".split()
)
# The tables of libraries' own bases, with their columns.
_LIBRARY_BASES = {
    "SQLAlchemyBaseUserTable": "user", "SQLAlchemyBaseUserTableUUID": "user",
    "SQLAlchemyBaseOAuthAccountTable": "oauth_account", "SQLAlchemyBaseOAuthAccountTableUUID": "oauth_account",
}  # fmt: skip
_LIBRARY_COLUMNS = {
    "user": "id email hashed_password is_active is_superuser is_verified",
    "oauth_account": "id user_id oauth_name access_token expires_at refresh_token account_id account_email",
}
_OPTIONAL = re.compile(r"\bOptional\[|\|\s*None\b|\bNone\s*\|")
_MAXIMUM_BASES = 30


class Declaration(msgspec.Struct):
    """A class that may be a model or part of one. `table` is None where it names none; `of_table` is the variable of the table
    that it stands for, where it names that."""

    name: str
    path: str
    location: Location
    bases: list[str]
    table: str | None = None
    schema: str | None = None
    is_model: bool = False
    columns: list[ModelColumn] = []
    relations: list[ModelRelation] = []
    indexes: list[ModelIndex] = []
    of_table: str | None = None


def read_declarations(source: Source) -> list[Declaration]:
    """The classes of the file, and the tables made by `Table(...)` at its top level."""
    found: list[Declaration] = []
    pending = list(source.root.children)
    while pending:
        node = pending.pop()
        if node.type == "class_definition":
            found.append(_read_class(node, source))
            body = field(node, "body")
            pending += [child for child in named(body) if child.type == "class_definition"]
        elif node.type in ("if_statement", "block", "decorated_definition", "try_statement", "else_clause"):
            pending += node.named_children
        elif node.type == "expression_statement" and (table := _read_table(node, source)):
            found.append(table)
    return found


def build_models(declarations: list[Declaration]) -> list[Model]:
    """The declarations that are tables, with the columns of their bases."""
    by_name: dict[str, list[Declaration]] = {}
    for entry in declarations:
        by_name.setdefault(entry.name, []).append(entry)
    models = []
    for entry in declarations:
        same = (
            [other for other in by_name.get(entry.of_table, ()) if other.path == entry.path] if entry.of_table else []
        )
        if len(same) == 1:
            entry.table, entry.schema, entry.columns = same[0].table, same[0].schema, same[0].columns
    for entry in declarations:
        lineage, complete = _lineage(entry, by_name)
        own_table = entry.table
        if own_table is None and entry.is_model:
            own_table = entry.name.lower()
        if own_table is None and "Model" in entry.bases and entry.columns:
            own_table = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", entry.name).lower()
        library = next((base for part in lineage for base in part.bases if base in _LIBRARY_BASES), None)
        if own_table is None and library is not None and entry.columns + entry.relations:
            own_table = _LIBRARY_BASES[library]
        if own_table is None:
            continue
        if any(part.table and part is not entry for part in lineage):
            # Joined-table inheritance: its statements join the tables of both classes.
            lineage, complete = [part for part in lineage if part is entry or not part.table], False
        columns: dict[str, ModelColumn] = {}
        relations: dict[str, ModelRelation] = {}
        for name in _LIBRARY_COLUMNS[_LIBRARY_BASES[library]].split() if library else ():
            columns[name] = ModelColumn(name, name, entry.location, primary_key=name == "id")
        for part in reversed(lineage):
            columns |= {column.attribute: column for column in part.columns}
            relations |= {relation.attribute: relation for relation in part.relations}
        schema = next((part.schema for part in lineage if part.schema), None)
        indexes = [index for part in lineage for index in part.indexes]
        models.append(
            Model(
                entry.name,
                "sqlalchemy",
                own_table,
                entry.location,
                schema,
                tuple(columns.values()),
                tuple(relations.values()),
                tuple(_by_names(index, columns) for index in indexes),
                complete,
            )
        )
    return models


def _by_names(index: ModelIndex, columns: dict[str, ModelColumn]) -> ModelIndex:
    names = tuple(columns[name].name if name in columns else name for name in index.columns)
    return msgspec.structs.replace(index, columns=names)


def _lineage(entry: Declaration, by_name: dict[str, list[Declaration]]) -> tuple[list[Declaration], bool]:
    """The class and those it inherits from, nearest first; and whether all of them could be read."""
    found, complete = [entry], True
    pending = list(entry.bases)
    while pending:
        name = pending.pop(0)
        candidates = by_name.get(name, [])
        near = [candidate for candidate in candidates if candidate.path == entry.path] or candidates
        if len(near) != 1 or len(found) > _MAXIMUM_BASES:
            complete &= not near and name in _KNOWN_BASES
            continue
        if near[0] not in found:
            found.append(near[0])
            pending += near[0].bases
    return found, complete


def _read_class(node: Node, source: Source) -> Declaration:
    bases, is_model = [], False
    for base in named(field(node, "superclasses")):
        if base.type == "keyword_argument":
            is_model |= text(field(base, "name")) == "table" and text(field(base, "value")) == "True"
        else:
            bases.append(_last_name(base))
    entry = Declaration(text(field(node, "name")), source.file.path, source.location(node), bases, is_model=is_model)
    for statement in named(field(node, "body")):
        if statement.type == "decorated_definition":
            _read_declared(statement, entry, source)
            continue
        assignment = statement.children[0] if statement.type == "expression_statement" else None
        if assignment is None or assignment.type != "assignment":
            continue
        left = field(assignment, "left")
        if left is not None and left.type == "identifier":
            _read_attribute(text(left), field(assignment, "type"), field(assignment, "right"), entry, source)
    return entry


def _read_attribute(name: str, annotation: Node | None, value: Node | None, entry: Declaration, source: Source) -> None:
    if name == "__tablename__" and value is not None:
        entry.table = string_of(value)
    elif name == "__table_args__" and value is not None:
        _read_arguments(value, entry)
    elif name == "__table__" and value is not None:
        table = _table_of(value, entry.name, source)
        if table is not None:
            entry.table, entry.schema, entry.columns = table.table, table.schema, table.columns
        elif value.type == "identifier":
            entry.of_table = text(value)
    elif not name.startswith("__"):
        called = call_name(value) if value is not None else None
        hint = text(annotation)
        if called in _RELATIONS:
            target = _relation_target(value, hint)
            if target:
                many = bool(re.search(r"\b(?:[Ll]ist|[Ss]et|Sequence|WriteOnlyMapped|DynamicMapped)\[", hint))
                entry.relations.append(ModelRelation(name, target, many=many))
            return
        if column := _read_column(name, hint, value, entry, source, annotation or value):
            entry.columns.append(column)


def _read_column(
    name: str, hint: str, value: Node | None, entry: Declaration, source: Source, place: Node | None
) -> ModelColumn | None:
    called = call_name(value) if value is not None else None
    if called == "deferred" and value is not None:
        value = next(iter(named(field(value, "arguments"))), None)
        called = call_name(value) if value is not None else None
    of_sqlmodel = entry.is_model or "SQLModel" in entry.bases or called == "Field"
    of_field = of_sqlmodel and bool(hint) and "ClassVar" not in hint and called in (None, "Field")
    if called not in _COLUMN_CALLS and not of_field and not (hint.startswith("Mapped[") and value is None):
        return None
    positional, keywords = arguments_of(value) if called else ([], {})
    if of_field and "sa_column" in keywords:
        return _read_column(name, hint, keywords["sa_column"], entry, source, place)
    column_name, type_node, references, action = name, None, "", None
    for argument in positional:
        if argument.type == "string":
            column_name = string_of(argument) or name
        elif call_name(argument) == "ForeignKey":
            targets, options = arguments_of(argument)
            action = string_of(options.get("ondelete"))
            references = (string_of(targets[0]) or text(targets[0])) if targets else ""
        elif type_node is None and call_name(argument) not in _NO_TYPES and called in _COLUMN_CALLS:
            type_node = argument
    type_node = keywords.get("type_", keywords.get("sa_type", type_node))
    if "name" in keywords:
        column_name = string_of(keywords["name"]) or column_name
    if "foreign_key" in keywords:
        references = string_of(keywords["foreign_key"]) or ""
        action = string_of(keywords.get("ondelete"))
    key = text(keywords.get("primary_key")) == "True"
    nullable: bool | None = None
    if "nullable" in keywords:
        nullable = {"True": True, "False": False}.get(text(keywords["nullable"]))
    elif hint:
        nullable = bool(_OPTIONAL.search(hint)) and not key
    elif called == "Column":
        nullable = not key
    if text(keywords.get("index")) == "True":
        entry.indexes.append(ModelIndex((name,), unique=text(keywords.get("unique")) == "True"))
    kind, length, dimensions, values = _read_type(type_node, keywords)
    return ModelColumn(
        column_name,
        name,
        source.location(place) if place is not None else entry.location,
        kind or (_annotated(hint) if hint else None),
        length,
        dimensions,
        nullable,
        key,
        text(keywords.get("unique")) == "True",
        values,
        tuple(references.split(".")) if references.count(".") in (1, 2) else (),
        "onupdate" in keywords,
        (action or "").lower(),
    )


def _annotated(hint: str) -> str | None:
    inner = hint.removeprefix("Mapped[").removesuffix("]") if hint.startswith("Mapped[") else hint
    inner = re.sub(r"\bOptional\[(.*)\]", r"\1", inner)
    return " ".join(re.sub(r"\|\s*None\b|\bNone\s*\|", "", inner).strip("\"' ").split())[:80] or None


def _read_type(
    node: Node | None, keywords: dict[str, Node]
) -> tuple[str | None, int | None, int | None, tuple[str, ...]]:
    length = _number(keywords.get("max_length"))
    if node is None:
        return None, length, None, ()
    name = call_name(node) or _last_name(node)
    positional, inner = arguments_of(node) if node.type == "call" else ([], {})
    first = _number(positional[0]) if positional else _number(inner.get("length", inner.get("dim")))
    if name.lower() in ("vector", "halfvec", "sparsevec", "bit"):
        return name, length, first, ()
    if name.lower() == "enum":
        return name, length, None, tuple(value for entry in positional if (value := string_of(entry)))
    return name, length or (first if name.lower() not in ("numeric", "array", "float") else None), None, ()


def _number(node: Node | None) -> int | None:
    return int(text(node)) if node is not None and node.type == "integer" and text(node).isdigit() else None


def _relation_target(value: Node | None, hint: str) -> str | None:
    if value is None:
        return None
    positional, keywords = arguments_of(value)
    argument = positional[0] if positional else keywords.get("argument")
    if argument is not None:
        return (string_of(argument) or _last_name(argument)).rpartition(".")[2] or None
    names = [name for name in re.findall(r"[A-Za-z_]\w*", hint) if name not in _NO_TARGETS]
    return names[-1] if names else None


_NO_TARGETS = frozenset(["Mapped", "List", "list", "Set", "set", "Optional", "None", "Sequence", "WriteOnlyMapped"])


def _read_declared(node: Node, entry: Declaration, source: Source) -> None:
    """`@declared_attr def name(cls): return Column(...)`."""
    definition = field(node, "definition")
    if definition is None or definition.type != "function_definition" or "declared_attr" not in text(node)[:200]:
        return
    for statement in named(field(definition, "body")):
        if statement.type == "return_statement" and (values := named(statement)):
            hint = text(field(definition, "return_type"))
            _read_attribute(text(field(definition, "name")), None, values[0], entry, source)
            if entry.columns and hint and entry.columns[-1].nullable is None:
                entry.columns[-1] = msgspec.structs.replace(entry.columns[-1], nullable=bool(_OPTIONAL.search(hint)))


def _read_arguments(value: Node, entry: Declaration) -> None:
    for argument in [value] if value.type == "dictionary" else named(value):
        if argument.type == "dictionary":
            for pair in named(argument):
                if pair.type == "pair" and string_of(field(pair, "key")) == "schema":
                    entry.schema = string_of(field(pair, "value"))
        elif argument.type == "call":
            _read_constraint(argument, entry)


def _read_constraint(call: Node, entry: Declaration) -> None:
    kind = call_name(call)
    positional, keywords = arguments_of(call)
    if kind == "Index" and positional:
        names = [string_of(argument) or _last_name(argument) for argument in positional[1:]]
        plain = [name for name, argument in zip(names, positional[1:], strict=True) if argument.type != "call"]
        method = string_of(keywords.get("postgresql_using"))
        unique = text(keywords.get("unique")) == "True"
        partial = len(plain) < len(names)
        entry.indexes.append(ModelIndex(tuple(plain), string_of(positional[0]), unique, method, partial))
    elif kind == "UniqueConstraint":
        names = [name for argument in positional if (name := string_of(argument))]
        entry.indexes.append(ModelIndex(tuple(names), string_of(keywords.get("name")), unique=True))
    elif kind == "PrimaryKeyConstraint":
        keys = {string_of(argument) for argument in positional}
        entry.columns[:] = [
            msgspec.structs.replace(column, primary_key=True) if column.attribute in keys else column
            for column in entry.columns
        ]


def _read_table(statement: Node, source: Source) -> Declaration | None:
    """`users = Table("users", metadata, Column(...))`."""
    assignment = statement.children[0] if statement.children else None
    if assignment is None or assignment.type != "assignment":
        return None
    value = field(assignment, "right")
    return _table_of(value, text(field(assignment, "left")), source) if value is not None else None


def _table_of(value: Node, name: str, source: Source) -> Declaration | None:
    if call_name(value) != "Table":
        return None
    positional, keywords = arguments_of(value)
    table = string_of(positional[0]) if positional else None
    if table is None:
        return None
    entry = Declaration(name, source.file.path, source.location(value), [], table, string_of(keywords.get("schema")))
    for argument in positional[2:]:
        if call_name(argument) == "Column":
            columns, _ = arguments_of(argument)
            attribute = string_of(columns[0]) if columns else None
            column = _read_column(attribute, "", argument, entry, source, argument) if attribute else None
            if column is not None:
                entry.columns.append(column)
        elif argument.type == "call":
            _read_constraint(argument, entry)
    return entry


def call_name(node: Node | None) -> str:
    """The last name of what is called; empty if the node is no call."""
    return _last_name(field(node, "function")) if node is not None and node.type == "call" else ""


def _last_name(node: Node | None) -> str:
    if node is None:
        return ""
    if node.type == "attribute":
        return text(field(node, "attribute"))
    if node.type == "subscript":
        return _last_name(field(node, "value"))
    return text(node) if node.type == "identifier" else ""


def arguments_of(call: Node | None) -> tuple[list[Node], dict[str, Node]]:
    """Positional and keyword arguments; unpacked ones are left out."""
    positional: list[Node] = []
    keywords: dict[str, Node] = {}
    for argument in named(field(call, "arguments") if call is not None else None):
        if argument.type == "keyword_argument":
            value = field(argument, "value")
            if value is not None:
                keywords[text(field(argument, "name"))] = value
        elif argument.type not in ("list_splat", "dictionary_splat"):
            positional.append(argument)
    return positional, keywords


def string_of(node: Node | None) -> str | None:
    """The text of a plain string literal."""
    if node is None or node.type != "string" or any(child.type == "interpolation" for child in node.children):
        return None
    return "".join(text(child) for child in node.children if child.type == "string_content")


def walk(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(current.named_children)
