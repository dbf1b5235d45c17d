"""Calls of TypeORM's repositories and entity managers that send a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
)
from checks.evidence.repository.orm.script import (
    Imports,
    arguments_of,
    call_of,
    called,
    holder_of,
    known_entries,
    resolved,
    string_of,
)
from checks.evidence.repository.orm.script_chains import value_before
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped
from checks.evidence.repository.orm.typeorm_builder import read_builder
from checks.evidence.repository.orm.typeorm_where import add_where

_METHODS = (
    r"find|findOne|findBy|findOneBy|findOneOrFail|findOneByOrFail|findAndCount|findAndCountBy|count|countBy|exist|exists|existsBy"
    r"|exist|sum|average|minimum|maximum|save|insert|update|upsert|delete|remove|softDelete|softRemove|restore|recover"
    r"|increment|decrement|createQueryBuilder|findByIds|findOneById"
)
CANDIDATE = re.compile(rf"\.\s*(?:{_METHODS})\s*(?:<[^()]*>)?\(")
_CALLS = re.compile(rf"\.\s*({_METHODS})\s*(?:<[^()]*>)?\(".encode())
_PROPERTY = frozenset(["property_identifier"])
_TYPED = re.compile(r"\b(\w+)\s*[?!]?\s*:\s*(?:\w+\.)?(?:Tree)?Repository<\s*(\w+)")
_TYPED_BY_CLASS = re.compile(r"\b(\w+)\s*[?!]?\s*:\s*(\w+)\b(?!\s*[(<])")
_ASSIGNED = re.compile(
    r"\b(\w+)\s*=\s*(?:await\s+)?(?:[\w$]+(?:\(\))?[?!]*\s*\.\s*){0,8}"
    r"(?:getRepository|getTreeRepository|getCustomRepository)\(\s*(\w+)\s*\)(?!\s*[.?!])"
)
_MANAGER = re.compile(r"(?:manager|datasource|connection|^em|^trx|^tx|^transaction|queryrunner)$", re.IGNORECASE)
_MAXIMUM_STEPS = 4
_AGGREGATES = {"sum": "sum", "average": "avg", "minimum": "min", "maximum": "max"}
_LOOKS_LIKE_KEY = re.compile(r"(?:^|[a-z_.])id$|^id\b|Id\)?$", re.IGNORECASE)


def read_calls(
    source: Source, models: Models, repositories: Mapping[str, str], deleted: Mapping[str, str]
) -> list[OrmCall]:
    """`repositories` are the repository's own classes with their entities, `deleted` the attributes that mark deleted rows."""
    return _Reader(source, models, repositories, deleted).read()


class _Reader:
    def __init__(
        self, source: Source, models: Models, repositories: Mapping[str, str], deleted: Mapping[str, str]
    ) -> None:
        self.source = source
        self.models = models
        self.deleted = deleted
        self.imports = Imports(source.file.text)
        self.repositories = repositories
        held = [*_ASSIGNED.findall(source.file.text), *_TYPED.findall(source.file.text)]
        for name, kind in _TYPED_BY_CLASS.findall(source.file.text):
            held += [(name, repositories[kind])] if kind in repositories else []
        # One name may hold several repositories in a file: then only the function tells which.
        kinds: dict[str, set[str]] = {}
        for name, kind in held:
            kinds.setdefault(name, set()).add(repositories.get(kind, kind))
        self.holders = {name: next(iter(found)) for name, found in kinds.items() if len(found) == 1}
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _PROPERTY):
            found_call = call_of(node)
            if found_call is None:
                continue
            call = found_call[0]
            holder = holder_of(call)
            found = self._receiver(unwrapped(holder), arguments_of(call)) if holder is not None else None
            if found is None:
                continue
            model, arguments = found
            method = match.group(1).decode()
            if method == "createQueryBuilder":
                call_of_builder = read_builder(self.source, call, model, arguments, self.entity, self.deleted)
                self.calls += [call_of_builder] if call_of_builder is not None else []
            elif model is not None:
                self._method(method, model, arguments, call, node)
        return self.calls

    def entity(self, name: str) -> Model | None:
        found = self.models.find(self.imports.names.get(name, name), self.source.file.path)
        if found is not None or not name:
            return found
        by_table = [model for model in self.models.all() if model.table == name]
        return by_table[0] if len(by_table) == 1 else None

    def _receiver(self, holder: Node, arguments: list[Node]) -> tuple[Model | None, list[Node]] | None:
        """The entity of the repository that the method is called on, and the method's arguments without it."""
        if called(holder) in ("getRepository", "getTreeRepository", "getCustomRepository", "withRepository"):
            given = arguments_of(holder)
            name = text(given[-1]) if given else ""
            model = self.entity(self.repositories.get(name, name)) or self.entity(
                self.holders.get(name.rpartition(".")[2], "")
            )
            return (model, arguments) if model else None
        name = text(field(holder, "property")) if holder.type == "member_expression" else text(holder)
        if holder.type == "call_expression":
            name = called(holder)
        if holder.type == "identifier" and (value := value_before(name, holder)) is not None:
            if called(value) in ("getRepository", "getTreeRepository", "getCustomRepository"):
                return self._receiver(value, arguments)
            return None if name in self.holders else self._named_receiver(holder, name, arguments)
        if name in self.holders and (model := self.entity(self.holders[name])):
            return model, arguments
        return self._named_receiver(holder, name, arguments)

    def _named_receiver(self, holder: Node, name: str, arguments: list[Node]) -> tuple[Model | None, list[Node]] | None:
        """The same for `this` of a repository's own class, an entity manager, or an entity that finds its rows itself."""
        if holder.type == "this":
            model = self.entity(self.repositories.get(_class_around(holder), ""))
            return (model, arguments) if model else None
        first = text(arguments[0]) if arguments and arguments[0].type == "identifier" else ""
        if _MANAGER.search(name) and first and (model := self.entity(first)):
            return model, arguments[1:]
        if not arguments and holder.type in ("identifier", "member_expression"):
            return None, arguments
        if holder.type == "identifier" and name[:1].isupper():
            model = self.entity(name)
            known = name in self.imports.names or (model is not None and model.location.path == self.source.file.path)
            return (model, arguments) if model and known else None
        return None

    def _finish(self, query: Query, call: Node, node: Node) -> None:
        function = function_name(function_around(call))
        self.calls.append(query.finish(self.source.location(node), "typeorm", function))

    def _method(self, method: str, model: Model, arguments: list[Node], call: Node, node: Node) -> None:
        first = arguments[0] if arguments else None
        if method in ("save", "insert", "upsert", "remove", "softRemove", "recover"):
            query = self._entity_written(method, model, first)
        elif method in ("update", "delete", "softDelete", "restore", "increment", "decrement"):
            query = self._criteria_written(method, model, arguments)
        else:
            query = self._read(method, model, arguments)
        if query is not None:
            self._finish(query, call, node)

    # Reading

    def _read(self, method: str, model: Model, arguments: list[Node]) -> Query | None:
        query = Query("select", model)
        base = method.removesuffix("OrFail")
        if base in _AGGREGATES:
            column = query.column(string_of(arguments[0]) or "") if arguments else None
            query.columns = [f"{_AGGREGATES[base]}({column})"] if column else []
            query.partial |= set() if column else {COLUMNS, EXPRESSIONS}
            arguments = arguments[1:]
        first = arguments[0] if arguments else None
        if base in ("findByIds", "findOneById"):
            self._by_key(query, many=base == "findByIds")
        elif base.endswith("By") or base in _AGGREGATES:
            if first is not None:
                add_where(query, first)
        elif first is not None:
            self._options(query, resolved(first))
        if base in ("count", "countBy"):
            query.columns, query.order, query.limit = ["count(*)"], [], None
        elif base.startswith("exist"):
            query.columns, query.limit = [VALUE], 1
            query.partial.add(JOINS)
        elif base.startswith("findOne"):
            query.limit = 1
        self._leave_out_deleted(query, first)
        return query

    def _leave_out_deleted(self, query: Query, options: Node | None) -> None:
        attribute = self.deleted.get(query.model.name)
        column = query.column(attribute) if attribute else None
        code = text(resolved(options)) if options is not None else ""
        if column is not None and "withDeleted" not in code:
            query.where.append(f"{column} IS NULL")
        elif column is not None and not re.search(r"withDeleted\s*:\s*true", code):
            query.partial.add(WHERE)

    def _options(self, query: Query, node: Node) -> None:
        entries, whole = known_entries(node)
        if node.type == "string" or (not entries and node.type not in ("object",)):
            query.partial |= EVERYTHING
            return
        query.partial |= set() if whole else EVERYTHING
        for key, value in entries.items():
            if key == "where":
                add_where(query, value)
            elif key == "order":
                self._order(query, resolved(value))
            elif key == "take":
                query.take(text(value))
            elif key == "skip":
                query.offset = text(value) != "0"
            elif key == "select":
                self._columns(query, resolved(value))
            elif key == "relations":
                self._relations(query, resolved(value))
            elif key == "lock":
                query.suffix = " FOR UPDATE" if "pessimistic_write" in text(value) else ""
            elif key not in ("withDeleted", "cache", "loadEagerRelations", "comment", "transaction", "loadRelationIds"):
                query.partial |= EVERYTHING

    def _order(self, query: Query, node: Node) -> None:
        entries, whole = known_entries(node)
        for key, value in entries.items():
            column = query.column(key)
            word = (string_of(unwrapped(value)) or text(value)).lower()
            if column is None or word not in ("asc", "desc", "1", "-1"):
                query.partial.add(ORDER)
            elif ORDER not in query.partial:
                query.order.append(column + (" DESC" if word in ("desc", "-1") else ""))
        query.partial |= set() if whole else {ORDER}

    def _columns(self, query: Query, node: Node) -> None:
        if node.type == "array":
            names = [string_of(entry) for entry in named(node)]
        else:
            entries, whole = known_entries(node)
            names = [key if text(value) == "true" else None for key, value in entries.items() if text(value) != "false"]
            query.partial |= set() if whole else {COLUMNS}
        columns = [query.column(name) if name else None for name in names]
        query.columns = [column for column in columns if column]
        query.partial |= set() if all(columns) else {COLUMNS}

    def _relations(self, query: Query, node: Node) -> None:
        query.partial.add(COLUMNS)
        if node.type == "array":
            names = [string_of(entry) for entry in named(node)]
        else:
            names = [key if text(value) == "true" else None for key, value in known_entries(node)[0].items()]
        for name in names:
            if name is None or not self._join(query, name):
                query.partial.add(JOINS)
        if query.limit is not None:
            query.partial.add(JOINS)

    def _join(self, query: Query, name: str) -> bool:
        """A LEFT JOIN by the relation of that name; whether it is known."""
        relation = next((entry for entry in query.model.relations if entry.attribute == name), None)
        target = self.entity(relation.target) if relation is not None else None
        if relation is None or target is None or not relation.columns:
            return False
        alias = f"{query.alias}__{name}"
        pairs = zip(relation.columns, relation.references, strict=False)
        on = [
            f"{quoted(alias)}.{quoted(_key(target, other))} = {quoted(query.alias)}.{quoted(own)}"
            for own, other in pairs
        ]
        table = f"{quoted(target.schema)}.{quoted(target.table)}" if target.schema else quoted(target.table)
        if (column := column_of(target, self.deleted.get(target.name, ""))) is not None:
            on.append(f"{quoted(alias)}.{quoted(column.name)} IS NULL")
        query.joins.append(f"LEFT JOIN {table} AS {quoted(alias)} ON {' AND '.join(on)}")
        return True

    def _by_key(self, query: Query, *, many: bool) -> None:
        keys = [column for column in query.model.columns if column.primary_key]
        if len(keys) != 1:
            query.partial.add(WHERE)
            return
        name = f"{quoted(query.alias)}.{quoted(keys[0].name)}"
        query.where.append(f"{name} IN ({VALUE})" if many else f"{name} = {VALUE}")

    # Writing

    def _criteria_written(self, method: str, model: Model, arguments: list[Node]) -> Query:
        query = Query("delete" if method == "delete" else "update", model)
        if arguments:
            self._criteria(query, arguments[0])
        if method in ("softDelete", "restore"):
            query.write(self.deleted.get(model.name, ""))
        elif method in ("increment", "decrement"):
            query.write(string_of(arguments[1]) or "" if len(arguments) > 1 else "")
        elif method == "update":
            self._data(query, arguments[1] if len(arguments) > 1 else None)
        return query

    def _criteria(self, query: Query, node: Node) -> None:
        node = resolved(node)
        if node.type == "object":
            add_where(query, node)
        elif called(node) == "map":
            self._by_key(query, many=True)
        elif node.type in ("string", "number", "template_string") or _LOOKS_LIKE_KEY.search(text(node)):
            self._by_key(query, many=False)
        elif called(node) == "In" or node.type == "array" or text(node).lower().endswith("ids"):
            self._by_key(query, many=True)
        else:
            query.partial.add(WHERE)

    def _data(self, query: Query, node: Node | None) -> None:
        if node is None:
            query.partial.add(COLUMNS)
            return
        node = resolved(node)
        if called(node) == "map" and arguments_of(node):
            node = unwrapped(field(arguments_of(node)[0], "body") or node)
        if node.type == "array":
            node = unwrapped(named(node)[0]) if len(named(node)) == 1 else node
        entries, whole = known_entries(node)
        query.partial |= set() if whole else {COLUMNS}
        for key in entries:
            relation = next((entry for entry in query.model.relations if entry.attribute == key), None)
            if relation is not None and column_of(query.model, key) is None:
                query.partial.add(COLUMNS)
                query.written |= dict.fromkeys(relation.columns)
            else:
                query.write(key)

    def _entity_written(self, method: str, model: Model, node: Node | None) -> Query | None:
        if method in ("insert", "upsert"):
            query = Query("insert", model)
            self._data(query, node)
            query.partial |= {COLUMNS} if method == "upsert" else set()
            return query
        if method in ("remove", "softRemove", "recover"):
            query = Query("delete" if method == "remove" else "update", model)
            self._by_key(query, many=False)
            if method != "remove":
                query.write(self.deleted.get(model.name, ""))
            return query
        return self._saved(model, unwrapped(node)) if node is not None else None

    def _saved(self, model: Model, node: Node, depth: int = 0) -> Query | None:
        """save(): an INSERT of what create() made, an UPDATE of what was found; None where the code does not tell."""
        value: Node | None = node if depth < _MAXIMUM_STEPS else None
        for _ in range(_MAXIMUM_STEPS):
            if value is not None and value.type in ("identifier", "shorthand_property_identifier"):
                value = value_before(text(value), value)
            elif value is not None and called(value) in (
                "create",
                "merge",
                "assign",
                "preload",
                "plainToInstance",
                "map",
            ):
                break
        if value is None:
            return None
        value = unwrapped(value)
        word = called(value)
        keys = {column.attribute for column in model.columns if column.primary_key}
        if (
            word == "create"
            or value.type == "new_expression"
            or (value.type == "object" and not keys & set(known_entries(value)[0]))
        ):
            query = Query("insert", model)
            given = arguments_of(value)[0] if word == "create" and arguments_of(value) else value
            if resolved(given).type in ("object", "array"):
                self._data(query, given)
            else:
                query.partial.add(COLUMNS)
            if value.type == "new_expression":
                query.partial.add(COLUMNS)
            return query
        if word.startswith("find") or word in ("getOne", "getOneOrFail", "preload"):
            query = Query("update", model)
            self._by_key(query, many=False)
            query.partial.add(COLUMNS)
            return query
        if word in ("merge", "assign") and arguments_of(value):
            return self._saved(model, unwrapped(arguments_of(value)[0]), depth + 1)
        return None


def _key(model: Model, referenced: str) -> str:
    column = column_of(model, referenced)
    return column.name if column is not None else referenced


def _class_around(node: Node) -> str:
    current: Node | None = node
    while current is not None and current.type not in ("class_declaration", "class", "abstract_class_declaration"):
        current = current.parent
    return text(field(current, "name")) if current is not None else ""
