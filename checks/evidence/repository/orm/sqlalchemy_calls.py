"""Calls of SQLAlchemy and SQLModel that send a statement."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import (
    RUNS,
    Step,
    call_of,
    chain_above,
    context_of,
    holder_of,
    query_context,
)
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of, walk
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    NUMBERED,
    VALUE,
    Query,
    quoted,
    relation,
)
from checks.evidence.repository.orm.sqlalchemy_holders import Holders
from checks.evidence.repository.orm.sqlalchemy_methods import Held, Methods, Reads
from checks.evidence.repository.orm.sqlalchemy_rows import IDENTIFIER, Rows
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

CANDIDATE = re.compile(
    r"\b(?:select|\w*insert\w*|upsert\w*|update|delete|query|get|get_or_404|add|add_all)\s*\("
    r"|[Rr]epo(?:sitory)?\b|CRUD|\bcrud\b|^[ \t]+\w+\.\w+ ?[-+]?=(?!=)",
    re.MULTILINE,
)
_STARTS = frozenset(["select", "insert", "update", "delete"])
# A helper of the application's own around an insert: `insert_on_conflict(row, table=User)`.
_INSERTS = re.compile(r"(?:bulk_)?(?:insert|upsert)\w+|upsert")
# What has a query within it, or stands for one.
_WITHIN = re.compile(r"\b(?:exists|select)\s*\(")
_ENDS = frozenset(
    "subquery cte alias exists scalar_subquery label lateral union union_all except_ intersect as_scalar".split()
)


def read_calls(source: Source, models: Models, holders: Holders) -> list[OrmCall]:
    return _Reader(source, models, holders).read()


class _Reader(Rows):
    """`held` is what `self` is, for code that is read apart from its class."""

    def __init__(self, source: Source, models: Models, holders: Holders, held: Held | None = None) -> None:
        super().__init__(source, models, self._built)
        self.holders = holders
        reads = Reads(self._built, self.steps.apply, self._calls_within, self._given_within)
        self.methods = Methods(source, models, holders, self.names, held, reads)
        self.expressions.of_class = self.methods.model
        self.variables.returned = self.methods.row
        self.runs = RUNS | holders.runs
        self.parts: list[tuple[Node, list[Step]]] = []

    def _calls_within(self, source: Source, held: Held) -> list[OrmCall]:
        return _Reader(source, self.models, self.holders, held).read()

    def _given_within(self, source: Source, function: Node, held: Held) -> Query | None:
        inner = _Reader(source, self.models, self.holders, held)
        inner.function = function
        inner.aliases = inner._aliases()
        return inner.methods.result(function)

    def read(self) -> list[OrmCall]:
        starts = [local for local, original in self.names.items() if original in _STARTS]
        known_words = {*starts, "query", "get", "get_or_404", "add", "add_all", *_STARTS, *self.holders.words}
        words = "|".join(map(re.escape, sorted(known_words)))
        known: dict[int, dict[str, tuple[Model, str]]] = {}
        for match, node in self.source.found(
            re.compile(rf"\b({words}|(?:bulk_)?(?:insert|upsert)\w+|upsert)\s*\(".encode()), IDENTIFIER
        ):
            word = match.group(1).decode()
            call = call_of(node)
            if call is None:
                continue
            self.function = function_around(call)
            key = self.function.start_byte if self.function is not None else -1
            if key not in known:
                known[key] = self._aliases()
            self.aliases = known[key]
            holder = holder_of(call)
            if holder is None:
                start = self.names.get(word, "") if word in self.names else ""
                if start in _STARTS:
                    self._statement(start, call)
                elif _INSERTS.fullmatch(word):
                    self._inserted(call)
            elif text(holder) in ("sa", "sqlalchemy", "sqlmodel", "sql") and word in _STARTS:
                self._statement(word, call)
            elif word in self.holders.words and self._method(call):
                continue
            elif word == "query":
                self._query(call)
            elif word in ("get", "get_or_404"):
                self._get(call)
            elif word in ("add", "add_all"):
                self._add(call)
            elif word == "delete":
                self._delete(call)
        self._assignments()
        self._parts()
        return self.calls

    # Statements

    def _method(self, call: Node) -> bool:
        """A method of one of the application's own classes that gives or sends a statement; whether it is one."""
        query = self.methods.given(call, self.function)
        if query is not None:
            self._given(query, call)
            return True
        if self.methods.adds(call, self.function):
            self._add(call)
        changed = self.methods.changed(call, self.function)
        if changed is not None:
            self._finish(changed, call)
            return True
        sent = self.methods.sent(call, self.function)
        self.calls += [msgspec.structs.replace(told, function=function_name(self.function)) for told in sent]
        return bool(sent)

    def _given(self, query: Query, call: Node) -> None:
        top, steps = chain_above(call)
        context = context_of(top, self.function, self.runs) if all(name not in _ENDS for name, _ in steps) else None
        if context is None:
            return
        self.steps.apply(query, [*steps, *context[0]])
        query.partial |= context[1]
        self._finish(query, call)

    def _statement(self, verb: str, call: Node) -> None:
        positional, _ = arguments_of(call)
        top, steps = chain_above(call)
        ends = next((number for number, (name, _) in enumerate(steps) if name in _ENDS), None)
        context = context_of(top, self.function, self.runs) if ends is None else None
        if context is None:
            self.parts += [(call, steps[:ends])] if verb == "select" else []
            return
        if verb == "select":
            query = self._asked(_flat(positional)) if not steps else None
            query = query or self._selected(_flat(positional), steps)
        else:
            found = self.expressions.model(positional[0]) if positional else None
            query = Query(verb, found[0], found[1]) if found else None
        if query is None:
            return
        self.steps.apply(query, steps)
        more, partial = context
        self.steps.apply(query, more)
        query.partial |= partial
        if verb == "insert" and not query.written and (row := _rows_beside(top)) is not None:
            self._write_row(query, row)
        self._finish(query, call)
        for name, step in (*steps, *more):
            if name == "options":
                self._loaded(step)

    def _parts(self) -> None:
        """Queries within others that none of the statements holds which were read."""
        whole: dict[str | None, list[str]] = {}
        for told in self.calls:
            whole.setdefault(told.function, []).append(NUMBERED.sub(VALUE, told.text))
        for call, steps in self.parts:
            self.function = function_around(call)
            self.aliases = self._aliases()
            query = self._built(call, steps)
            rows = query.sql().partition("FROM ")[2] if query is not None else ""
            if query is not None and not any(rows in sql for sql in whole.get(function_name(self.function), ())):
                self._finish(query, call, part=True)

    def _asked(self, arguments: list[Node]) -> Query | None:
        """What `select(exists(...))` asks for: whether there is a row."""
        node = arguments[0] if len(arguments) == 1 else None
        if node is not None and node.type == "unary_operator" and text(node).startswith("~") and named(node):
            node = named(node)[0]
        return self.subqueries.existing(node, self.function) if node is not None and "exists" in text(node) else None

    def _built(self, call: Node, steps: list[Step]) -> Query | None:
        query = self._selected(_flat(arguments_of(call)[0]), steps)
        if query is not None:
            self.steps.apply(query, steps)
        return query

    def _inserted(self, call: Node) -> None:
        positional, keywords = arguments_of(call)
        table = keywords.get("table", keywords.get("model"))
        found = self.expressions.model(table) if table is not None else None
        if found is None or context_of(chain_above(call)[0], self.function, self.runs) is None:
            return
        query = Query("insert", *found)
        if positional:
            self._write_row(query, positional[0])
        query.partial.add(COLUMNS)
        self._finish(query, call)

    def _write_row(self, query: Query, row: Node) -> None:
        if call_name(row) == "dict":
            for key in arguments_of(row)[1]:
                query.write(key)
        for pair in named(row) if row.type == "dictionary" else ():
            name = string_of(field(pair, "key")) if pair.type == "pair" else None
            if name is not None:
                query.write(name)
            else:
                query.partial.add(COLUMNS)

    def _loaded(self, options: Node) -> None:
        """The children that `selectinload(User.posts)` fetches with a statement of its own."""
        for argument in arguments_of(options)[0]:
            targets, _ = arguments_of(argument)
            if call_name(argument) != "selectinload" or len(targets) != 1 or targets[0].type != "attribute":
                continue
            holder = field(targets[0], "object")
            found = self.expressions.model(holder) if holder is not None else None
            name = text(field(targets[0], "attribute"))
            link = next((link for link in found[0].relations if link.attribute == name), None) if found else None
            child = self.models.find(link.target, self.source.file.path) if link else None
            if found is None or child is None:
                continue
            keys = [column for column in child.columns if column.references[-2:-1] == (found[0].table,)]
            if len(keys) == 1:
                query = Query("select", child)
                query.where.append(f"{quoted(child.table)}.{quoted(keys[0].name)} IN ({VALUE})")
                self._finish(query, argument)

    def _selected(self, arguments: list[Node], steps: list[Step]) -> Query | None:
        """The query that select(...) or query(...) begins, from what it selects and from select_from()."""
        sources = [argument for name, step in steps if name == "select_from" for argument in arguments_of(step)[0][:1]]
        first = None
        named_models: dict[str, tuple[Model, str]] = {}
        for argument in [*sources, *arguments]:
            for node in walk(argument):
                kept = self._column_in(node) if node.type == "identifier" else None
                inner = (self.expressions.model(part) for part in walk(kept or node)) if kept else ()
                found = self.expressions.model(node) or next((part for part in inner if part), None)
                if found:
                    named_models.setdefault(found[1], found)
                    first = first or found
        compared = False
        if first is None:
            # SQLAlchemy takes FROM from the conditions too.
            first, compared = self._compared(steps), True
            if first is None:
                return None
            named_models[first[1]] = first
        joined = {_named_model(self, step) for name, step in steps if name in ("join", "outerjoin")}
        joined |= {_named_model(self, step, 1) for name, step in steps if name in ("join_from", "outerjoin_from")}
        first = next((found for alias, found in named_models.items() if alias not in joined), first)
        query = Query("select", first[0], first[1])
        query.columns = []
        if compared and not arguments:
            query.partial |= {COLUMNS, EXPRESSIONS}
        for argument in arguments:
            if found := self.expressions.model(argument):
                query.columns += [f"{quoted(found[1])}.{quoted(column.name)}" for column in found[0].columns]
                query.partial |= set() if found[0].complete else {COLUMNS}
            elif (expression := self.expressions.scalar(argument)) is not None:
                query.columns.append(expression)
            else:
                within = _WITHIN.search(text(argument))
                query.partial |= EVERYTHING if within else {COLUMNS, EXPRESSIONS}
        for alias, found in named_models.items():
            if alias != first[1] and alias not in joined:
                query.joins.append(f"CROSS JOIN {relation(found[0])} AS {quoted(alias)}")
        return query

    def _compared(self, steps: list[Step]) -> tuple[Model, str] | None:
        for name, step in steps:
            if name in ("where", "filter", "order_by", "group_by"):
                for node in walk(step):
                    holder = field(node, "object") if node.type == "attribute" else None
                    column = self.expressions.column(node) if holder is not None else None
                    if column is not None and holder is not None and (found := self.expressions.model(holder)):
                        return found
        return None

    def _query(self, call: Node) -> None:
        """`session.query(...)`, up to what sends it."""
        top, steps = chain_above(call)
        if any(name in _ENDS for name, _ in steps):
            return
        query = self._selected(_flat(arguments_of(call)[0]), steps)
        context = query_context(top, steps, self.function, self.runs)
        if query is None or context is None:
            return
        more, partial = context
        self.steps.apply(query, [*steps, *more])
        query.partial |= partial
        self._finish(query, call)


def _flat(arguments: list[Node]) -> list[Node]:
    """The arguments, with those in a list, as SQLAlchemy 1.4 takes them."""
    return [entry for argument in arguments for entry in (named(argument) if argument.type == "list" else [argument])]


def _named_model(reader: _Reader, step: Node, position: int = 0) -> str | None:
    positional, _ = arguments_of(step)
    found = reader.expressions.model(positional[position]) if len(positional) > position else None
    return found[1] if found else None


def _rows_beside(top: Node) -> Node | None:
    """The dictionary of each row in `execute(insert(User), [{...} for name in names])`."""
    arguments = top.parent
    given = named(arguments) if arguments is not None and arguments.type == "argument_list" else []
    rows = unwrapped(given[1]) if len(given) > 1 and given[0] == top else None
    if rows is not None and rows.type in ("list", "list_comprehension", "generator_expression") and named(rows):
        rows = named(rows)[0]
    return rows if rows is not None and rows.type == "dictionary" else None
