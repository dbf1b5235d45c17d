"""What each method of a Knex query adds to its statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.orm.knex_conditions import CONDITION, Conditions
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery, aliased, split_name
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, EXPRESSIONS, JOINS, ORDER, WHERE, quoted
from checks.evidence.repository.orm.script import arguments_of, called, holder_of
from checks.evidence.repository.orm.script_chains import Step
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import field, named, text, unwrapped

JOIN_WORDS = {
    "join": "JOIN", "innerJoin": "JOIN", "leftJoin": "LEFT JOIN", "leftOuterJoin": "LEFT JOIN", "rightJoin": "RIGHT JOIN",
    "rightOuterJoin": "RIGHT JOIN", "fullOuterJoin": "FULL JOIN", "outerJoin": "FULL JOIN", "crossJoin": "CROSS JOIN",
}  # fmt: skip
AGGREGATES = {"count": "count", "countDistinct": "count", "min": "min", "max": "max", "sum": "sum", "avg": "avg"}
HARMLESS = frozenset(
    "then catch finally returning transacting timeout debug from into table withSchema queryContext clone on noWait forShare "
    "options asCallback stream pipe as returning connection hintComment comment".split()
)
_MAXIMUM_DEPTH = 12
_OUTPUT = re.compile(r"\bas\s+[\"']?(\w+)|\.as\(\s*['\"](\w+)|\b(\w+)\s*:", re.IGNORECASE)


class Steps:
    """Applies methods to one query. `queries` are the names of those in its WITH."""

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
            if name in JOIN_WORDS:
                self._join(name, arguments_of(call))
            elif name in ("joinRaw", "leftJoinLateral"):
                query.partial |= {JOINS, COLUMNS}
        for name, call in steps:
            if name in AGGREGATES or name in ("select", "column", "columns", "first"):
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
        elif name in AGGREGATES:
            read = self._names(arguments[0]) if len(arguments) == 1 else []
            written = read[0] if len(read) == 1 else "*"
            if (arguments and len(read) != 1) or (written == "*" and name != "count"):
                query.partial |= {COLUMNS, EXPRESSIONS}
                return
            distinct = "DISTINCT " if name == "countDistinct" else ""
            query.columns = [*(query.columns or []), f"{AGGREGATES[name]}({distinct}{written})"]
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
            name not in HARMLESS
            and name not in JOIN_WORDS
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
        query.join(JOIN_WORDS[name], target[0], target[1], target[2] or target[1], "")
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


def target_of(known: Argument) -> tuple[str | None, str, str | None] | None:
    if known.entries is not None and len(known.entries) == 1 and known.whole:
        alias, entry = next(iter(known.entries.items()))
        table = split_name(entry.string) if entry.string else None
        return (*table, alias) if table else None
    found = aliased(known.string) if known.string else None
    table = split_name(found[0]) if found else None
    return (*table, found[1]) if found and table else None
