"""Calls of Diesel's query builder that send a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.diesel import Form
from checks.evidence.repository.orm.diesel_expressions import Expressions, Tables, arguments_of, called, key_of
from checks.evidence.repository.orm.models import Models
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
    quoted,
)
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, whole_text

CANDIDATE = re.compile(r"\bdiesel\b|::(?:dsl|table)\b")
_SINKS = frozenset(
    "load first get_result get_results execute load_stream load_iter get_results_stream load_dyn single_value".split()
)
_VERBS = {
    "insert_into": "insert",
    "replace_into": "insert",
    "update": "update",
    "delete": "delete",
    "insert_or_ignore_into": "insert",
}
_READS = frozenset("filter select order order_by find count inner_join left_join into_boxed".split())
_HARMLESS = frozenset(
    "into_boxed await optional map_err returning on_conflict on_conflict_do_nothing do_nothing do_update as_query distinct_on "
    "with_lemmy_type as_select internal_into_boxed unwrap expect ok".split()
)
_SINK_WORDS = "|".join(sorted(_SINKS))
_MAXIMUM_NESTED = 8
_MAXIMUM_STEPS = 300
_NODES = frozenset(["scoped_identifier", "identifier"])


def read_calls(source: Source, models: Models, forms: Mapping[str, Form]) -> list[OrmCall]:
    """`forms` are the structs that stand for rows, by name."""
    return _Reader(source, models, forms).read()


class _Begun(NamedTuple):
    """A statement that a function begins and gives back."""

    table: Model
    steps: list[tuple[str, Node]]
    start: Node


class _Reader:
    def __init__(self, source: Source, models: Models, forms: Mapping[str, Form]) -> None:
        self.source = source
        self.forms = forms
        self.tables = Tables(source, models)
        # Where the queries end that the last one read stands within.
        self.around: list[int] = []
        self.calls: list[OrmCall] = []
        self.helpers: dict[tuple[str, str], _Begun] = {}

    def read(self) -> list[OrmCall]:
        if not self.tables.pattern:
            return []
        for _, node in self.source.found(self.tables.pattern, _NODES):
            table = self.tables.table(text(node), node)
            if table is not None:
                self._read(table, node, [])
        told: set[int] = set()
        if self.helpers:
            names = "|".join(sorted({re.escape(name) for _, name in self.helpers}))
            for _, node in self.source.found(re.compile(rf"\b((?:\w+::)?(?:{names}))(?=\()".encode()), _NODES):
                kind, _, name = text(node).rpartition("::")
                helper = self.helpers.get((self._impl_of(node) if kind == "Self" else kind, name))
                if helper is not None and node.parent is not None and node.parent.type == "call_expression":
                    self._read(helper.table, node.parent, helper.steps)
                    told.add(helper.start.start_byte)
        for helper in self.helpers.values():
            if helper.start.start_byte not in told:
                self._read(helper.table, helper.start, [], given_back=True)
        return self.calls

    def _read(self, table: Model, start: Node, begun: list[tuple[str, Node]], *, given_back: bool = False) -> None:
        """The statement that begins with the table, or with a function of the file that began it. `given_back`: nothing else in
        the file goes on with it."""
        node, steps = _chain(start)
        function = function_around(start)
        if not (begun or given_back) and _is_result(node, function) and not {name for name, _ in steps} & _SINKS:
            name = text(field(function, "name")) if function is not None else ""
            self.helpers[self._impl_of(start), name] = _Begun(table, steps, start)
            return
        steps = [*begun, *steps]
        if len(steps) > _MAXIMUM_STEPS:
            return
        verb, before = "select", []
        outer = _call_with(node)
        word = called(outer) if outer is not None else ""
        if outer is not None and word in _VERBS:
            verb = _VERBS[word]
            before = steps
            node, steps = _chain(outer)
        query = Query(verb, table)
        names = {name for name, _ in steps}
        exists = word == "exists"
        part = False
        if not names & _SINKS and not exists:
            later = self._use_of(node) if outer is None or before else None
            if "on" in names or names.isdisjoint(_READS) or (later is None and verb != "select"):
                return
            part = later is None
            if part and self._is_deep(start, node):
                return
            query.partial |= (later or set()) if verb == "select" else {WHERE, COLUMNS}
        if exists:
            query.columns = ["1"]
            query.partial.add(COLUMNS)
        expressions = Expressions(self.tables, query, start)
        for name, call in [*before, *steps]:
            self._step(query, expressions, name, call, written="do_update" not in names or name == "values")
        self.calls.append(query.finish(self.source.location(start), "diesel", function_name(function), part=part))

    def _is_deep(self, start: Node, top: Node) -> bool:
        """Whether the query stands within many others, each in the next."""
        self.around = [end for end in self.around if end > start.start_byte]
        self.around.append(top.end_byte)
        return len(self.around) > _MAXIMUM_NESTED

    def _use_of(self, node: Node) -> frozenset[str] | None:
        """What may be added to a query that is kept in a variable; None if it is not, or only a part of another one."""
        parent = node.parent
        if parent is None or parent.type != "let_declaration":
            return None
        name = re.search(r"[A-Za-z_]\w*$", text(field(parent, "pattern")))
        if name is None:
            return None
        code = whole_text(function_around(node))
        own = rf"(?<![\w.]){name.group()}\b"
        if re.search(rf"{own}\s*(?:\.\s*\w+\s*(?:\([^;{{}}]{{0,500}}?\))?\s*){{0,9}}?\.\s*(?:{_SINK_WORDS})\b", code):
            return frozenset([WHERE, ORDER, LIMIT])
        if re.search(rf"\bexists\(\s*{own}", code):
            return frozenset([COLUMNS])
        return EVERYTHING if re.search(rf"(?<!eq_any)\(\s*{own}\s*[,)]|=\s*{own}\s*[;.]", code) else None

    def _step(self, query: Query, expressions: Expressions, name: str, call: Node, *, written: bool) -> None:
        arguments = arguments_of(call)
        first = arguments[0] if arguments else None
        if name in ("filter", "where_", "and_filter"):
            query.filter(expressions.condition(first))
        elif name == "or_filter":
            query.partial.add(WHERE)
        elif name == "find":
            self._find(query, first)
        elif name in ("inner_join", "left_join", "left_outer_join") and first is not None:
            joined = expressions.join("JOIN" if name == "inner_join" else "LEFT JOIN", first)
            query.joins += joined if joined is not None else []
            query.partial |= set() if joined is not None else {JOINS}
        elif name == "select":
            columns, whole = self._selected(query, first) or expressions.columns(first)
            query.columns = columns
            query.partial |= set() if whole else {COLUMNS}
        elif name == "count" and not arguments:
            query.columns = ["count(*)"]
        elif name in ("order", "order_by", "then_order_by"):
            order = expressions.order(first)
            query.order = [*(query.order if name == "then_order_by" else []), *(order or [])]
            query.partial |= set() if order is not None else {ORDER}
        elif name == "limit":
            query.take(text(first))
        elif name == "first":
            query.limit = 1
        elif name == "offset":
            query.offset = True
        elif name in ("set", "values") and written:
            whole = expressions.assignments(first)
            if not whole and not query.written and query.verb == "insert":
                whole = self._form(query, first)
            query.partial |= set() if whole else {COLUMNS}
        elif name in ("for_update", "for_no_key_update", "for_share"):
            query.suffix = {"for_update": " FOR UPDATE", "for_share": " FOR SHARE"}.get(name, " FOR NO KEY UPDATE")
        elif name == "skip_locked":
            query.suffix += " SKIP LOCKED"
        elif name in ("group_by", "having", "union", "union_all", "or_else", "paginate"):
            query.partial |= {EXPRESSIONS, ORDER, LIMIT}
        elif name == "distinct":
            query.partial.add(EXPRESSIONS)
        elif name not in _SINKS and name not in _HARMLESS and name not in ("set", "values"):
            query.partial |= EVERYTHING if query.verb == "select" else {WHERE}

    def _selected(self, query: Query, node: Node | None) -> tuple[list[str], bool] | None:
        """The columns of the struct in `User::as_select()`, or of the table in `users::all_columns`."""
        whole = re.fullmatch(r"((?:\w+::)+)(?:table::)?all_columns", text(node))
        table = self.tables.table(f"{whole.group(1)}table", node) if whole is not None and node is not None else None
        if table is not None:
            alias = query.alias if table == query.model else table.table
            return [f"{quoted(alias)}.{quoted(column.name)}" for column in table.columns], table.complete
        named_type = re.fullmatch(r"\(*(?:\w+::)*?(\w+)::as_select\(\)\)*", text(node))
        if named_type is None or node is None:
            return None
        kind = self._impl_of(node) if named_type.group(1) == "Self" else named_type.group(1)
        form = self.forms.get(kind)
        columns = [query.column(attribute) for attribute in form.attributes] if form is not None else []
        known = [column for column in columns if column is not None]
        same = form is not None and form.table == query.model.name
        return (known, True) if same and known and len(known) == len(columns) else None

    def _impl_of(self, near: Node) -> str:
        """The type whose impl the node stands in."""
        around = near.parent
        while around is not None and around.type != "impl_item":
            around = around.parent
        return text(field(around, "type")) if around is not None else ""

    def _form(self, query: Query, values: Node | None) -> bool:
        """Takes note of the columns of the struct that is written; whether it is known."""
        function = function_around(values) if values is not None else None
        name = re.search(r"[A-Za-z_]\w*$", text(values))
        if name is None or function is None:
            return False
        made = re.search(
            rf"\b{name.group()}\s*(?::\s*|=\s*)(?:&|mut\s|Vec<|\[|impl\s|\s)*(Self::|(?:\w+::)*)([A-Z]\w*)",
            whole_text(function),
        )
        kind = made.group(2) if made is not None else ""
        if made is not None and made.group(1) == "Self::":
            kind = self._own_type(kind, function)
        form = self.forms.get(kind)
        if form is None or form.table != query.model.name:
            return False
        for attribute in form.attributes:
            query.write(attribute)
        return True

    def _own_type(self, name: str, near: Node) -> str:
        """What `type InsertForm = ...` of the same impl stands for."""
        around = near.parent
        while around is not None and around.type != "impl_item":
            around = around.parent
        declared = re.search(rf"\btype\s+{name}\s*=\s*(?:\w+::)*(\w+)", text(around)[:5_000])
        return declared.group(1) if declared is not None else ""

    def _find(self, query: Query, key: Node | None) -> None:
        keys = key_of(query.model)
        if key is None or not keys:
            query.partial.add(WHERE)
            return
        query.where += [f"{quoted(query.alias)}.{quoted(column)} = {VALUE}" for column in keys]


def _chain(start: Node) -> tuple[Node, list[tuple[str, Node]]]:
    """The outermost expression of the chain that begins with the node, and its calls by name."""
    steps: list[tuple[str, Node]] = []
    top = start
    while (parent := top.parent) is not None and len(steps) <= _MAXIMUM_STEPS:
        if parent.type in ("await_expression", "try_expression", "parenthesized_expression", "reference_expression"):
            top = parent
            continue
        if parent.type != "field_expression" or field(parent, "value") != top:
            break
        outer = parent.parent
        if outer is not None and outer.type == "generic_function":
            outer = outer.parent
        if outer is None or outer.type != "call_expression":
            break
        steps.append((text(field(parent, "field")), outer))
        top = outer
    return top, steps


def _is_result(node: Node, function: Node | None) -> bool:
    """Whether the expression is what the function returns."""
    body = field(function, "body") if function is not None else None
    return body is not None and node.parent == body and named(body)[-1] == node


def _call_with(node: Node) -> Node | None:
    """The call that the node is an argument of."""
    parent = node.parent
    if parent is None or parent.type != "arguments":
        return None
    return parent.parent
