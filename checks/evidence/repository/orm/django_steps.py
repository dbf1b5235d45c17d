"""What each method of a Django queryset adds to its statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.django_expressions import Expressions
from checks.evidence.repository.orm.django_paths import Paths, Project, key_of
from checks.evidence.repository.orm.python_syntax import arguments_of, string_of
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
)
from checks.evidence.repository.orm.syntax import field, named, text

Step = tuple[str, Node]

_ASYNC = re.compile(
    r"a(?=(?:get|create|first|last|count|exists|update|delete|earliest|latest|aggregate|bulk_create|bulk_update|get_or_create"
    r"|update_or_create|in_bulk|iterator|contains|explain)$)"
)
# These send the statement; all others only add to it.
SENDS = frozenset(
    "get create first last count exists update delete earliest latest aggregate bulk_create bulk_update get_or_create "
    "update_or_create in_bulk iterator contains".split()
)
_HARMLESS = frozenset("all using iterator complex_filter prefetch_related resolve_expression alias contains".split())
_NOT_READ = frozenset(["union", "intersection", "difference", "raw", "none", "explain", "as_manager", "create_user"])
UNREAD = {
    "filter": {WHERE, JOINS}, "exclude": {WHERE, JOINS}, "order_by": {ORDER}, "values": {COLUMNS, EXPRESSIONS},
    "values_list": {COLUMNS, EXPRESSIONS}, "only": {COLUMNS}, "defer": {COLUMNS}, "annotate": {COLUMNS, EXPRESSIONS, JOINS},
    "select_related": {COLUMNS, JOINS}, "distinct": set(), "all": set(), "using": set(), "prefetch_related": set(),
    "reverse": {ORDER}, "select_for_update": set(), "[]": {LIMIT}, "count": set(), "exists": set(), "first": {ORDER, LIMIT},
    "last": {ORDER, LIMIT}, "get": {WHERE, LIMIT},
}  # fmt: skip


def plain_name(name: str) -> str:
    """The method without the `a` of its asynchronous twin."""
    return _ASYNC.sub("", name)


class Steps:
    """`skipped`: the chain holds a step whose statement is another one, or none."""

    def __init__(self, project: Project, paths: Paths, expressions: Expressions, query: Query) -> None:
        self.project = project
        self.paths = paths
        self.expressions = expressions
        self.query = query
        self.skipped = False
        self.grouped = False
        self.related: list[tuple[Model, str]] = []
        self.fetched: list[Node] = []
        declared = project.declared(query.model)
        self.ordering: list[str] | None = None if declared is None else list(declared.ordering)

    def apply(self, name: str, call: Node) -> None:
        query = self.query
        if name == "[]":
            self._slice(call)
        elif name in ("filter", "get", "complex_filter") or (name == "exclude"):
            self._filter(name, call)
            if name == "get":
                query.limit, self.ordering = query.limit or 21, []
        elif name == "order_by":
            self._order(call)
        elif name in ("values", "values_list"):
            self._values(call)
        elif name in ("annotate", "alias"):
            self._annotate(call, shown=name == "annotate")
        elif name == "aggregate":
            self._aggregate(call)
        elif name in ("only", "defer"):
            self._only(name, call)
        elif name == "select_related":
            self._select_related(call)
        elif name == "prefetch_related":
            self.fetched += arguments_of(call)[0]
        elif name == "count":
            query.columns, self.ordering, query.order = ["count(*)"], [], []
        elif name == "exists":
            query.columns, self.ordering, query.order, query.limit = ["1"], [], [], 1
        elif name in ("first", "last", "earliest", "latest"):
            self._first(name, call)
        elif name == "in_bulk":
            key = key_of(query.model)
            if key and arguments_of(call)[0]:
                query.where.append(f"{quoted(query.alias)}.{quoted(key.name)} IN ({VALUE})")
        elif name == "select_for_update":
            _, keywords = arguments_of(call)
            query.suffix = " FOR UPDATE SKIP LOCKED" if text(keywords.get("skip_locked")) == "True" else " FOR UPDATE"
        elif name == "distinct":
            query.partial |= {COLUMNS} if arguments_of(call)[0] else set()
        elif name == "reverse":
            query.partial.add(ORDER)
        elif name == "delete":
            query.verb, self.ordering = "delete", []
        elif name == "update":
            self._update(call)
        elif name == "bulk_update":
            self._bulk_update(call)
        elif name in ("create", "bulk_create"):
            self._create(name, call)
        elif name in _NOT_READ:
            self.skipped = True
        elif name not in _HARMLESS:
            query.partial |= EVERYTHING

    def finish(self) -> None:
        """What Meta.ordering adds."""
        if self.query.verb != "select":
            self.query.order = []
            if self.query.joins:
                self._nest()
        elif self.ordering and not self.query.order and ORDER not in self.query.partial and not self.query.group:
            self._order_by([self.expressions.order_named(name) for name in self.ordering])

    def _nest(self) -> None:
        """UPDATE and DELETE over related tables compare the key with a subquery."""
        query, key = self.query, key_of(self.query.model)
        inner = Query("select", query.model, query.alias)
        if key is None or query.verb == "insert":
            return
        column = f"{quoted(query.alias)}.{quoted(key.name)}"
        inner.columns, inner.joins, inner.where = [column], query.joins, query.where
        query.joins, query.where = [], [f"{column} IN ({inner.sql()})"]

    def _filter(self, name: str, call: Node) -> None:
        query = self.query
        found = self.expressions.conditions(call, outer=name == "exclude")
        if name == "exclude":
            written = [each for each in found if each]
            query.partial |= {WHERE} if len(written) < len(found) else set()
            if written and len(written) == len(found):
                query.where.append(f"NOT ({' AND '.join(written)})")
            return
        for condition in found:
            query.filter(condition)

    def _order(self, call: Node) -> None:
        self.ordering, self.query.order = [], []
        self.query.partial.discard(ORDER)
        positional, _ = arguments_of(call)
        if len(positional) < len(named(field(call, "arguments"))):
            self.query.partial.add(ORDER)
            return
        self._order_by([self.expressions.order(argument) for argument in positional])

    def _order_by(self, keys: list[str | None]) -> None:
        for key in keys:
            if key is None:
                self.query.partial.add(ORDER)
                return
            self.query.order.append(key)

    def _values(self, call: Node) -> None:
        positional, keywords = arguments_of(call)
        columns: list[str] = []
        names = [string_of(each) for each in positional]
        if len(named(field(call, "arguments"))) > len(positional) + len(keywords):
            self.query.partial |= {COLUMNS, EXPRESSIONS}
        for name in names:
            sql = self.expressions.named(name, True)
            if sql is None:
                self.query.partial |= {COLUMNS, EXPRESSIONS}
            else:
                columns.append(sql)
        for name, value in keywords.items():
            if name in ("flat", "named"):
                continue
            sql = self.expressions.expression(value)
            self.expressions.annotated[name] = sql
            self.query.partial |= {COLUMNS, EXPRESSIONS} if sql is None else set()
            columns += [sql] if sql else []
        if positional or columns:
            self.query.columns = columns
            self.grouped = True
            if self.expressions.aggregates:
                self.query.group = [each for each in columns if each not in self._aggregated()]

    def _aggregated(self) -> list[str]:
        return [sql for name in self.expressions.aggregates if (sql := self.expressions.annotated.get(name))]

    def _annotate(self, call: Node, *, shown: bool) -> None:
        _, keywords = arguments_of(call)
        if len(named(field(call, "arguments"))) > len(keywords):
            self.query.partial |= {COLUMNS, EXPRESSIONS, JOINS}
        for name, value in keywords.items():
            sql = self.expressions.expression(value, outer=True)
            self.expressions.annotated[name] = sql
            aggregate = self.expressions.is_aggregate(value) and "Subquery(" not in text(value)
            if aggregate:
                self.expressions.aggregates.add(name)
            if sql is None:
                self.query.partial |= {COLUMNS, EXPRESSIONS, JOINS}
                continue
            if aggregate and not self.query.group:
                self.query.group = list(self._own_columns())
            if shown:
                self.query.columns = [*self._own_columns(), sql]

    def _own_columns(self) -> list[str]:
        query = self.query
        if query.columns is not None:
            return query.columns
        columns = [f"{quoted(query.alias)}.{quoted(column.name)}" for column in query.model.columns]
        for model, alias in self.related:
            columns += [f"{quoted(alias)}.{quoted(column.name)}" for column in model.columns]
        return columns

    def _aggregate(self, call: Node) -> None:
        positional, keywords = arguments_of(call)
        found = [self.expressions.expression(value, outer=True) for value in (*positional, *keywords.values())]
        self.ordering, self.query.order = [], []
        self.query.columns = [sql for sql in found if sql]
        if not all(found) or not found:
            self.query.partial |= {COLUMNS, EXPRESSIONS}

    def _only(self, name: str, call: Node) -> None:
        model = self.query.model
        names = {part for each in arguments_of(call)[0] if (part := string_of(each))}
        kept = [
            column
            for column in model.columns
            if column.primary_key or ((column.attribute in names or column.name in names) == (name == "only"))
        ]
        if any("__" in part for part in names) or not names:
            self.query.partial.add(COLUMNS)
        self.query.columns = [f"{quoted(self.query.alias)}.{quoted(column.name)}" for column in kept]

    def _select_related(self, call: Node) -> None:
        if not arguments_of(call)[0]:
            self.query.partial |= {COLUMNS, JOINS}
        for argument in arguments_of(call)[0]:
            name = string_of(argument)
            found = None
            parts = name.split("__") if name else []
            for number in range(1, len(parts) + 1):
                column = column_of(self.query.model, parts[0])
                found = self.paths.join(
                    parts[:number], outer=column is None or column.nullable is not False or number > 1
                )
                if found is None:
                    break
                if found not in self.related:
                    self.related.append(found)
            if found is None:
                self.query.partial |= {COLUMNS, JOINS}
        if self.query.columns is None and self.related:
            self.query.columns = self._own_columns()
        elif self.related and self.query.columns is not None:
            self.query.partial.add(COLUMNS)

    def _first(self, name: str, call: Node) -> None:
        query = self.query
        query.limit = 1
        if name in ("earliest", "latest") and arguments_of(call)[0]:
            self._order(call)
        backwards = name in ("last", "latest")
        if not query.order and self.ordering:
            self._order_by([self.expressions.order_named(key) for key in self.ordering])
        key = key_of(query.model)
        if not query.order and ORDER not in query.partial and key is not None and not query.group:
            query.order = [f"{quoted(query.alias)}.{quoted(key.name)}"]
        if backwards:
            query.order = [_turned(each) for each in query.order]

    def _slice(self, node: Node) -> None:
        query = self.query
        part = field(node, "subscript")
        if part is None:
            query.partial.add(LIMIT)
        elif part.type != "slice":
            query.limit = 1
            query.offset = text(part) != "0"
        else:
            before, _, after = text(part).partition(":")
            if before.strip() and before.strip() != "0":
                query.offset = True
            if after.strip():
                first, last = before.strip() or "0", after.strip()
                query.take(str(int(last) - int(first)) if first.isdigit() and last.isdigit() else last)

    # What writes

    def _write(self, name: str) -> None:
        column = column_of(self.query.model, name)
        column = column or next((each for each in self.query.model.columns if each.name == name), None)
        if column is None:
            self.query.partial.add(COLUMNS)
        else:
            self.query.written[column.name] = None

    def _update(self, call: Node) -> None:
        query = self.query
        query.verb, self.ordering = "update", []
        arguments = named(field(call, "arguments"))
        for argument in arguments:
            if argument.type == "keyword_argument":
                self._write(text(field(argument, "name")))
            else:
                query.partial.add(COLUMNS)
        # A queryset's update() leaves auto_now alone.
        self._as_called()

    def _as_called(self) -> None:
        self.query.sets_on_update = False

    def _bulk_update(self, call: Node) -> None:
        query = self.query
        query.verb, self.ordering = "update", []
        positional, keywords = arguments_of(call)
        fields = positional[1] if len(positional) > 1 else keywords.get("fields")
        if fields is None or fields.type not in ("list", "tuple"):
            query.partial.add(COLUMNS)
        for entry in named(fields) if fields is not None else []:
            if name := string_of(entry):
                self._write(name)
            else:
                query.partial.add(COLUMNS)
        key = key_of(query.model)
        if key is not None:
            query.where.append(f"{quoted(query.alias)}.{quoted(key.name)} IN ({VALUE})")
        self._as_called()

    def _create(self, name: str, call: Node) -> None:
        insert(self.query)
        self.ordering = []
        _, keywords = arguments_of(call)
        if name == "create":
            return
        if text(keywords.get("ignore_conflicts")) == "True":
            self.query.suffix = " ON CONFLICT DO NOTHING"
        elif text(keywords.get("update_conflicts")) == "True":
            unique = [string_of(each) for each in named(keywords.get("unique_fields"))]
            updated = [string_of(each) for each in named(keywords.get("update_fields"))]
            keys = [column.name for each in unique if each and (column := column_of(self.query.model, each))]
            columns = [column.name for each in updated if each and (column := column_of(self.query.model, each))]
            if keys and columns:
                sets = ", ".join(f"{quoted(each)} = EXCLUDED.{quoted(each)}" for each in columns)
                self.query.suffix = f" ON CONFLICT ({', '.join(map(quoted, keys))}) DO UPDATE SET {sets}"


def insert(query: Query) -> None:
    """Django writes every column but a key that the database numbers."""
    query.verb = "insert"
    for column in query.model.columns:
        if not (column.primary_key and (column.type or "").endswith("AutoField")):
            query.written[column.name] = None
    if not query.model.complete:
        query.partial.add(COLUMNS)


def _turned(key: str) -> str:
    return key.removesuffix(" DESC") if key.endswith(" DESC") else f"{key} DESC"
