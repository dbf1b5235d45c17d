"""Calls of supabase-js and postgrest-js, and the tables that the types generated for them declare."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelRelation, OrmCall
from checks.evidence.repository.orm.kysely_types import members_of
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery, split_name
from checks.evidence.repository.orm.postgrest_calls import VERBS, Step, add_possible, function_text, read_chain
from checks.evidence.repository.orm.query import EVERYTHING, VALUE
from checks.evidence.repository.orm.script import arguments_of, call_of, called, chain_above, holder_of
from checks.evidence.repository.orm.script_chains import Fate, fate_of
from checks.evidence.repository.orm.script_values import Values
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, text, unwrapped

CANDIDATE = re.compile(r"\.\s*(?:from|rpc)\s*(?:<[^()]*>)?\(")
TYPES = re.compile(r"\bTables:\s*\{")
_CALLS = re.compile(rb"\.\s*(from|rpc)\s*(?:<[^()]*>)?\(")
_PROPERTY = frozenset(["property_identifier"])
_NO_CLIENTS = re.compile(
    r"^(?:Array|Buffer|Object|Set|Map|Uint\w+|Int\w+|Float\w+|Readable|Stream|Observable|Duration|Temporal|storage|Promise|rx)$"
)


def read_calls(source: Source, models: Models, constants: Mapping[str, str]) -> list[OrmCall]:
    """`constants` are strings that modules of the repository export by name."""
    return _Reader(source, models, constants).read()


class _Reader:
    def __init__(self, source: Source, models: Models, constants: Mapping[str, str]) -> None:
        self.source = source
        self.models = models
        self.values = Values(constants)
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _PROPERTY):
            found_call = call_of(node)
            if found_call is None:
                continue
            call, awaited = found_call
            holder = holder_of(call)
            arguments = [self.values.argument(argument) for argument in arguments_of(call)[:2]]
            name = arguments[0].string if arguments else None
            if holder is None or name is None or _NO_CLIENTS.match(_last_name(holder)):
                continue
            schema = self._schema(holder)
            if match.group(1) == b"rpc":
                self._function(call, node, schema, name, arguments[1:])
            else:
                self._table(call, node, schema, name, awaited=awaited)
        return self.calls

    def _schema(self, holder: Node) -> str | None:
        """The schema in `client.schema("billing").from(...)`."""
        holder = unwrapped(holder)
        arguments = arguments_of(holder) if called(holder) == "schema" else []
        return self.values.argument(arguments[0]).string if arguments else None

    def _function(self, call: Node, node: Node, schema: str | None, name: str, arguments: list[Argument]) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w{0,62}", name):
            return
        written, partial = function_text(schema, name, arguments)
        first, *rest = written.split(VALUE)
        numbered = first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
        _, steps = chain_above(call)
        filters = {step for step, _ in steps} - {
            "then",
            "single",
            "maybeSingle",
            "returns",
            "throwOnError",
            "abortSignal",
        }
        partial = tuple(sorted({*partial, *(EVERYTHING if filters else ())}))
        function = function_name(function_around(call))
        self.calls.append(OrmCall(self.source.location(node), "supabase", numbered, partial, None, function))

    def _table(self, call: Node, node: Node, schema: str | None, name: str, *, awaited: bool) -> None:
        known = split_name(name)
        top, steps = chain_above(call)
        if known is None or (not steps and top.parent is None):
            return
        fate = fate_of(top, awaited=awaited)
        if not steps:
            steps, fate = fate.steps, Fate([], fate.possible, fate.open, fate.sent)
        if not steps or steps[0][0] not in VERBS or not (fate.sent or "then" in {name for name, _ in steps}):
            return
        read = [self._step(step) for step in [*steps, *fate.steps]]
        model = self.models.find(known[1], self.source.file.path)
        query = read_chain(schema or known[0], known[1], read, self.models, model)
        self._finish(query, fate, node, call)

    def _finish(self, query: NamedQuery, fate: Fate, node: Node, call: Node) -> None:
        add_possible(query, {name for name, _ in fate.possible})
        query.partial |= EVERYTHING if fate.open else set()
        function = function_name(function_around(call))
        self.calls.append(query.finish(self.source.location(node), "supabase", function))

    def _step(self, step: tuple[str, Node]) -> Step:
        return Step(step[0], [self.values.argument(argument) for argument in arguments_of(step[1])], {})


def _last_name(node: Node) -> str:
    node = unwrapped(node)
    if node.type == "member_expression":
        return text(field(node, "property"))
    return called(node) or text(node)[:80]


# Generated types


def read_types(source: Source) -> list[Model]:
    """The tables in `type Database = { public: { Tables: { users: { Row, Relationships } } } }`."""
    found: list[Model] = []
    for _, node in source.found(re.compile(rb"\b(Tables)\s*:"), _PROPERTY):
        signature = node.parent
        holder = signature.parent if signature is not None else None
        schema_entry = holder.parent if holder is not None else None
        while schema_entry is not None and schema_entry.type not in ("property_signature", "type_alias_declaration"):
            schema_entry = schema_entry.parent
        if signature is None or signature.type != "property_signature" or schema_entry is None:
            continue
        schema = text(field(schema_entry, "name")).strip("'\"")
        for table, body in members_of(field(signature, "type")).items():
            row = members_of(body).get("Row")
            columns = tuple(_column(source, name, value) for name, value in members_of(row).items())
            if columns:
                relations = tuple(_relations(members_of(body).get("Relationships")))
                place = source.location(body)
                known = None if schema == "public" else schema
                found.append(Model(table, "supabase", table, place, known, columns, relations))
    return found


def _column(source: Source, name: str, node: Node) -> ModelColumn:
    written = text(node).lstrip(": ").strip()
    nullable = bool(re.search(r"\|\s*null\b", written))
    plain = re.sub(r"\s*\|\s*null\b", "", written)[:60]
    return ModelColumn(name, name, source.location(node), plain, nullable=nullable)


def _relations(node: Node | None) -> list[ModelRelation]:
    found = []
    for match in re.finditer(r"\{[^{}]*\}", text(node)):
        entry = match.group()
        name = re.search(r'foreignKeyName:\s*"([^"]+)"', entry)
        target = re.search(r'referencedRelation:\s*"([^"]+)"', entry)
        columns = re.search(r"\bcolumns:\s*\[([^\]]*)\]", entry)
        references = re.search(r"referencedColumns:\s*\[([^\]]*)\]", entry)
        if name and target and columns and references:
            own, other = (tuple(re.findall(r'"([^"]+)"', part.group(1))) for part in (columns, references))
            found.append(ModelRelation(name.group(1), target.group(1), own, other))
    return found
