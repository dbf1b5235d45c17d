"""Tables that SQLAlchemy (1.4, 2.0), Flask-SQLAlchemy and SQLModel code declares, read from its source."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, last_name, string_of
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

CANDIDATE = re.compile(
    r"__tablename__|SQLAlchemyBase\w*Table|table\s*=\s*True|mapped_column\(|\bColumn\(|\bTable\(|declared_attr"
)

_COLUMN_CALLS = frozenset(["Column", "mapped_column"])
_NO_TYPES = frozenset(["ForeignKey", "Identity", "Sequence", "Computed", "CheckConstraint", "FetchedValue", "Index"])
_RELATIONS = frozenset(["relationship", "Relationship", "relation"])
_OPTIONAL = re.compile(r"\bOptional\[|\|\s*None\b|\bNone\s*\|")


class Declaration(msgspec.Struct):
    """A class that may be a model or part of one. `table` is None where it names none; `of_table` is the variable of the table
    that it stands for, where it names that; `naming` how it makes the tables' names of those that inherit from it: see
    named_after()."""

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
    naming: str | None = None
    is_abstract: bool = False


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


def _read_class(node: Node, source: Source) -> Declaration:
    bases, is_model = [], False
    for base in named(field(node, "superclasses")):
        if base.type == "keyword_argument":
            is_model |= text(field(base, "name")) == "table" and text(field(base, "value")) == "True"
        else:
            bases.append(last_name(base))
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
    elif name == "__abstract__" and text(value) == "True":
        entry.is_abstract = True
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
    name = call_name(node) or last_name(node)
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
        return (string_of(argument) or last_name(argument)).rpartition(".")[2] or None
    names = [name for name in re.findall(r"[A-Za-z_]\w*", hint) if name not in _NO_TARGETS]
    return names[-1] if names else None


_NO_TARGETS = frozenset(["Mapped", "List", "list", "Set", "set", "Optional", "None", "Sequence", "WriteOnlyMapped"])


def _read_declared(node: Node, entry: Declaration, source: Source) -> None:
    """`@declared_attr def name(cls): return Column(...)`."""
    definition = field(node, "definition")
    if definition is None or definition.type != "function_definition" or "declared_attr" not in text(node)[:200]:
        return
    name = text(field(definition, "name"))
    for statement in named(field(definition, "body")):
        if statement.type == "return_statement" and (values := named(statement)):
            if name == "__tablename__":
                entry.naming = _naming(text(values[0]), source)
                continue
            hint = text(field(definition, "return_type"))
            _read_attribute(name, None, values[0], entry, source)
            if entry.columns and hint and entry.columns[-1].nullable is None:
                entry.columns[-1] = msgspec.structs.replace(entry.columns[-1], nullable=bool(_OPTIONAL.search(hint)))


def _naming(code: str, source: Source) -> str | None:
    """How the code makes the name of a table of `cls.__name__`: `lower` or `snake`, and what is put behind it."""
    match = re.fullmatch(
        r"f?[\"']?\{?(?:(\w+)\()?cls\.__name__\)?((?:\.lower\(\))?)\}?(?:([a-z_]*)[\"']|\s*\+\s*[\"']([a-z_]+)[\"'])?",
        code,
    )
    if match is None:
        snake = re.fullmatch(r"re\.sub\(.*\[A-Z\].*cls\.__name__.*\)\.lower\(\)", code, re.DOTALL)
        return "snake" if snake else None
    suffix = match.group(3) or match.group(4) or ""
    if (helper := match.group(1)) is None:
        return f"lower{suffix}" if match.group(2) else None
    body = re.search(rf"^def {helper}\(.*?(?=^\S)", source.file.text + "\n#", re.MULTILINE | re.DOTALL)
    splits = "[A-Z]" in body.group(0) if body is not None else "snake" in helper
    return f"snake{suffix}" if splits else None


def named_after(naming: str, name: str) -> str | None:
    """The table of a class by the naming of its base; None where readings of the rule differ."""
    if naming.startswith("lower"):
        return name.lower() + naming.removeprefix("lower")
    if re.search(r"[A-Z]{2}|[0-9]", name):
        return None
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() + naming.removeprefix("snake")


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
        names = [string_of(argument) or last_name(argument) for argument in positional[1:]]
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
