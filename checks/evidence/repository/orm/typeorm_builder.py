"""TypeORM's query builder: chains that begin with createQueryBuilder()."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    WHERE,
    Query,
    column_of,
    quoted,
)
from checks.evidence.repository.orm.script import arguments_of, called, chain_above, string_of
from checks.evidence.repository.orm.script_chains import Step, fate_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped
from checks.evidence.repository.orm.typeorm_where import add_where, sql_of

_SENDS = frozenset(
    "getMany getOne getOneOrFail getRawMany getRawOne getCount getManyAndCount getRawAndEntities execute stream getExists".split()
)
_WORDS = frozenset(["insert", "update", "delete", "from", "into", "softDelete"])
_HARMLESS = frozenset(
    "setParameter setParameters cache comment returning orIgnore printSql clone distinct useTransaction withDeleted "
    "callListeners updateEntity then catch finally getQuery".split()
).union(_SENDS, _WORDS)
_CONDITIONS = {"where": "", "andWhere": "AND", "orWhere": "OR", "having": "", "andHaving": "AND"}
_PARTS = {
    "orderBy": {ORDER}, "addOrderBy": {ORDER}, "take": {LIMIT}, "skip": {LIMIT}, "limit": {LIMIT}, "offset": {LIMIT},
    "select": {COLUMNS, EXPRESSIONS}, "addSelect": {COLUMNS, EXPRESSIONS}, "groupBy": {EXPRESSIONS},
    "addGroupBy": {EXPRESSIONS}, "set": {COLUMNS},
}  # fmt: skip
_MAXIMUM_DEPTH = 12
_JOIN = re.compile(r"(inner|left)Join(?:AndSelect|AndMapOne|AndMapMany)?")
_FUNCTION = re.compile(r"\b(?:count|sum|avg|min|max)\s*\(", re.IGNORECASE)

Entity = Callable[[str], Model | None]


def read_builder(
    source: Source, call: Node, model: Model | None, arguments: list[Node], entity: Entity, deleted: Mapping[str, str]
) -> OrmCall | None:
    """The statement of the chain; None if it is not sent as it is, or its table is not known."""
    top, steps = chain_above(call)
    fate = fate_of(top)
    every = [*steps, *fate.steps]
    names = {name for name, _ in [*every, *fate.possible]}
    if not names & _SENDS:
        return None
    verb = next((name for name, _ in every if name in ("insert", "update", "delete", "softDelete")), "select")
    alias = string_of(arguments[0]) if arguments else None
    for name, step in every:
        given = arguments_of(step)
        if name in ("from", "into", "update") and given and given[0].type == "identifier":
            model = entity(text(given[0]))
            alias = string_of(given[1]) if len(given) > 1 else alias
    if model is None:
        return None
    query = Query("update" if verb == "softDelete" else verb, model, alias if verb == "select" else None)
    reader = _Builder(query, entity, deleted)
    reader.apply(every)
    for name, _ in fate.possible:
        query.partial |= set() if name in _HARMLESS else {WHERE} if "here" in name else _PARTS.get(name, EVERYTHING)
    query.partial |= EVERYTHING if fate.open and not _SENDS & {name for name, _ in steps} else set()
    function = field(call, "function")
    line = field(function, "property") if function is not None else None
    return query.finish(source.location(line or call), "typeorm", function_name(function_around(call)))


class _Builder:
    def __init__(self, query: Query, entity: Entity, deleted: Mapping[str, str]) -> None:
        self.query = query
        self.entity = entity
        self.deleted = deleted
        self.values = Values({})
        self.aliases = {query.alias: query.model}
        self.conditions: list[tuple[str, str]] = []

    def apply(self, steps: list[Step]) -> None:
        query = self.query
        for name, call in steps:
            if match := _JOIN.fullmatch(name):
                self._join(match.group(1), name, arguments_of(call))
        for name, call in steps:
            self._step(name, arguments_of(call))
        self._finish_conditions()
        attribute = self.deleted.get(query.model.name)
        column = query.column(attribute) if attribute else None
        if query.verb == "select" and column is not None and "withDeleted" not in {name for name, _ in steps}:
            query.where.append(f"{column} IS NULL")
        if "softDelete" in {name for name, _ in steps}:
            query.write(attribute or "")

    def _finish_conditions(self) -> None:
        if any(word == "OR" for word, _ in self.conditions[1:]):
            parts = [
                part if not position else f"{word or 'AND'} {part}"
                for position, (word, part) in enumerate(self.conditions)
            ]
            if WHERE not in self.query.partial:
                self.query.where.append(f"({' '.join(parts)})")
            self.query.partial |= set()
        else:
            self.query.where += [part for _, part in self.conditions]

    def _step(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        first = arguments[0] if arguments else None
        if name in _CONDITIONS and first is not None:
            condition = self._condition(first) if "aving" not in name else None
            if condition is None:
                query.partial.add(WHERE)
            else:
                self.conditions.append((_CONDITIONS[name], condition))
        elif name == "whereInIds":
            query.partial.add(WHERE)
        elif name in ("orderBy", "addOrderBy"):
            self._order(arguments)
        elif name in ("take", "limit") and first is not None:
            query.take(text(first))
        elif name in ("skip", "offset") and first is not None:
            query.offset = text(first) != "0"
        elif name in ("select", "addSelect"):
            self._select(arguments, added=name == "addSelect")
        elif name in ("groupBy", "addGroupBy") and first is not None:
            key = self._expression(string_of(first))
            query.group += [key] if key else []
            query.partial |= set() if key else {EXPRESSIONS}
        elif name in ("set", "values") and first is not None:
            self._data(first)
        elif name in ("getCount", "getExists"):
            query.columns, query.order = ["count(*)"], []
            query.partial |= {JOINS} if name == "getExists" else set()
        elif name == "setLock":
            query.suffix = " FOR UPDATE" if "pessimistic_write" in text(first) else query.suffix
        elif name == "setOnLocked":
            query.suffix += " SKIP LOCKED" if "skip" in text(first) else ""
        elif name in ("orUpdate", "onConflict"):
            query.partial.add(COLUMNS)
        elif name not in _HARMLESS and not _JOIN.fullmatch(name):
            query.partial |= EVERYTHING

    def _expression(self, code: str | None) -> str | None:
        """`alias.attribute`, a bare name of the statement's own table, or SQL over these."""
        if code is None:
            return None
        if re.fullmatch(r"\w+", code):
            if (column := self.query.column(code)) is not None:
                return column
            by_name = any(column.name == code for column in self.query.model.columns)
            return f"{quoted(self.query.alias)}.{quoted(code)}" if by_name else None
        return sql_of(code, self.aliases)

    def _condition(self, node: Node, depth: int = 0) -> str | None:
        node = unwrapped(node)
        if depth > _MAXIMUM_DEPTH:
            return None
        if (code := self.values.argument(node).string) is not None:
            return sql_of(code, self.aliases)
        if node.type == "object":
            before = set(self.query.partial)
            kept, self.query.where = self.query.where, []
            add_where(self.query, node)
            found, self.query.where = self.query.where, kept
            whole = WHERE not in self.query.partial or WHERE in before
            return f"({' AND '.join(found)})" if found and whole else None
        if node.type == "new_expression" and text(field(node, "constructor")) == "Brackets":
            return self._brackets(node, depth)
        return None

    def _brackets(self, node: Node, depth: int) -> str | None:
        given = named(field(node, "arguments"))
        body = field(given[0], "body") if given else None
        statements = (
            named(body) if body is not None and body.type == "statement_block" else [body] if body is not None else []
        )
        parts: list[str] = []
        for statement in statements:
            inner: Node | None = statement
            if statement.type in ("expression_statement", "return_statement") and named(statement):
                inner = named(statement)[0]
            steps: list[Step] = []
            while inner is not None and inner.type == "call_expression":
                steps.append((called(inner), inner))
                function = field(inner, "function")
                inner = (
                    field(function, "object") if function is not None and function.type == "member_expression" else None
                )
            if inner is None or inner.type != "identifier" or not steps:
                return None
            for name, step in reversed(steps):
                condition = (
                    self._condition(arguments_of(step)[0], depth + 1)
                    if name in _CONDITIONS and arguments_of(step)
                    else None
                )
                if condition is None:
                    return None
                parts += [_CONDITIONS[name] or "AND", condition] if parts else [condition]
        return f"({' '.join(parts)})" if parts else None

    def _order(self, arguments: list[Node]) -> None:
        query = self.query
        code = string_of(arguments[0]) if arguments else None
        key = self._expression(code)
        word = (string_of(arguments[1]) or "").upper() if len(arguments) > 1 else "ASC"
        nulls = string_of(arguments[2]) if len(arguments) > 2 else None
        if key is None or word not in ("ASC", "DESC"):
            query.partial.add(ORDER)
        elif ORDER not in query.partial:
            last = f" {nulls}" if nulls in ("NULLS FIRST", "NULLS LAST") else ""
            query.order.append(key + (" DESC" if word == "DESC" else "") + last)

    def _select(self, arguments: list[Node], *, added: bool) -> None:
        query = self.query
        columns: list[str] = list(query.columns or []) if query.columns is not None else []
        known = self.values.argument(arguments[0]) if arguments else None
        entries = (known.elements if known.elements is not None else (known,)) if known is not None else ()
        if added and query.columns is None:
            query.partial.add(COLUMNS)
        for entry in entries:
            if entry.string in self.aliases:
                alias = entry.string or ""
                columns += [f"{quoted(alias)}.{quoted(column.name)}" for column in self.aliases[alias].columns]
                continue
            written = self._expression(entry.string)
            if written is not None:
                columns.append(written)
            else:
                query.partial |= (
                    {COLUMNS, EXPRESSIONS} if entry.string is None or _FUNCTION.search(entry.string) else {COLUMNS}
                )
        query.columns = columns if entries else query.columns

    def _data(self, node: Node) -> None:
        query = self.query
        known = self.values.argument(node)
        if known.elements is not None:
            query.partial |= set() if len(known.elements) == 1 else {COLUMNS}
            known = known.elements[0] if known.elements else known
        query.partial |= set() if known.entries is not None and known.whole else {COLUMNS}
        for key in known.entries or {}:
            query.write(key)

    def _join(self, kind: str, name: str, arguments: list[Node]) -> None:
        """`leftJoin("alias.relation", "other")`, `innerJoin(Entity, "other", "condition")`."""
        query = self.query
        if "AndMap" in name:
            arguments = arguments[1:]
        if len(arguments) < 2:
            query.partial |= {JOINS, COLUMNS}
            return
        path, alias = string_of(arguments[0]), string_of(arguments[1])
        extra = self.values.argument(arguments[2]).string if len(arguments) > 2 else ""
        holder, _, attribute = (path or "").partition(".")
        query.partial |= {COLUMNS} if "Select" in name or "Map" in name else set()
        if alias is None:
            query.partial |= {JOINS, COLUMNS}
            return
        if attribute and holder in self.aliases:
            self._join_relation(kind, self.aliases[holder], holder, attribute, alias, extra)
            return
        target = self.entity(text(arguments[0])) if arguments[0].type == "identifier" else None
        if target is None and path is not None:
            target = self.entity(path)
        if target is None:
            query.partial |= {JOINS, COLUMNS}
            return
        self.aliases[alias] = target
        condition = sql_of(extra, self.aliases) if extra else None
        self._add(kind, target, alias, condition)

    def _join_relation(
        self, kind: str, model: Model, holder: str, attribute: str, alias: str, extra: str | None
    ) -> None:
        query = self.query
        relation = next((entry for entry in model.relations if entry.attribute == attribute), None)
        target = self.entity(relation.target) if relation is not None else None
        if relation is None or target is None:
            query.partial |= {JOINS, COLUMNS}
            return
        self.aliases[alias] = target
        pairs = list(zip(relation.columns, relation.references, strict=False))
        on = [
            f"{quoted(alias)}.{quoted(_name(target, other))} = {quoted(holder)}.{quoted(own)}" for own, other in pairs
        ]
        if not on:
            back = [entry for entry in target.relations if entry.target == model.name and entry.columns]
            both = any(entry.many and entry.target == model.name for entry in target.relations)
            if len(back) == 1 and relation.many and not both:
                pairs = list(zip(back[0].references, back[0].columns, strict=False))
                on = [
                    f"{quoted(alias)}.{quoted(other)} = {quoted(holder)}.{quoted(_name(model, own))}"
                    for own, other in pairs
                ]
        further = sql_of(extra, self.aliases) if extra else ""
        whole = bool(on) and further is not None
        self._add(kind, target, alias, " AND ".join([*on, *([further] if further else [])]) if whole else None)

    def _add(self, kind: str, target: Model, alias: str, condition: str | None) -> None:
        table = f"{quoted(target.schema)}.{quoted(target.table)}" if target.schema else quoted(target.table)
        word = "JOIN" if kind == "inner" else "LEFT JOIN"
        column = column_of(target, self.deleted.get(target.name, ""))
        if condition and column is not None:
            condition += f" AND {quoted(alias)}.{quoted(column.name)} IS NULL"
        self.query.joins.append(f"{word} {table} AS {quoted(alias)} ON {condition or 'true'}")
        self.query.partial |= set() if condition else {JOINS}


def _name(model: Model, attribute: str) -> str:
    column = column_of(model, attribute)
    return column.name if column is not None else attribute
