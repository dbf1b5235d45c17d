"""Calls of Knex that send a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.orm.knex_conditions import CONDITION, Conditions
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery, aliased, split_name
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, EXPRESSIONS, JOINS, LIMIT, ORDER, WHERE, quoted
from checks.evidence.repository.orm.script import arguments_of, call_of, called, chain_above, holder_of
from checks.evidence.repository.orm.script_chains import Step, fate_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

LIBRARY = re.compile(r"""['"]knex['"]|\bKnex\b""")
CANDIDATE = re.compile(
    r"\.\s*(?:where\w*|select|insert|update|del|delete|first|\w*[jJ]oin\w*|pluck|count\w*|sum|min|max|avg|from|into|table|modify"
    r"|orderBy|increment|decrement|distinct\w*|groupBy)\s*(?:<[^()]*>)?\("
)
_CLIENT = re.compile(r"(?:^|[a-z_])(?:knex|db|trx|tx|conn|connection|transaction|database|builder)$|^k$", re.IGNORECASE)
_CALLS = re.compile(
    rb"\b([A-Za-z_$][\w$]*)\s*(?:<(?:[^(){};=]|\{[^(){}]{0,300}\}){0,100}?>)?\(\s*(?:\{|['\"`]|[A-Za-z_$])"
)
_TARGETS = frozenset(["from", "into", "table"])
_NAMES = frozenset(["identifier", "property_identifier"])
_JOINS = {
    "join": "JOIN", "innerJoin": "JOIN", "leftJoin": "LEFT JOIN", "leftOuterJoin": "LEFT JOIN", "rightJoin": "RIGHT JOIN",
    "rightOuterJoin": "RIGHT JOIN", "fullOuterJoin": "FULL JOIN", "outerJoin": "FULL JOIN", "crossJoin": "CROSS JOIN",
}  # fmt: skip
_WRITES = {"insert": "insert", "update": "update", "del": "delete", "delete": "delete", "increment": "update",
           "decrement": "update", "upsert": "insert"}  # fmt: skip
_AGGREGATES = {"count": "count", "countDistinct": "count", "min": "min", "max": "max", "sum": "sum", "avg": "avg"}
_BEGINS = frozenset([*_WRITES, *_JOINS, *_AGGREGATES, *"select first pluck distinct column columns orderBy limit groupBy with "
                     "returning transacting clone modify whereIn from into table withSchema queryContext onConflict as "
                     "forUpdate timeout joinRaw distinctOn orderByRaw offset having groupByRaw".split()])  # fmt: skip
_HARMLESS = frozenset(
    "then catch finally returning transacting timeout debug from into table withSchema queryContext clone on noWait forShare "
    "options asCallback stream pipe as returning connection hintComment comment".split()
)
_NOT_SENT = frozenset(["as", "toSQL", "toString", "toQuery", "toNative"])
_SUBQUERIES = frozenset(
    "from whereIn whereNotIn whereExists whereNotExists with union unionAll join leftJoin select where".split()
)
_WITH = re.compile(r"\.\s*with(?:Recursive|Materialized|NotMaterialized)?\(\s*['\"`](\w+)")
# What takes a function that makes a statement within it.
_TAKES_FUNCTIONS = frozenset(
    "with withRecursive withMaterialized withNotMaterialized union unionAll intersect except from whereIn whereNotIn whereExists "
    "whereNotExists orWhereExists orWhereNotExists andWhereNotExists andWhereExists join innerJoin leftJoin".split()
)
_FUNCTIONS = frozenset(["arrow_function", "function_expression"])
_MAXIMUM_DEPTH = 12
_CONJUNCTIONS = frozenset(["or", "and", "not"])
_OUTPUT = re.compile(r"\bas\s+[\"']?(\w+)|\.as\(\s*['\"](\w+)|\b(\w+)\s*:", re.IGNORECASE)
_PARTS = {"orderBy": {ORDER}, "orderByRaw": {ORDER}, "limit": {LIMIT}, "offset": {LIMIT}, "first": {LIMIT},
          "select": {COLUMNS, EXPRESSIONS}, "groupBy": {EXPRESSIONS}, "having": {WHERE}}  # fmt: skip


def read_calls(source: Source, constants: Mapping[str, str]) -> list[OrmCall]:
    return _Reader(source, constants).read()


class _Reader:
    def __init__(self, source: Source, constants: Mapping[str, str]) -> None:
        self.source = source
        self.values = Values(constants)
        self.queries = set(_WITH.findall(source.file.text))
        self.awaited = False
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _NAMES):
            word = match.group(1).decode()
            if not _CLIENT.search(word) and word not in _TARGETS:
                continue
            found = call_of(node)
            if found is None:
                continue
            call, self.awaited = found
            if word in _TARGETS:
                self._named_later(call, node)
            else:
                self._begun(call, node)
        return self.calls

    def _begun(self, call: Node, node: Node) -> None:
        """`knex("users").where(...)`."""
        top, steps = chain_above(call)
        if steps and (steps[0][0] in _BEGINS or CONDITION.fullmatch(steps[0][0]) or steps[0][0] in _NOT_SENT):
            self._read(arguments_of(call), top, steps, [], node, call)
        elif not steps:
            fate = fate_of(top, awaited=self.awaited)
            if fate.steps and (fate.steps[0][0] in _BEGINS or CONDITION.fullmatch(fate.steps[0][0])):
                self._read(arguments_of(call), top, [], [], node, call)

    def _named_later(self, call: Node, node: Node) -> None:
        """`knex.select(...).from("users")`, `knex.insert(...).into("users")`."""
        before: list[Step] = []
        holder = holder_of(call)
        while holder is not None and holder.type == "call_expression":
            before.append((called(holder), holder))
            holder = holder_of(holder)
        within = holder is not None and _gives_query(holder)
        if holder is None or not (within or _CLIENT.search(text(holder).rpartition(".")[2])):
            return
        if before and before[-1][1] is not None and field(before[-1][1], "function") == holder:
            return
        if any(name not in _BEGINS and not CONDITION.fullmatch(name) for name, _ in before):
            return
        top, steps = chain_above(call)
        if before or steps:
            self._read(arguments_of(call), top, steps, before[::-1], node, call, within=within)

    def _read(
        self,
        arguments: list[Node],
        top: Node,
        steps: list[Step],
        before: list[Step],
        node: Node,
        call: Node,
        *,
        within: bool = False,
    ) -> None:
        """`within`: a function gives the statement to another one."""
        target = self._target(arguments)
        if target is None:
            return
        fate = fate_of(top, _SUBQUERIES, awaited=self.awaited)
        every = [*before, *steps, *fate.steps]
        names = {name for name, _ in every}
        after = top.parent
        if after is not None and after.type == "member_expression" and text(field(after, "property")) in _CONJUNCTIONS:
            return
        queries = {name for step, inner in every if step.startswith("with") for name in _first_name(inner, self.values)}
        part = within or bool(names & _NOT_SENT) or not (fate.sent or "then" in names)
        queries = self.queries if part else queries
        if target[1] in queries:
            return
        verb = next((_WRITES[name] for name, _ in every if name in _WRITES), "select")
        if part and verb != "select":
            return
        schema = next((self.values.argument(arguments_of(step)[0]).string for name, step in every
                       if name == "withSchema" and arguments_of(step)), None)  # fmt: skip
        query = NamedQuery(verb, schema or target[0], target[1], target[2])
        _Steps(query, self.values, queries).apply(every)
        for name, _ in fate.possible:
            query.partial |= (
                {WHERE} if CONDITION.fullmatch(name) else _PARTS.get(name, set() if name in _HARMLESS else EVERYTHING)
            )
        query.partial |= EVERYTHING if fate.open else set()
        function = function_name(function_around(call))
        self.calls.append(query.finish(self.source.location(node), "knex", function, part=part))

    def _target(self, arguments: list[Node]) -> tuple[str | None, str, str | None] | None:
        """Schema, table and alias in `"users as u"`, `{ u: "users" }` or a constant."""
        return target_of(self.values.argument(arguments[0])) if arguments else None


def _gives_query(holder: Node) -> bool:
    """Whether it is `this`, or the parameter, of a function that makes a statement within another one."""
    function = holder.parent
    while function is not None and function.type not in _FUNCTIONS:
        function = function.parent
    given = function.parent if function is not None else None
    if function is None or given is None or given.type != "arguments" or called(given.parent) not in _TAKES_FUNCTIONS:
        return False
    parameters = field(function, "parameters") or field(function, "parameter")
    return holder.type == "this" or (
        holder.type == "identifier" and re.search(rf"\b{re.escape(text(holder))}\b", text(parameters)) is not None
    )


def target_of(known: Argument) -> tuple[str | None, str, str | None] | None:
    if known.entries is not None and len(known.entries) == 1 and known.whole:
        alias, entry = next(iter(known.entries.items()))
        table = split_name(entry.string) if entry.string else None
        return (*table, alias) if table else None
    found = aliased(known.string) if known.string else None
    table = split_name(found[0]) if found else None
    return (*table, found[1]) if found and table else None


def _first_name(call: Node, values: Values) -> list[str]:
    arguments = arguments_of(call)
    name = values.argument(arguments[0]).string if arguments else None
    return [name] if name else []


class _Steps:
    def __init__(self, query: NamedQuery, values: Values, queries: set[str]) -> None:
        self.query = query
        self.values = values
        self.queries = queries
        self.conditions = Conditions(query, values)
        self.outputs: set[str] = set()

    def apply(self, steps: list[Step]) -> None:
        query = self.query
        query.columns = []
        # Joins decide how a bare column name is to be read.
        for name, call in steps:
            if name in _JOINS:
                self._join(name, arguments_of(call))
            elif name in ("joinRaw", "leftJoinLateral"):
                query.partial |= {JOINS, COLUMNS}
        for name, call in steps:
            if name in _AGGREGATES or name in ("select", "column", "columns", "first"):
                self.outputs |= {
                    part for found in _OUTPUT.findall(text(field(call, "arguments"))) for part in found if part
                }
        for name, call in steps:
            self._step(name, arguments_of(call))
        self.conditions.add(steps)
        if not query.columns and COLUMNS not in query.partial:
            query.columns = ["*"] if query.joins else [f"{quoted(query.alias)}.*"]

    def _step(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        if name in ("select", "column", "columns", "first", "distinct", "pluck"):
            if name == "first":
                query.limit = 1
            if name == "pluck":
                query.columns = []
            for argument in arguments:
                self._column(argument)
        elif name in _AGGREGATES:
            read = self._names(arguments[0]) if len(arguments) == 1 else []
            written = read[0] if len(read) == 1 else "*"
            if (arguments and len(read) != 1) or (written == "*" and name != "count"):
                query.partial |= {COLUMNS, EXPRESSIONS}
                return
            distinct = "DISTINCT " if name == "countDistinct" else ""
            query.columns = [*(query.columns or []), f"{_AGGREGATES[name]}({distinct}{written})"]
        elif name in ("orderBy", "orderByRaw"):
            self._order(name, arguments)
        elif name == "limit" and arguments:
            query.take(text(arguments[0]))
        elif name == "offset" and arguments:
            query.offset = text(arguments[0]) != "0"
        elif name == "groupBy":
            keys = [key for argument in arguments for key in self._names(argument)]
            query.group += keys
            query.partial |= set() if keys else {EXPRESSIONS}
        elif name in ("insert", "update", "upsert"):
            self._write(arguments)
        elif name in ("increment", "decrement") and arguments:
            query.write(self.values.argument(arguments[0]).string or "")
        elif name == "ignore":
            query.suffix = " ON CONFLICT DO NOTHING"
        elif name in ("merge", "onConflict"):
            query.partial |= {COLUMNS} if name == "merge" else set()
        elif name == "forUpdate":
            query.suffix = " FOR UPDATE"
        elif name == "skipLocked":
            query.suffix += " SKIP LOCKED"
        elif name.startswith("having"):
            query.partial.add(WHERE)
        elif (
            name not in _HARMLESS
            and name not in _JOINS
            and not CONDITION.fullmatch(name)
            and name not in ("del", "delete")
        ):
            query.partial |= {JOINS, COLUMNS} if name in ("joinRaw", "distinctOn") else EVERYTHING

    def _names(self, node: Node) -> list[str]:
        """The columns of a list, as SQL; empty if one of them is not known."""
        known = self.values.argument(node)
        entries = known.elements if known.elements is not None else (known,)
        found = []
        for entry in entries:
            read = aliased(entry.string) if entry.string else None
            column = self.query.column(read[0]) if read and "*" not in read[0] else None
            if read is not None and read[0] == "*":
                column = "*"
            if column is None:
                return []
            found.append(column)
        return found

    def _column(self, node: Node, depth: int = 0) -> None:
        query = self.query
        columns = query.columns = query.columns if query.columns is not None else []
        node = unwrapped(node)
        known = self.values.argument(node)
        if called(node) == "raw":
            arguments = arguments_of(node)
            written = self.values.argument(arguments[0]).string if arguments else None
            plain = re.sub(r"\s+as\s+\"?\w+\"?\s*$", "", written, flags=re.IGNORECASE) if written else None
            read = self.conditions.raw(arguments) if plain == written else self.conditions.raw_text(plain or "")
            columns += [read] if read else []
            query.partial |= set() if read else {COLUMNS, EXPRESSIONS}
            return
        if known.entries is not None:
            strings = [entry.string for entry in known.entries.values()]
        else:
            strings = [entry.string for entry in (known.elements if known.elements is not None else (known,))]
        if node.type == "array" and depth < _MAXIMUM_DEPTH and any(string is None for string in strings):
            for entry in named(node):
                self._column(entry, depth + 1)
            return
        for string in strings:
            read_name = aliased(string) if string else None
            if read_name is None:
                query.partial |= {COLUMNS, EXPRESSIONS}
            elif read_name[0] == "*":
                columns.append("*" if query.joins else f"{quoted(query.alias)}.*")
            elif read_name[0].endswith(".*"):
                columns.append(f"{quoted(read_name[0][:-2].rpartition('.')[2])}.*")
            elif (column := query.column(read_name[0])) is not None:
                columns.append(column)
            else:
                query.partial |= {COLUMNS, EXPRESSIONS}

    def _order(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        known = self.values.argument(arguments[0]) if arguments and name == "orderBy" else None
        entries = (known.elements if known.elements is not None else (known,)) if known is not None else ()
        default = self.values.argument(arguments[1]) if len(arguments) > 1 else None
        query.partial |= set() if entries else {ORDER}
        for entry in entries:
            column, direction = entry.string, default
            if entry.entries is not None:
                column = entry.entries["column"].string if "column" in entry.entries else None
                direction = entry.entries.get("order")
            key = query.column(column) if column else None
            word = "asc" if direction is None else (direction.string or "").lower()
            if key is None or column in self.outputs or word not in ("asc", "desc"):
                query.partial.add(ORDER)
            elif ORDER not in query.partial:
                query.order.append(key + (" DESC" if word == "desc" else ""))

    def _write(self, arguments: list[Node]) -> None:
        query = self.query
        known = self.values.argument(arguments[0]) if arguments else None
        if known is not None and known.string is not None and len(arguments) > 1:
            query.write(known.string)
            return
        if known is not None and known.elements is not None:
            query.partial |= set() if len(known.elements) == 1 else {COLUMNS}
            known = known.elements[0] if known.elements else None
        query.partial |= set() if known is not None and known.entries is not None and known.whole else {COLUMNS}
        for key in (known.entries or {}) if known is not None else ():
            query.write(key)

    def _join(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        target = target_of(self.values.argument(arguments[0])) if arguments else None
        if target is None or target[1] in self.queries:
            query.partial |= {JOINS, COLUMNS}
            return
        query.join(_JOINS[name], target[0], target[1], target[2] or target[1], "")
        if name == "crossJoin":
            return
        condition = self._on(arguments[1:])
        if condition is None:
            query.partial.add(JOINS)
        else:
            query.joins[-1] = query.joins[-1].removesuffix("true") + condition

    def _on(self, arguments: list[Node], depth: int = 0) -> str | None:
        query = self.query
        known = [self.values.argument(argument) for argument in arguments]
        if len(known) == 1 and known[0].entries is not None and known[0].whole:
            pairs = [(query.column(key), query.column(entry.string or "")) for key, entry in known[0].entries.items()]
            return (
                " AND ".join(f"{left} = {right}" for left, right in pairs) if all(all(pair) for pair in pairs) else None
            )
        strings = [entry.string for entry in known]
        if len(strings) == 3 and strings[1] in ("=", "<", ">", "<=", ">=", "<>", "!="):
            left, right = query.column(strings[0] or ""), query.column(strings[2] or "")
            return f"{left} {strings[1]} {right}" if left and right else None
        if len(strings) == 2:
            left, right = query.column(strings[0] or ""), query.column(strings[1] or "")
            return f"{left} = {right}" if left and right else None
        is_function = len(arguments) == 1 and "function" in unwrapped(arguments[0]).type
        return self._callback(arguments[0], depth) if is_function and depth < _MAXIMUM_DEPTH else None

    def _callback(self, node: Node, depth: int) -> str | None:
        """`function () { this.on("a", "=", "b").andOn(...) }`."""
        body = field(unwrapped(node), "body")
        if body is None:
            return None
        statements = named(body) if body.type == "statement_block" else [body]
        parts: list[str] = []
        for statement in statements:
            inner: Node | None = (
                named(statement)[0] if statement.type.endswith("_statement") and named(statement) else statement
            )
            chain: list[str] = []
            while inner is not None and inner.type == "call_expression":
                name = called(inner)
                read = self._on(arguments_of(inner), depth + 1) if name in ("on", "andOn") else None
                if name in ("onVal", "andOnVal"):
                    read = self.conditions.condition("where", inner)
                if read is None:
                    return None
                chain.append(read)
                inner = holder_of(inner)
            parts += reversed(chain)
        return " AND ".join(parts) or None
