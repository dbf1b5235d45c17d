"""Classes of Django's models, managers and querysets, as each file has them."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import ModelIndex
from checks.evidence.repository.orm.django_fields import Field, choices_of, is_field, read_field, read_meta_index
from checks.evidence.repository.orm.python_syntax import call_name, string_of
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location


class Class(msgspec.Struct):
    """A class that may be a model, the abstract base of one, or a manager. `label` is its application's. `hides` are the fields
    that its own delete() sets, where it keeps the row."""

    name: str
    path: str
    location: Location
    label: str
    bases: list[str]
    of_django: bool = False
    fields: list[Field] = []
    table: str | None = None
    abstract: bool = False
    proxy: bool = False
    swapped: bool = False
    ordering: tuple[str, ...] = ()
    indexes: list[ModelIndex] = []
    managers: dict[str, str] = {}
    methods: set[str] = set()
    hides: tuple[str, ...] = ()
    queryset: Node | None = None
    choices: dict[str, tuple[str, ...]] = {}


def read_classes(source: Source) -> list[Class]:
    """The classes of the file."""
    found: list[Class] = []
    pending = list(source.root.children)
    while pending:
        node = pending.pop()
        if node.type == "class_definition":
            found.append(_read_class(node, source))
        elif node.type in ("if_statement", "block", "decorated_definition", "try_statement", "else_clause"):
            pending += node.named_children
    return found


def _read_class(node: Node, source: Source) -> Class:
    bases = [
        text(base).partition("[")[0] for base in named(field(node, "superclasses")) if base.type != "keyword_argument"
    ]
    own = Class(
        text(field(node, "name")),
        source.file.path,
        source.location(node),
        "",
        [base.rpartition(".")[2] for base in bases],
        any(base in ("models.Model", "Model") for base in bases),
    )
    own.choices[""] = choices_of(node)
    for statement in named(field(node, "body")):
        definition = field(statement, "definition") if statement.type == "decorated_definition" else statement
        if definition is None:
            continue
        if definition.type == "class_definition":
            name = text(field(definition, "name"))
            if name == "Meta":
                _read_meta(definition, own)
            else:
                own.choices[name] = choices_of(definition)
        elif definition.type == "function_definition":
            own.methods.add(text(field(definition, "name")))
            if text(field(definition, "name")) == "delete":
                own.hides = _hidden_by(text(definition))
            if text(field(definition, "name")) == "get_queryset":
                own.queryset = definition
        elif statement.type == "expression_statement" and statement.children:
            _read_assignment(statement.children[0], own, source)
    return own


def _hidden_by(code: str) -> tuple[str, ...]:
    """What a delete() sets that calls update(), or sets and saves."""
    updated = re.search(r"\.update\(\s*((?:\w+\s*=\s*[^,()]*(?:\([^()]*\))?\s*,?\s*)+)\)", code[:2_000])
    if updated is not None:
        return tuple(re.findall(r"(?:^|,)\s*(\w+)\s*=", updated.group(1)))
    return tuple(re.findall(r"\bself\.(\w+)\s*=(?!=)", code[:2_000])) if "self.save(" in code else ()


def _read_assignment(assignment: Node, own: Class, source: Source) -> None:
    left, value = field(assignment, "left"), field(assignment, "right")
    if assignment.type != "assignment" or left is None or left.type != "identifier" or value is None:
        return
    name, called = text(left), call_name(value)
    if is_field(called):
        own.fields.append(read_field(name, called, value, source.location(assignment)))
    elif value.type == "call":
        made = re.match(
            r"(?:\w+\.)*?([A-Z]\w*)(?:\.(?:as_manager|from_queryset)\(.*|\(.*)", text(value)[:200], re.DOTALL
        )
        if made is not None:
            own.managers[name] = made[1]
    elif value.type in ("list", "tuple"):
        own.choices[name] = choices_of(value)


def _read_meta(node: Node, own: Class) -> None:
    for statement in named(field(node, "body")):
        assignment = statement.children[0] if statement.type == "expression_statement" and statement.children else None
        if assignment is None or assignment.type != "assignment":
            continue
        name, value = text(field(assignment, "left")), field(assignment, "right")
        if value is None:
            continue
        if name == "db_table":
            own.table = (string_of(value) or "").strip('"').replace('"."', ".") or None
        elif name == "app_label":
            own.label = string_of(value) or own.label
        elif name in ("abstract", "proxy"):
            setattr(own, name, text(value) == "True")
        elif name == "swappable":
            own.swapped = True
        elif name == "ordering":
            own.ordering = tuple(string_of(entry) or "?" for entry in named(value))
        elif name in ("unique_together", "index_together"):
            groups = named(value)
            flat = bool(groups) and all(entry.type == "string" for entry in groups)
            for group in [value] if flat else groups:
                columns = tuple(part for entry in named(group) if (part := string_of(entry)))
                own.indexes.append(ModelIndex(columns, unique=name == "unique_together"))
        elif name in ("indexes", "constraints"):
            own.indexes += [index for entry in named(value) if (index := read_meta_index(entry))]


def steps_of(function: Node) -> tuple[str, list[tuple[str, Node]]] | None:
    """What get_queryset() returns: what the chain begins with (`super`, the class of a queryset), and its steps; None if the
    function does anything besides."""
    body = [node for node in named(field(function, "body")) if not text(node).startswith(('"', "'"))]
    if len(body) != 1 or body[0].type != "return_statement":
        return None
    node = next(iter(named(body[0])), None)
    steps: list[tuple[str, Node]] = []
    while node is not None:
        if node.type == "parenthesized_expression":
            node = next(iter(named(node)), None)
        elif node.type == "call":
            target = field(node, "function")
            if target is not None and target.type == "attribute":
                name = text(field(target, "attribute"))
                if name not in ("get_queryset", "get_query_set"):
                    steps.insert(0, (name, node))
                node = field(target, "object")
            else:
                return text(target), steps
        else:
            return None
    return None
