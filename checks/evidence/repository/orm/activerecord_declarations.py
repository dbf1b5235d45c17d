"""Classes and modules of Ruby that may be models of ActiveRecord, or parts of them, as their source declares them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.facts import ModelIndex, ModelRelation
from checks.evidence.repository.orm.ruby import (
    arguments_of,
    camelized,
    entries_of,
    method_of,
    name_of,
    singularized,
    string_of,
    underscored,
)
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.model import Location

CANDIDATE = re.compile(
    r"^[ \t]*class\s+[A-Z][\w:]*\s*<\s*(?:::)?[A-Z]|\bActiveSupport::Concern\b|\bself\.table_name_prefix\b",
    re.MULTILINE,
)
_ARRAYS = ("array", "symbol_array", "string_array")
_CONCERN = re.compile(r"\bextend\s+(?:::)?ActiveSupport::Concern\b")
_PREFIX = re.compile(r"def\s+self\.table_name_prefix\s*(?:\(\)\s*)?[=;]?\s*[\"'](\w+)[\"']")
# The name under which the body of a default scope stands among the others.
DEFAULT_SCOPE = "default_scope"
# A body that is nothing but a relation, of a class or of an association.
_FURTHER = (
    r"(?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\s*\.\s*(?:where|not|joins|includes|order|limit|distinct|all|merge)\b)*\s*\Z"
)
_GIVES = re.compile(
    r"(?:::)?([A-Z]\w*(?:::[A-Z]\w*)*)\s*\.(?:where|joins|left_joins|includes|order|unscoped|with_\w+|for_\w+|by_\w+)\b"
    + _FURTHER
)
_GIVES_OWN = re.compile(r"([a-z_]\w*)\s*\.(?:where|joins|left_joins|includes|order|merge)\b" + _FURTHER)
_GIVES_SCOPE = re.compile(r"([a-z_]\w*\.[a-z_]\w*)\s*\Z")
# Stands for the class that includes a concern.
_INCLUDER = "Includer"
# What an association of a concern has for the key of that class.
INCLUDERS_KEY = "includer_id"
# Methods of a row that send a statement.
WRITES = frozenset(
    "save save! update update! update_attributes update_attributes! update_attribute update_column update_columns touch "
    "destroy destroy! delete".split()
)
_KEEPS_ROWS = re.compile(r"acts_as_paranoid|has_soft_delet|soft_delet")


class Declaration(NamedTuple):
    """A class that may be a model, or a module, which has no parent: a concern, or one with a `prefix` for tables. `scopes` are
    by name the body of their lambda, as a file's code; `methods` the class's own, `scoped` the relations with conditions of
    their own, `own_writes` the methods of a row that it has written anew, `primary_key` the columns that the class itself says,
    `includes` the names of modules as they are written there, `through` by association the one that it goes through and the one
    that it follows there, `gives` by method of a row the class, or its association and what
    may be a scope, whose relation it returns."""

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
    prefix: str | None = None
    through: tuple[tuple[str, str, str], ...] = ()


def read_declarations(source: Source) -> list[Declaration]:
    """The classes of the file that have a parent, its concerns, and its modules that name tables."""
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
            elif node.type == "module" and (prefix := _prefix(node)):
                found.append(Declaration(name, "", source.location(node), prefix=prefix))
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
    through: list[tuple[str, str, str]] = []
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
            body = text(field(statement, "body"))
            if begun := _GIVES.match(body) or _GIVES_OWN.match(body) or _GIVES_SCOPE.match(body):
                gives.append((text(field(statement, "name")), begun.group(1)))
        elif statement.type == "singleton_method":
            methods.add(text(field(statement, "name")))
        elif statement.type == "singleton_class":
            methods |= _method_names(field(statement, "body"))
        elif statement.type == "call":
            word = method_of(statement)
            written |= {"destroy", "delete"} if _KEEPS_ROWS.match(word) else set()
            default |= word == DEFAULT_SCOPE
            scopes += [(DEFAULT_SCOPE, _body(statement))] if word == DEFAULT_SCOPE else []
            if word in ("include", "prepend"):
                includes += [text(argument).removeprefix("::") for argument in arguments_of(statement)]
            if word == "class_methods" and (block := field(statement, "block")) is not None:
                methods |= _method_names(field(block, "body"))
            if word in ("enum", "aasm"):
                scopes[:0] = _labels(statement) if word == "enum" else _states(statement)
            if word == "scope" and (scope := _scope(statement)):
                scopes.append(scope)
            elif word in ("belongs_to", "has_many", "has_one", "has_and_belongs_to_many"):
                relation = _relation(name if parent else _INCLUDER, word, statement)
                relations += [relation] if relation else []
                through += _through(statement)
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
        None,
        tuple(through),
    )


def _prefix(module: Node) -> str | None:
    """What the module says that stands before the names of its tables."""
    methods = [child for child in named(field(module, "body")) if child.type == "singleton_method"]
    found = (_PREFIX.match(text(method)) for method in methods)
    return next((match.group(1) for match in found if match), None)


def _states(call: Node) -> list[tuple[str, str]]:
    """The scopes that a state machine of AASM makes of its states."""
    options, _ = entries_of(call)
    column = name_of(options["column"]) if "column" in options else "aasm_state"
    if column is None or "create_scopes" in options or "namespace" in options:
        return []
    block = field(call, "block")
    statements = [
        child for child in named(field(block, "body") if block is not None else None) if method_of(child) == "state"
    ]
    names = [name_of(argument) for statement in statements for argument in arguments_of(statement)]
    return [(name, f"where({column}: :{name})") for name in names if name and name.isidentifier()]


def _labels(call: Node) -> list[tuple[str, str]]:
    """The scopes that `enum :status, { open: 0 }` makes: those of each label, and those of all others."""
    options, whole = entries_of(call)
    arguments = arguments_of(call)
    if not whole or any(key.strip("_") in ("prefix", "suffix", "scopes") for key in options):
        return []
    if attribute := name_of(next(iter(arguments), None)):
        values = (
            arguments[1]
            if len(arguments) > 1
            else next((n for n in named(field(call, "arguments")) if n.type == "hash"), None)
        )
    else:
        attribute, values = next(
            ((key, value) for key, value in options.items() if value.type != "simple_symbol"), ("", None)
        )
    if values is not None and values.type == "call" and method_of(values) in ("index_with", "freeze", "index_by"):
        values = field(values, "receiver")
    if values is None or values.type not in ("hash", "array", "symbol_array", "string_array") or not attribute:
        return []
    labels = list(entries_of(values)[0]) if values.type == "hash" else [_word(child) for child in named(values)]
    return [
        scope
        for label in labels
        if label and label.isidentifier()
        for scope in ((label, f"where({attribute}: :{label})"), (f"not_{label}", f"where.not({attribute}: :{label})"))
    ]


def _word(node: Node) -> str:
    return text(node) if node.type in ("bare_symbol", "bare_string") else name_of(node) or ""


def _through(call: Node) -> list[tuple[str, str, str]]:
    """`has_many :readers, through: :subscriptions, source: :user`"""
    attribute, options = name_of(next(iter(arguments_of(call)), None)), entries_of(call)[0]
    through = name_of(options.get("through"))
    if attribute is None or through is None or options.keys() & {"class_name", "source_type"}:
        return []
    return [(attribute, through, name_of(options.get("source")) or attribute)]


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
    found = [name_of(child) for child in (named(node) if node is not None and node.type in _ARRAYS else [node])]
    return tuple(name for name in found if name) if all(found) else ()


def _scope(call: Node) -> tuple[str, str] | None:
    """The name of a scope and the code of its lambda's body."""
    arguments = arguments_of(call)
    name = name_of(arguments[0]) if arguments else None
    if name is None or len(arguments) < 2:
        return None
    return name, _body(arguments[1])


def _body(node: Node) -> str:
    """The code within a lambda or a block, also of one that is the only argument of a call."""
    given = next(iter(arguments_of(node)), node) if node.type == "call" and field(node, "block") is None else node
    body = field(given, "body") or field(given, "block")
    while body is not None and (inner := field(body, "body")) is not None:
        body = inner
    code = text(body)[:2_000].strip() if body is not None else ""
    return code.removeprefix("do").removesuffix("end").strip("{} \n")


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
        if scope is not None and scope.type in _ARRAYS
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
