"""Kysely: the tables of its Database interface, and calls that send a statement."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.orm.kysely_expressions import Expressions
from checks.evidence.repository.orm.named_tables import NamedQuery, aliased, split_name
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, EXPRESSIONS, JOINS, LIMIT, ORDER, WHERE, quoted
from checks.evidence.repository.orm.script import arguments_of, called, chain_above, holder_of, known_entries
from checks.evidence.repository.orm.script_chains import Step, fate_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

CANDIDATE = re.compile(r"\.\s*(?:selectFrom|insertInto|updateTable|deleteFrom)\s*(?:<[^()]*>)?\(")
_CALLS = re.compile(rb"(?<![\w$])(selectFrom|insertInto|updateTable|deleteFrom)\s*(?:<[^()]*>)?\(")
_NAMES = frozenset(["property_identifier", "identifier"])
_WITH = re.compile(r"\.\s*with(?:Recursive)?\(\s*['\"`](\w+)")
_VERBS = {b"selectFrom": "select", b"insertInto": "insert", b"updateTable": "update", b"deleteFrom": "delete"}
_SENDS = frozenset(["execute", "executeTakeFirst", "executeTakeFirstOrThrow", "stream"])
_RUNS = re.compile(r"execut|paginat", re.IGNORECASE)
_READS = re.compile(r"\.\s*selectFrom\(\s*['\"]([\w.]+)")
_OUTPUT = re.compile(r"\bas\s+[\"']?(\w+)|\.as\(\s*['\"](\w+)", re.IGNORECASE)
_JOINS = {"innerJoin": "JOIN", "leftJoin": "LEFT JOIN", "rightJoin": "RIGHT JOIN", "fullJoin": "FULL JOIN",
          "crossJoin": "CROSS JOIN"}  # fmt: skip
_HARMLESS = frozenset(
    "execute executeTakeFirst executeTakeFirstOrThrow stream then catch finally $castTo $narrowType $assertType withPlugin "
    "returning returningAll compile explain noWait forShare forKeyShare forNoKeyUpdate modifyEnd modifyFront $notNull".split()
)
_PARTS = {
    "where": {WHERE}, "whereRef": {WHERE}, "having": {WHERE}, "orderBy": {ORDER}, "limit": {LIMIT}, "offset": {LIMIT},
    "select": {COLUMNS, EXPRESSIONS}, "selectAll": {COLUMNS}, "clearSelect": {COLUMNS, EXPRESSIONS}, "set": {COLUMNS},
    "innerJoin": {JOINS, COLUMNS}, "leftJoin": {JOINS, COLUMNS}, "onConflict": {COLUMNS}, "values": {COLUMNS},
    "groupBy": {EXPRESSIONS}, "distinctOn": {COLUMNS}, "clearOrderBy": {ORDER}, "forUpdate": set(), "skipLocked": set(),
}  # fmt: skip


def read_calls(source: Source, constants: Mapping[str, str], spell: Callable[[str], str]) -> list[OrmCall]:
    """`spell` turns names in code into those of the database."""
    return _Reader(source, constants, spell).read()


class _Reader:
    def __init__(self, source: Source, constants: Mapping[str, str], spell: Callable[[str], str]) -> None:
        self.source = source
        self.values = Values(constants)
        self.spell = spell
        self.queries = set(_WITH.findall(source.file.text))
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _NAMES):
            function = node if node.type == "identifier" else node.parent
            call = function.parent if function is not None else None
            if call is not None and call.type == "call_expression" and field(call, "function") == function:
                self._read(_VERBS[match.group(1)], call, node)
        return self.calls

    def _read(self, verb: str, call: Node, node: Node) -> None:
        query = self._target(verb, call)
        if query is None:
            return
        top, steps = chain_above(call)
        fate = fate_of(top)
        names = {name for name, _ in [*steps, *fate.steps, *fate.possible]}
        part = not names & _SENDS and not any(_RUNS.search(name) for name in fate.given_to)
        if part and (verb != "select" or query.model.name in self.queries):
            return
        if _with_names(call):
            query.partial |= {JOINS, COLUMNS, WHERE}
        if query.partial < EVERYTHING:
            _Steps(query, self.values, self.queries).apply([*steps, *fate.steps])
        for name, _ in fate.possible:
            query.partial |= set() if name in _HARMLESS else _PARTS.get(name, EVERYTHING)
        query.partial |= EVERYTHING if fate.open and not _SENDS & {name for name, _ in steps} else set()
        function = function_name(function_around(call))
        self.calls.append(query.finish(self.source.location(node), "kysely", function, part=part))

    def _target(self, verb: str, call: Node) -> NamedQuery | None:
        arguments = arguments_of(call)
        first = self.values.argument(arguments[0]) if arguments else None
        elements = first.elements if first is not None else None
        names = [element.string for element in elements] if elements else [first.string] if first is not None else []
        read = [aliased(name) if name else None for name in names]
        targets = [(split_name(entry[0]), entry[1]) if entry else None for entry in read]
        target = targets[0][0] if targets and targets[0] is not None else None
        if target is None or targets[0] is None:
            return None
        (schema, table), alias = target, targets[0][1]
        if table in _with_names(call):
            return self._behind(verb, call)
        query = NamedQuery(verb, self._schema(call) or schema, table, alias, spell=self.spell)
        for further in targets[1:]:
            if further is None or further[0] is None:
                query.partial |= EVERYTHING
            else:
                query.join("CROSS JOIN", further[0][0], further[0][1], further[1] or further[0][1], "")
        return query

    def _behind(self, verb: str, call: Node) -> NamedQuery | None:
        """What a statement over a WITH query reads: the table that the first of these begins with."""
        names = _with_names(call)
        for entry in reversed(_calls_before(call)):
            for match in _READS.finditer(text(entry)):
                known = split_name(match.group(1))
                if known is not None and known[1] not in names:
                    query = NamedQuery(verb, known[0], known[1], spell=self.spell)
                    query.partial |= EVERYTHING
                    return query
        return None

    def _schema(self, call: Node) -> str | None:
        holder = holder_of(call)
        arguments = arguments_of(holder) if called(holder) == "withSchema" else []
        return self.values.argument(arguments[0]).string if arguments else None


def _calls_before(call: Node) -> list[Node]:
    found = []
    holder = holder_of(call)
    while holder is not None and holder.type == "call_expression":
        found.append(holder)
        holder = holder_of(holder)
    return found


def _with_names(call: Node) -> set[str]:
    """The names of WITH queries before it in the chain."""
    found = set()
    for entry in _calls_before(call):
        if called(entry) in ("with", "withRecursive") and arguments_of(entry):
            found.add(re.split(r"\W", text(arguments_of(entry)[0]).strip("'\"`"))[0])
    return found


class _Steps:
    """`queries` are the names of the WITH queries of the file: they stand for no table."""

    def __init__(self, query: NamedQuery, values: Values, queries: set[str]) -> None:
        self.query = query
        self.values = values
        self.queries = queries
        self.expressions = Expressions(query, values)
        self.outputs: set[str] = set()

    def apply(self, steps: list[Step]) -> None:
        query = self.query
        if query.verb == "select":
            query.columns = []
        # Joins decide how a bare column name is to be read.
        for name, call in steps:
            if name in _JOINS or name.endswith("Join") or name.endswith("JoinLateral"):
                self._join(name, arguments_of(call))
        for name, call in steps:
            if name == "select":
                self.outputs |= {
                    part for found in _OUTPUT.findall(text(field(call, "arguments"))) for part in found if part
                }
        for name, call in steps:
            self._step(name, arguments_of(call))
        if query.verb == "select" and not query.columns and COLUMNS not in query.partial:
            query.partial.add(COLUMNS)

    def _step(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        columns = query.columns if query.columns is not None else []
        if name in ("where", "whereRef"):
            referenced = name == "whereRef" and len(arguments) == 3
            query.filter(
                self.expressions.referenced(arguments) if referenced else self.expressions.condition(arguments)
            )
        elif name == "select":
            for argument in arguments:
                found = self.expressions.selection(argument)
                columns += found or []
                query.partial |= set() if found else {COLUMNS, EXPRESSIONS}
        elif name == "selectAll":
            known = self.values.argument(arguments[0]) if arguments else None
            tables = (
                [known.string]
                if known and known.string
                else [entry.string for entry in (known.elements or ())]
                if known
                else []
            )
            spelled = [f"{quoted(query.spell(table))}.*" for table in tables if table]
            columns += spelled or (["*"] if query.joins else [f"{quoted(query.alias)}.*"])
        elif name == "orderBy":
            self._order(arguments)
        elif name in ("limit", "top", "fetch") and arguments:
            query.take(text(arguments[0]))
        elif name == "offset" and arguments:
            query.offset = text(arguments[0]) != "0"
        elif name == "groupBy" and arguments:
            keys = self.expressions.selection(arguments[0])
            query.group += keys or []
            query.partial |= set() if keys else {EXPRESSIONS}
        elif name in ("values", "set"):
            self._write(name, arguments)
        elif name == "onConflict":
            self._conflict(arguments)
        elif name == "forUpdate":
            query.suffix = " FOR UPDATE" + query.suffix
        elif name == "skipLocked":
            query.suffix += " SKIP LOCKED"
        elif name == "$if":
            inner = set(re.findall(r"\.\s*([$\w]+)\s*\(", text(arguments[1]))) if len(arguments) > 1 else {"$call"}
            for step in inner & set(_PARTS) or {"$call"}:
                query.partial |= _PARTS.get(step, EVERYTHING)
        elif name in ("having", "distinctOn", "distinct"):
            query.partial |= _PARTS.get(name, {COLUMNS})
        elif name == "expression":
            query.partial |= {COLUMNS, JOINS, WHERE}
        elif name in ("from", "using"):
            query.partial |= {JOINS, WHERE}
        elif name not in _HARMLESS and name not in _JOINS:
            query.partial |= EVERYTHING

    def _join(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        reference = self.values.argument(arguments[0]).string if arguments else None
        found = aliased(reference) if reference else None
        target = split_name(found[0]) if found else None
        if found is None or target is None or name not in _JOINS or target[1] in self.queries:
            query.partial |= {JOINS, COLUMNS, WHERE}
            return
        alias = found[1] or target[1]
        query.join(_JOINS[name], target[0], target[1], alias, "")
        if name == "crossJoin":
            return
        condition = self._on(arguments[1:])
        query.partial |= set() if condition else {JOINS}
        if condition:
            query.joins[-1] = query.joins[-1].removesuffix("true") + condition

    def _on(self, arguments: list[Node]) -> str | None:
        query = self.query
        if len(arguments) == 2:
            names = [self.values.argument(argument).string for argument in arguments]
            left, right = (query.column(name) if name else None for name in names)
            return f"{left} = {right}" if left and right else None
        body = field(unwrapped(arguments[0]), "body") if len(arguments) == 1 else None
        parts: list[str] = []
        node = unwrapped(body) if body is not None else None
        while node is not None and node.type == "call_expression":
            name, given = called(node), arguments_of(node)
            read = self.expressions.referenced(given) if name == "onRef" and len(given) == 3 else None
            read = self.expressions.condition(given) if name == "on" else "true" if name == "onTrue" else read
            if read is None:
                return None
            parts.append(read)
            node = holder_of(node)
        return " AND ".join(reversed(parts)) or None

    def _order(self, arguments: list[Node]) -> None:
        query = self.query
        first = unwrapped(arguments[0]) if arguments else None
        entries = named(first) if first is not None and first.type == "array" else arguments[:1]
        for entry in entries:
            written = self.values.argument(entry).string
            direction = self._direction(arguments[1:]) if len(arguments) > 1 else ""
            if written is not None and (match := re.fullmatch(r"(\S+)(?:\s+(asc|desc))?", written.strip(), re.I)):
                key = query.column(match[1]) if match[1] not in self.outputs else None
                direction = f" {match[2].upper()}" if match[2] and match[2].lower() == "desc" else direction
            else:
                key = self.expressions.operand(entry)
            if key is None or direction is None:
                query.partial.add(ORDER)
            elif ORDER not in query.partial:
                query.order.append(key + direction)

    def _direction(self, arguments: list[Node]) -> str | None:
        node = unwrapped(arguments[0])
        written = self.values.argument(node).string
        if written in ("asc", "desc"):
            return " DESC" if written == "desc" else ""
        code = "".join(text(node).split()).lower()
        if "collate" in code:
            return None
        if not re.search(r"\bnulls|\.nulls", code) and not re.search(r"\.(?:asc|desc)\(", code):
            return None
        nulls = " NULLS LAST" if "last" in code else " NULLS FIRST" if "first" in code else ""
        return (" DESC" if "desc" in code else "") + nulls

    def _write(self, name: str, arguments: list[Node]) -> None:
        query = self.query
        if name == "set" and len(arguments) == 2:
            key = self.values.argument(arguments[0]).string
            query.write(key or "")
            return
        known = self.values.argument(arguments[0]) if arguments else None
        if known is not None and known.elements is not None:
            query.partial |= set() if len(known.elements) == 1 else {COLUMNS}
            known = known.elements[0] if known.elements else None
        if known is None or known.entries is None:
            body = field(unwrapped(arguments[0]), "body") if arguments else None
            entries, whole = known_entries(body)
            query.partial |= set() if whole and entries else {COLUMNS}
        else:
            entries, whole = dict.fromkeys(known.entries, arguments[0]), known.whole
            query.partial |= set() if whole else {COLUMNS}
        for key in entries:
            query.write(key)

    def _conflict(self, arguments: list[Node]) -> None:
        code = text(arguments[0]) if arguments else ""
        if "doNothing" in code:
            self.query.suffix = " ON CONFLICT DO NOTHING"
        else:
            self.query.partial.add(COLUMNS)
