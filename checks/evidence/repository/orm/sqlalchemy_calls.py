"""Calls of SQLAlchemy and SQLModel that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
    relation,
)
from checks.evidence.repository.orm.sqlalchemy import arguments_of, call_name, string_of, walk
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

CANDIDATE = re.compile(
    r"\b(?:select|insert|update|delete|query|get|get_or_404|add|add_all)\s*\(|^[ \t]+\w+\.\w+ ?[-+]?=(?!=)",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]*from\s+(\.*[\w.]*)\s+import\s+(\([^)]*\)|[^\n\\]*(?:\\\n[^\n]*)*)", re.MULTILINE)
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?")
_STARTS = frozenset(["select", "insert", "update", "delete"])
_IDENTIFIER = frozenset(["identifier"])
_RUNS = frozenset(
    "execute scalars scalar stream stream_scalars exec fetch_all fetch_one fetch_val all first one one_or_none".split()
)
_ENDS = frozenset(
    "subquery cte alias exists scalar_subquery label lateral union union_all except_ intersect as_scalar".split()
)
_HARMLESS = frozenset(
    "execution_options all one_or_none scalar scalars scalar_one scalar_one_or_none unique with_hint prefix_with params "
    "yield_per populate_existing enable_eagerloads autoflush correlate correlate_except compile returning one "
    "with_labels".split()
)
_LOADED_APART = re.compile(
    r"(?:selectinload|subqueryload|lazyload|noload|raiseload|contains_eager|immediateload|with_expression)\b"
)
_EVERYTHING = frozenset([WHERE, ORDER, LIMIT, COLUMNS, JOINS, EXPRESSIONS])
_UNREAD = {
    "where": {WHERE}, "filter": {WHERE}, "filter_by": {WHERE}, "having": {WHERE}, "order_by": {ORDER}, "limit": {LIMIT},
    "offset": {LIMIT}, "slice": {LIMIT}, "options": {COLUMNS, JOINS}, "with_only_columns": {COLUMNS, EXPRESSIONS},
    "with_entities": {COLUMNS, EXPRESSIONS}, "add_columns": {COLUMNS, EXPRESSIONS}, "join": {JOINS}, "outerjoin": {JOINS},
}  # fmt: skip

# A function's result of such a name is a query more often than a value.
_QUERY_NAMES = re.compile(r"(?:quer(?:y|ies)|subq|stmt|statement|cte|select)$")

Step = tuple[str, Node]


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.names = _imported(source.file.text)
        self.own = set(re.findall(r"^(?:class\s+(\w+)|(\w+)\s*=\s*Table\()", source.file.text, re.MULTILINE))
        self.function: Node | None = None
        self.aliases: dict[str, tuple[Model, str]] = {}
        self.expressions = Expressions(self.entity, self.is_query)
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        starts = [local for local, original in self.names.items() if original in _STARTS]
        words = "|".join(map(re.escape, sorted({*starts, "query", "get", "get_or_404", "add", "add_all", *_STARTS})))
        for match, node in self.source.found(re.compile(rf"\b({words})\s*\(".encode()), _IDENTIFIER):
            word = match.group(1).decode()
            call = _call_of(node)
            if call is None:
                continue
            self.function = function_around(call)
            self.aliases = self._aliases()
            holder = _holder(call)
            if holder is None:
                start = self.names.get(word, "") if word in self.names else ""
                if start in _STARTS:
                    self._statement(start, call)
            elif text(holder) in ("sa", "sqlalchemy", "sqlmodel", "sql") and word in _STARTS:
                self._statement(word, call)
            elif word == "query":
                self._query(call)
            elif word in ("get", "get_or_404"):
                self._get(call)
            elif word in ("add", "add_all"):
                self._add(call)
        self._assignments()
        return self.calls

    # Names

    def entity(self, name: str) -> tuple[Model, str] | None:
        if name in self.aliases:
            return self.aliases[name]
        original = self.names.get(name)
        if original is None and not any(name in pair for pair in self.own):
            original = name if self.source.file.text.find("import *") >= 0 else None
            if original is None and not _is_member(name, self.source.file.text):
                return None
        model = self.models.find(original or name, self.source.file.path)
        return (model, model.table) if model else None

    def is_query(self, name: str) -> bool:
        """Whether a variable of the function is a query or a piece of one."""
        if self.function is None or _QUERY_NAMES.search(name):
            return _QUERY_NAMES.search(name) is not None
        made = rf"\b{re.escape(name)}\s*(?::[^=\n]*)?=\s*\(?\s*(?:\w+\.)*"
        pattern = made + r"(?:select|exists|aliased|text|case|func|literal_column|query)\b"
        return bool(re.search(pattern, text(self.function)))

    def _aliases(self) -> dict[str, tuple[Model, str]]:
        found: dict[str, tuple[Model, str]] = {}
        code = text(self.function) if self.function is not None else ""
        for match in re.finditer(r"\b(\w+)\s*=\s*(?:\w+\.)?aliased\(\s*(?:\w+\.)*([A-Za-z_]\w*)", code):
            self.aliases = {}
            if target := self.entity(match.group(2)):
                found[match.group(1)] = (target[0], match.group(1))
        return found

    # Statements

    def _statement(self, verb: str, call: Node) -> None:
        positional, _ = arguments_of(call)
        top, steps = _chain(call)
        if any(name in _ENDS for name, _ in steps):
            return
        context = self._context(top)
        if context is None:
            return
        if verb == "select":
            query = self._selected(_flat(positional), steps)
        else:
            found = self.expressions.model(positional[0]) if positional else None
            query = Query(verb, found[0], found[1]) if found else None
        if query is None:
            return
        self._apply(query, steps)
        more, partial = context
        self._apply(query, more)
        query.partial |= partial
        self._finish(query, call)

    def _selected(self, arguments: list[Node], steps: list[Step]) -> Query | None:
        """The query that select(...) or query(...) begins, from what it selects and from select_from()."""
        sources = [argument for name, step in steps if name == "select_from" for argument in arguments_of(step)[0][:1]]
        first = None
        named_models: dict[str, tuple[Model, str]] = {}
        for argument in [*sources, *arguments]:
            for node in walk(argument):
                found = self.expressions.model(node)
                if found:
                    named_models.setdefault(found[1], found)
                    first = first or found
        if first is None:
            return None
        joined = {_named_model(self, step) for name, step in steps if name in ("join", "outerjoin")}
        first = next((found for alias, found in named_models.items() if alias not in joined), first)
        query = Query("select", first[0], first[1])
        query.columns = []
        for argument in arguments:
            if found := self.expressions.model(argument):
                query.columns += [f"{quoted(found[1])}.{quoted(column.name)}" for column in found[0].columns]
                query.partial |= set() if found[0].complete else {COLUMNS}
            elif (expression := self.expressions.scalar(argument)) is not None:
                query.columns.append(expression)
            else:
                query.partial |= {COLUMNS, EXPRESSIONS}
        for alias, found in named_models.items():
            if alias != first[1] and alias not in joined:
                query.joins.append(f"CROSS JOIN {relation(found[0])} AS {quoted(alias)}")
        return query

    def _query(self, call: Node) -> None:
        """`session.query(...)`, up to what sends it."""
        top, steps = _chain(call)
        if any(name in _ENDS for name, _ in steps):
            return
        query = self._selected(_flat(arguments_of(call)[0]), steps)
        context = self._query_context(top, steps)
        if query is None or context is None:
            return
        more, partial = context
        self._apply(query, [*steps, *more])
        query.partial |= partial
        self._finish(query, call)

    def _query_context(self, top: Node, steps: list[Step]) -> tuple[list[Step], set[str]] | None:
        last = steps[-1][0] if steps else ""
        sends = last in (
            "all",
            "first",
            "one",
            "one_or_none",
            "scalar",
            "count",
            "delete",
            "update",
            "get",
            "get_or_404",
        )
        if sends or last in ("first_or_404", "one_or_404", "paginate"):
            return [], set()
        parent = top.parent
        if parent is not None and parent.type in ("for_statement", "for_in_clause"):
            return [], set()
        if parent is not None and parent.type == "assignment":
            return self._followed(text(field(parent, "left")), parent, sent_by_methods=True)
        return ([], set(_EVERYTHING)) if parent is not None and parent.type == "return_statement" else None

    def _context(self, top: Node) -> tuple[list[Step], set[str]] | None:
        """What the code goes on to do with a statement: further steps, and parts that may be added; None if it is not sent as it
        is, but put into another one."""
        parent = top.parent
        while parent is not None and parent.type in ("parenthesized_expression", "await", "type_cast"):
            top, parent = parent, parent.parent
        if parent is None:
            return None
        if parent.type == "argument_list" and parent.parent is not None:
            return ([], set()) if call_name(parent.parent) in _RUNS else None
        if parent.type == "assignment":
            left = field(parent, "left")
            return self._followed(text(left), parent) if left is not None and left.type == "identifier" else None
        return ([], set(_EVERYTHING)) if parent.type == "return_statement" else None

    def _followed(self, name: str, begun: Node, *, sent_by_methods: bool = False) -> tuple[list[Step], set[str]] | None:
        """The same for a statement kept in a variable."""
        if self.function is None or not name.isidentifier():
            return None
        steps: list[Step] = []
        partial: set[str] = set()
        sent = False
        block = begun.parent.parent if begun.parent is not None else None
        for node in walk(self.function):
            if node.type == "assignment" and text(field(node, "left")) == name and node.start_byte > begun.start_byte:
                value = field(node, "right")
                root = _root(value) if value is not None else None
                if root is None or text(root) != name or value is None:
                    if sent:
                        break
                    partial |= set(_EVERYTHING)
                    continue
                added = _chain_from(root)
                same = node.parent is not None and node.parent.parent == block
                if same:
                    steps += added
                else:
                    for step, _ in added:
                        partial |= _UNREAD.get(step, set(_EVERYTHING) if step not in _HARMLESS else set())
            elif node.type == "identifier" and text(node) == name and node.start_byte > begun.end_byte:
                parent = node.parent
                if parent is None:
                    continue
                if parent.type == "argument_list" and parent.parent is not None:
                    if call_name(parent.parent) in _RUNS:
                        sent = True
                    elif not _is_assigned(parent.parent, name):
                        partial |= set(_EVERYTHING)
                elif sent_by_methods and parent.type == "attribute" and parent.parent is not None:
                    added = _chain_from(node)
                    if added and added[-1][0] in (
                        "all",
                        "first",
                        "one",
                        "one_or_none",
                        "scalar",
                        "count",
                        "delete",
                        "update",
                    ):
                        sent = True
                        partial |= {LIMIT} if len(added) > 1 or added[-1][0] == "first" else set()
                        for step, _ in added[:-1]:
                            partial |= _UNREAD.get(step, set())
                elif parent.type == "return_statement":
                    sent = True
                    partial |= set(_EVERYTHING)
                elif sent_by_methods and parent.type == "for_statement":
                    sent = True
        return (steps, partial) if sent else None

    # The steps of a chain

    def _apply(self, query: Query, steps: list[Step]) -> None:
        for name, call in steps:
            self._step(query, name, call)

    def _step(self, query: Query, name: str, call: Node) -> None:
        positional, keywords = arguments_of(call)
        count = len([entry for entry in named(field(call, "arguments")) if entry.type != "keyword_argument"])
        if name in ("where", "filter"):
            for argument in positional:
                query.filter(self.expressions.condition(argument))
            query.partial |= {WHERE} if count > len(positional) else set()
        elif name == "filter_by":
            unpacked = len(named(field(call, "arguments"))) > len(keywords)
            for key, value in keywords.items():
                column = query.column(key) if not query.joins else None
                known = self.expressions.value(value)
                if column and value.type == "none":
                    query.where.append(f"{column} IS NULL")
                else:
                    query.filter(f"{column} = {known}" if column and known else None)
            query.partial |= {WHERE} if unpacked else set()
        elif name == "order_by":
            for argument in positional:
                written = self.expressions.order(argument)
                if written is None:
                    query.partial.add(ORDER)
                elif ORDER not in query.partial:
                    query.order.append(written)
            query.partial |= {ORDER} if count > len(positional) else set()
        elif name == "limit" and positional:
            query.take(text(positional[0]))
        elif name == "offset" and positional:
            query.offset = text(positional[0]) != "0"
        elif name in ("slice", "paginate"):
            query.limit, query.offset = VALUE, True
        elif name in ("join", "outerjoin"):
            self._join(query, name, positional, keywords)
        elif name == "group_by":
            keys = [self.expressions.scalar(argument) for argument in positional]
            query.group = [key for key in keys if key]
        elif name == "values":
            self._values(query, positional, keywords, call)
        elif name in ("first", "first_or_404"):
            query.limit = query.limit if isinstance(query.limit, int) else 1
        elif name == "count":
            query.columns, query.order = ["count(*)"], []
        elif name in ("delete", "update"):
            query.verb = name
            if name == "update" and positional:
                self._values(query, positional, {}, call)
        elif name in ("get", "get_or_404"):
            self._by_key(query)
        elif name == "with_for_update":
            query.suffix = " FOR UPDATE SKIP LOCKED" if text(keywords.get("skip_locked")) == "True" else " FOR UPDATE"
        elif name == "options":
            for argument in positional:
                query.partial |= set() if _LOADED_APART.match(text(argument)) else {COLUMNS, JOINS}
        elif name == "on_conflict_do_nothing":
            query.suffix = " ON CONFLICT DO NOTHING"
        elif name == "distinct" and not positional:
            pass
        elif name.startswith("on_conflict") or name == "select_from":
            query.partial |= {COLUMNS} if name.startswith("on_conflict") else set()
        elif name not in _HARMLESS and name != "get_children":
            query.partial |= _UNREAD.get(name, _EVERYTHING)

    def _join(self, query: Query, name: str, positional: list[Node], keywords: dict[str, Node]) -> None:
        outer = name == "outerjoin" or text(keywords.get("isouter")) == "True"
        word = "LEFT JOIN" if outer else "JOIN"
        target = self.expressions.model(positional[0]) if positional else None
        condition: str | None = None
        if target is None and positional and positional[0].type == "attribute":
            holder = field(positional[0], "object")
            held = self.expressions.model(holder) if holder is not None else None
            attribute = text(field(positional[0], "attribute"))
            link = next((link for link in held[0].relations if link.attribute == attribute), None) if held else None
            model = self.models.find(link.target, self.source.file.path) if link else None
            target = (model, model.table) if model else None
        if target is None:
            query.partial |= {JOINS, WHERE}
            return
        onclause = positional[1] if len(positional) > 1 else keywords.get("onclause")
        if onclause is not None:
            condition = self.expressions.condition(onclause)
        else:
            condition = _by_foreign_key((query.model, query.alias), target)
        query.partial |= {JOINS} if condition is None else set()
        query.joins.append(f"{word} {relation(target[0])} AS {quoted(target[1])} ON {condition or 'true'}")

    def _values(self, query: Query, positional: list[Node], keywords: dict[str, Node], call: Node) -> None:
        for key in keywords:
            query.write(key)
        whole = len(named(field(call, "arguments"))) == len(keywords) + len(positional)
        for argument in positional:
            entries = named(argument) if argument.type == "dictionary" else []
            whole &= argument.type == "dictionary"
            for pair in entries:
                target = field(pair, "key") if pair.type == "pair" else None
                name = string_of(target)
                if target is not None and target.type == "attribute":
                    name = text(field(target, "attribute"))
                if name is None:
                    whole = False
                elif column := next(
                    (column for column in query.model.columns if name in (column.attribute, column.name)), None
                ):
                    query.written[column.name] = None
        query.partial |= set() if whole else {COLUMNS}

    # Objects

    def _by_key(self, query: Query) -> None:
        keys = [column for column in query.model.columns if column.primary_key]
        if keys:
            query.where += [f"{quoted(query.alias)}.{quoted(column.name)} = {VALUE}" for column in keys]
        else:
            query.partial.add(WHERE)

    def _get(self, call: Node) -> None:
        """`session.get(User, id)`."""
        positional, keywords = arguments_of(call)
        found = self.expressions.model(positional[0]) if len(positional) > 1 else None
        if found is None:
            return
        query = Query("select", *found)
        self._by_key(query)
        if "with_for_update" in keywords:
            query.suffix = " FOR UPDATE"
        if "options" in keywords and not re.match(r"\W*" + _LOADED_APART.pattern, text(keywords["options"])):
            query.partial |= {COLUMNS, JOINS}
        self._finish(query, call)

    def _add(self, call: Node) -> None:
        """`session.add(User(...))`, or of a variable that was made in the same function."""
        positional, _ = arguments_of(call)
        for argument in positional[:1]:
            entries = named(argument) if argument.type == "list" else [argument]
            if argument.type == "list_comprehension" and (body := field(argument, "body")) is not None:
                entries = [body]
            for entry in entries:
                made = entry if entry.type == "call" else self._made(text(entry), call)
                function = field(made, "function") if made is not None else None
                found = self.expressions.model(function) if function is not None else None
                if found and made is not None:
                    query = Query("insert", *found)
                    for key in arguments_of(made)[1]:
                        query.write(key)
                    query.partial.add(COLUMNS)
                    self._finish(query, made)

    def _made(self, name: str, before: Node) -> Node | None:
        """The constructor call last assigned to the variable before that place."""
        if self.function is None or not name.isidentifier():
            return None
        made = None
        for node in walk(self.function):
            if node.type == "assignment" and node.start_byte < before.start_byte and text(field(node, "left")) == name:
                value = field(node, "right")
                made = unwrapped(value) if value is not None else None
        return made if made is not None and made.type == "call" else None

    def _assignments(self) -> None:
        """Attributes set on a parameter that is annotated with a model: an UPDATE of those columns."""
        pattern = re.compile(rb"(?<![\w.])([A-Za-z_]\w*)\.[A-Za-z_]\w*\s*(?:[-+*|&]?=)(?!=)")
        written: dict[tuple[int, str], tuple[Query, Node]] = {}
        for match, node in self.source.found(pattern, _IDENTIFIER):
            name = match.group(1).decode()
            target = node.parent
            self.function = function_around(node)
            if name in ("self", "cls") or self.function is None or target is None or target.type != "attribute":
                continue
            statement = target.parent
            if statement is None or field(statement, "left") != target:
                continue
            hint = re.search(
                rf"[(,]\s*{re.escape(name)}\s*:\s*[\"']?(?:\w+\.)*([A-Za-z_]\w*)[\"']?\s*[,)=]",
                text(field(self.function, "parameters")),
            )
            self.aliases = {}
            found = self.entity(hint.group(1)) if hint else None
            column = column_of(found[0], text(field(target, "attribute"))) if found else None
            if found is None or column is None:
                continue
            query, _ = written.setdefault((self.function.start_byte, name), (Query("update", *found), statement))
            query.written[column.name] = None
            block = statement.parent.parent if statement.parent is not None else None
            if block != field(self.function, "body"):
                query.partial.add(COLUMNS)
        for query, statement in written.values():
            self.function = function_around(statement)
            self._by_key(query)
            self._finish(query, statement)

    def _finish(self, query: Query, node: Node) -> None:
        where = self.source.location(node)
        self.calls.append(query.finish(where, "sqlalchemy", function_name(self.function)))


def _imported(code: str) -> dict[str, str]:
    """Local names of what the module imports from others, with their own."""
    found: dict[str, str] = {}
    for match in _IMPORT.finditer(code):
        listed = re.sub(r"#[^\n]*", "", match.group(2))
        for entry in _NAME.finditer(listed):
            found[entry.group(2) or entry.group(1)] = entry.group(1)
    return found


def _is_member(name: str, code: str) -> bool:
    """Whether the file writes the class with its module: `models.User`."""
    return bool(re.search(rf"\b[a-z_][a-z0-9_]*\.{re.escape(name)}\b", code))


def _call_of(node: Node) -> Node | None:
    """The call whose function's last name the node is."""
    parent = node.parent
    if parent is not None and parent.type == "attribute" and field(parent, "attribute") == node:
        node, parent = parent, parent.parent
    return parent if parent is not None and parent.type == "call" and field(parent, "function") == node else None


def _holder(call: Node) -> Node | None:
    function = field(call, "function")
    return field(function, "object") if function is not None and function.type == "attribute" else None


def _chain(call: Node) -> tuple[Node, list[Step]]:
    """The outermost call of the chain that begins with it, and the steps between."""
    steps: list[Step] = []
    top = call
    while True:
        node = top
        while node.parent is not None and node.parent.type == "parenthesized_expression":
            node = node.parent
        parent = node.parent
        outer = parent.parent if parent is not None and parent.type == "attribute" else None
        if parent is None or outer is None or outer.type != "call" or field(outer, "function") != parent:
            return node, steps
        if field(parent, "object") != node:
            return node, steps
        top = outer
        steps.append((text(field(parent, "attribute")), outer))


def _chain_from(node: Node) -> list[Step]:
    return _chain(node)[1]


def _root(node: Node) -> Node | None:
    """What a chain of calls is called on."""
    while True:
        if node.type == "parenthesized_expression" and named(node):
            node = named(node)[0]
        elif node.type == "call":
            function = field(node, "function")
            if function is None or function.type != "attribute":
                return None
            holder = field(function, "object")
            if holder is None:
                return None
            node = holder
        else:
            return node if node.type == "identifier" else None


def _is_assigned(call: Node, name: str) -> bool:
    return call.parent is not None and call.parent.type == "assignment" and text(field(call.parent, "left")) == name


def _flat(arguments: list[Node]) -> list[Node]:
    """The arguments, with those in a list, as SQLAlchemy 1.4 takes them."""
    return [entry for argument in arguments for entry in (named(argument) if argument.type == "list" else [argument])]


def _named_model(reader: _Reader, step: Node) -> str | None:
    positional, _ = arguments_of(step)
    found = reader.expressions.model(positional[0]) if positional else None
    return found[1] if found else None


def _by_foreign_key(one: tuple[Model, str], other: tuple[Model, str]) -> str | None:
    """The condition of a join that the models' only foreign key between them gives."""
    found = []
    for (child, child_alias), (parent, parent_alias) in ((one, other), (other, one)):
        for column in child.columns:
            if column.references[-2:-1] == (parent.table,):
                target = f"{quoted(parent_alias)}.{quoted(column.references[-1])}"
                found.append(f"{quoted(child_alias)}.{quoted(column.name)} = {target}")
    return found[0] if len(found) == 1 else None
