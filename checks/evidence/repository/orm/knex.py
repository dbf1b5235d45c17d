"""Calls of Knex that send a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.orm.knex_conditions import CONDITION
from checks.evidence.repository.orm.knex_steps import AGGREGATES, HARMLESS, JOIN_WORDS, Steps, target_of
from checks.evidence.repository.orm.named_tables import NamedQuery
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, EXPRESSIONS, LIMIT, ORDER, WHERE
from checks.evidence.repository.orm.script import arguments_of, call_of, called, chain_above, holder_of
from checks.evidence.repository.orm.script_chains import Step, fate_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, text

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
_WRITES = {"insert": "insert", "update": "update", "del": "delete", "delete": "delete", "increment": "update",
           "decrement": "update", "upsert": "insert"}  # fmt: skip
_BEGINS = frozenset([*_WRITES, *JOIN_WORDS, *AGGREGATES, *"select first pluck distinct column columns orderBy limit groupBy with "
                     "returning transacting clone modify whereIn from into table withSchema queryContext onConflict as "
                     "forUpdate timeout joinRaw distinctOn orderByRaw offset having groupByRaw".split()])  # fmt: skip
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
_CONJUNCTIONS = frozenset(["or", "and", "not"])
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
        Steps(query, self.values, queries).apply(every)
        for name, _ in fate.possible:
            query.partial |= (
                {WHERE} if CONDITION.fullmatch(name) else _PARTS.get(name, set() if name in HARMLESS else EVERYTHING)
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


def _first_name(call: Node, values: Values) -> list[str]:
    arguments = arguments_of(call)
    name = values.argument(arguments[0]).string if arguments else None
    return [name] if name else []
