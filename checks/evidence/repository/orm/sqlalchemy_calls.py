"""Calls of SQLAlchemy and SQLModel that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import (
    Step,
    call_of,
    chain_above,
    context_of,
    holder_of,
    mentions_of,
    query_context,
)
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    Query,
    column_of,
    quoted,
    relation,
)
from checks.evidence.repository.orm.sqlalchemy import arguments_of, call_name, string_of, walk
from checks.evidence.repository.orm.sqlalchemy_steps import LOADED_APART, Steps, filter_by_key
from checks.evidence.repository.orm.sqlalchemy_subqueries import Subqueries
from checks.evidence.repository.orm.sqlalchemy_variables import Variables
from checks.evidence.repository.orm.syntax import (
    Source,
    field,
    function_around,
    function_name,
    named,
    text,
    unwrapped,
    whole_text,
)

CANDIDATE = re.compile(
    r"\b(?:select|\w*insert\w*|upsert\w*|update|delete|query|get|get_or_404|add|add_all)\s*\(|^[ \t]+\w+\.\w+ ?[-+]?=(?!=)",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]*from\s+(\.*[\w.]*)\s+import\s+(\([^)]*\)|[^\n\\]*(?:\\\n[^\n]*)*)", re.MULTILINE)
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?")
_STARTS = frozenset(["select", "insert", "update", "delete"])
# A helper of the application's own around an insert: `insert_on_conflict(row, table=User)`.
_INSERTS = re.compile(r"(?:bulk_)?(?:insert|upsert)\w+|upsert")
# A class that the file writes with its module: `models.User`.
_MEMBER = re.compile(r"\b[a-z_][a-z0-9_]*\.([A-Za-z_]\w*)")
# What an expression over columns looks like: `models.User.id`, `func.lower(User.name)`, `User.id.label("key")`.
_OF_COLUMN = re.compile(
    r"^(?:(?:\w+\.)*[A-Z]\w*\.[a-z_]\w*|\w+\.c\.\w+|(?:\w+\.)?func\.\w+\(.*\))(?:\.label\([^()]*\))?$", re.DOTALL
)
_IDENTIFIER = frozenset(["identifier"])
_ENDS = frozenset(
    "subquery cte alias exists scalar_subquery label lateral union union_all except_ intersect as_scalar".split()
)

# A function's result of such a name is a query more often than a value.
_QUERY_NAMES = re.compile(r"(?:quer(?:y|ies)|subq|stmt|statement|cte|select)$")


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.names = _imported(source.file.text)
        self.own = set(re.findall(r"^(?:class\s+(\w+)|(\w+)\s*=\s*Table\()", source.file.text, re.MULTILINE))
        self.members = set(_MEMBER.findall(source.file.text))
        self.function: Node | None = None
        self.aliases: dict[str, tuple[Model, str]] = {}
        self.expressions = Expressions(self.entity, self.is_query)
        self.steps = Steps(self.expressions, models, source.file.path)
        self.subqueries = Subqueries(source, models, self.expressions, self._built)
        self.expressions.subselect = lambda node: self.subqueries.inline(node, self.function)
        self.expressions.existing = self._existing
        self.expressions.assigned = self._column_in
        self.variables = Variables(source, self.expressions)
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        starts = [local for local, original in self.names.items() if original in _STARTS]
        words = "|".join(map(re.escape, sorted({*starts, "query", "get", "get_or_404", "add", "add_all", *_STARTS})))
        known: dict[int, dict[str, tuple[Model, str]]] = {}
        for match, node in self.source.found(
            re.compile(rf"\b({words}|(?:bulk_)?(?:insert|upsert)\w+|upsert)\s*\(".encode()), _IDENTIFIER
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
            elif word == "query":
                self._query(call)
            elif word in ("get", "get_or_404"):
                self._get(call)
            elif word in ("add", "add_all"):
                self._add(call)
            elif word == "delete":
                self._delete(call)
        self._assignments()
        return self.calls

    # Names

    def entity(self, name: str) -> tuple[Model, str] | None:
        if name in self.aliases:
            return self.aliases[name]
        original = self.names.get(name)
        if original is None and not any(name in pair for pair in self.own):
            if found := self.subqueries.entity(name, self.function):
                return found
            original = name if self.source.file.text.find("import *") >= 0 else None
            if original is None and name not in self.members:
                return None
        model = self.models.find(original or name, self.source.file.path)
        return (model, model.table) if model else None

    def is_query(self, name: str) -> bool:
        """Whether a variable of the function is a query or a piece of one."""
        if self.function is None or _QUERY_NAMES.search(name):
            return _QUERY_NAMES.search(name) is not None
        made = rf"\b{re.escape(name)}\s*(?::[^=\n]*)?=\s*\(?\s*(?:\w+\.)*"
        pattern = made + r"(?:select|exists|aliased|text|case|func|literal_column|query)\b"
        return bool(re.search(pattern, whole_text(self.function)))

    def _aliases(self) -> dict[str, tuple[Model, str]]:
        found: dict[str, tuple[Model, str]] = {}
        code = whole_text(self.function)
        for match in re.finditer(
            r"\b(\w+)\s*=\s*(?:\w+\.)?(aliased|with_polymorphic)\(\s*(?:\w+\.)*([A-Za-z_]\w*)", code
        ):
            self.aliases = {}
            if target := self.entity(match.group(3)):
                found[match.group(1)] = (target[0], match.group(1) if match.group(2) == "aliased" else target[1])
        return found

    # Statements

    def _statement(self, verb: str, call: Node) -> None:
        positional, _ = arguments_of(call)
        top, steps = chain_above(call)
        if any(name in _ENDS for name, _ in steps):
            return
        context = context_of(top, self.function)
        if context is None:
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

    def _asked(self, arguments: list[Node]) -> Query | None:
        """What `select(exists(...))` asks for: whether there is a row."""
        node = arguments[0] if len(arguments) == 1 else None
        if node is not None and node.type == "unary_operator" and text(node).startswith("~") and named(node):
            node = named(node)[0]
        return self.subqueries.existing(node, self.function) if node is not None and "exists" in text(node) else None

    def _existing(self, node: Node) -> str | None:
        if node.type == "call" and "exists" not in text(node):
            return None
        query = self.subqueries.existing(node, self.function)
        return query.sql() if query is not None else None

    def _built(self, call: Node, steps: list[Step]) -> Query | None:
        query = self._selected(_flat(arguments_of(call)[0]), steps)
        if query is not None:
            self.steps.apply(query, steps)
        return query

    def _inserted(self, call: Node) -> None:
        positional, keywords = arguments_of(call)
        table = keywords.get("table", keywords.get("model"))
        found = self.expressions.model(table) if table is not None else None
        if found is None or context_of(chain_above(call)[0], self.function) is None:
            return
        query = Query("insert", *found)
        rows = [row for row in positional if row.type == "dictionary"]
        if rows:
            self._write_row(query, rows[0])
        query.partial.add(COLUMNS)
        self._finish(query, call)

    def _write_row(self, query: Query, row: Node) -> None:
        for pair in named(row):
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
                query.partial |= {COLUMNS, EXPRESSIONS}
        for alias, found in named_models.items():
            if alias != first[1] and alias not in joined:
                query.joins.append(f"CROSS JOIN {relation(found[0])} AS {quoted(alias)}")
        return query

    def _column_in(self, name: Node) -> Node | None:
        """The column, or the function of one, that a variable was given last before that place."""
        made = None
        for node in mentions_of(self.function).get(text(name), []) if self.function is not None else ():
            if node.start_byte >= name.start_byte:
                break
            if node.type == "assignment":
                made = field(node, "right")
        return (
            made if made is not None and made.type in ("attribute", "call") and _OF_COLUMN.search(text(made)) else None
        )

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
        context = query_context(top, steps, self.function)
        if query is None or context is None:
            return
        more, partial = context
        self.steps.apply(query, [*steps, *more])
        query.partial |= partial
        self._finish(query, call)

    # Objects

    def _get(self, call: Node) -> None:
        """`session.get(User, id)`."""
        positional, keywords = arguments_of(call)
        found = self.expressions.model(positional[0]) if len(positional) > 1 else None
        if found is None:
            return
        query = Query("select", *found)
        filter_by_key(query)
        if "with_for_update" in keywords:
            query.suffix = " FOR UPDATE"
        if "options" in keywords and not re.match(r"\W*" + LOADED_APART.pattern, text(keywords["options"])):
            query.partial |= {COLUMNS, JOINS}
        self._finish(query, call)

    def _add(self, call: Node) -> None:
        """`session.add(User(...))`, or of a variable that was made in the same function."""
        positional, _ = arguments_of(call)
        for argument in positional[:1]:
            for entry in self._rows(argument, call):
                made = entry if entry.type == "call" else self._made(text(entry), call)
                function = field(made, "function") if made is not None else None
                found = self.expressions.model(function) if function is not None else None
                if found and made is not None:
                    query = Query("insert", *found)
                    for key in arguments_of(made)[1]:
                        query.write(key)
                    query.partial.add(COLUMNS)
                    self._finish(query, made)

    def _rows(self, argument: Node, before: Node) -> list[Node]:
        """What a list has in it, spelled out, made by a comprehension or appended to a variable."""
        if argument.type == "list":
            return named(argument)
        if argument.type == "list_comprehension" and (body := field(argument, "body")) is not None:
            return [body]
        if argument.type != "identifier" or call_name(before) != "add_all" or self.function is None:
            return [argument]
        for node in mentions_of(self.function).get(text(argument), []):
            value = field(node, "right") if node.type == "assignment" else None
            if value is not None and value.type in ("list", "list_comprehension") and named(value):
                return self._rows(value, before)
            appended = node.parent.parent if node.parent is not None and node.type == "identifier" else None
            if call_name(appended) == "append" and node.start_byte < before.start_byte:
                return arguments_of(appended)[0]
        return [argument]

    def _delete(self, call: Node) -> None:
        """`session.delete(user)`."""
        positional, _ = arguments_of(call)
        if len(positional) != 1 or positional[0].type != "identifier":
            return
        self.aliases = {}
        found = self.variables.model(text(positional[0]), self.function, call.start_byte)
        if found is not None and found[0].table == found[1]:
            query = Query("delete", *found)
            filter_by_key(query)
            self._finish(query, call)

    def _made(self, name: str, before: Node) -> Node | None:
        """The constructor call last assigned to the variable before that place."""
        if self.function is None or not name.isidentifier():
            return None
        made = None
        for node in mentions_of(self.function).get(name, []):
            if node.start_byte >= before.start_byte:
                break
            if node.type == "assignment":
                value = field(node, "right")
                made = unwrapped(value) if value is not None else None
        return made if made is not None and made.type == "call" else None

    def _assignments(self) -> None:
        """Attributes set on a row that a parameter or a query brought: an UPDATE of those columns."""
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
            self.aliases = {}
            found = self._row(name, node)
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
            filter_by_key(query)
            self._finish(query, statement)

    def _row(self, name: str, node: Node) -> tuple[Model, str] | None:
        made = self._made(name, node)
        if made is not None and (function := field(made, "function")) and self.expressions.model(function):
            # A new row, whose insert has the attribute.
            return None
        found = self.variables.model(name, self.function, node.start_byte)
        return found if found and found[0].table == found[1] else None

    def _finish(self, query: Query, node: Node) -> None:
        for name, inner in self.subqueries.used(query.sql()).items():
            query.subqueries[name] = inner.sql()
            query.partial |= inner.partial - {ORDER, LIMIT}
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
