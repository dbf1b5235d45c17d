"""Calls of supabase-py and postgrest-py."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery, split_name
from checks.evidence.repository.orm.postgrest_calls import VERBS, Step, add_possible, function_text, read_chain
from checks.evidence.repository.orm.python_chains import call_of, chain_above, holder_of, mentions_of
from checks.evidence.repository.orm.python_syntax import arguments_of
from checks.evidence.repository.orm.query import EVERYTHING, VALUE
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, unwrapped

CANDIDATE = re.compile(r"\.\s*(?:table|from_|rpc)\(\s*[frb]?[\"'A-Z_a-z]")
_CALLS = re.compile(rb"\.\s*(table|from_|rpc)\s*\(")
_IDENTIFIER = frozenset(["identifier"])
_STRING = re.compile(r"""^([A-Z_][A-Z0-9_]*)\s*(?::\s*[\w.]+\s*)?=\s*(['"])([\w.]{1,63})\2\s*(?:#.*)?$""", re.MULTILINE)
_MAXIMUM_DEPTH = 6
_MAXIMUM_MENTIONS = 60

_Node = tuple[str, Node]


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.constants = {match.group(1): match.group(3) for match in _STRING.finditer(source.file.text)}
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALLS, _IDENTIFIER):
            call = call_of(node)
            arguments, keywords = arguments_of(call)
            name = self.argument(arguments[0]).string if arguments else None
            holder = holder_of(call) if call is not None else None
            if call is None or holder is None or name is None or text(holder).endswith("storage"):
                continue
            schema = self._schema(holder)
            if match.group(1) == b"rpc":
                given = arguments[1] if len(arguments) > 1 else keywords.get("params")
                self._function(call, node, schema, name, [self.argument(given)] if given is not None else [])
            else:
                self._table(call, node, schema, name)
        return self.calls

    def _schema(self, holder: Node) -> str | None:
        if holder.type != "call" or text(field(field(holder, "function") or holder, "attribute")) != "schema":
            return None
        arguments, _ = arguments_of(holder)
        return self.argument(arguments[0]).string if arguments else None

    def _function(self, call: Node, node: Node, schema: str | None, name: str, arguments: list[Argument]) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w{0,62}", name):
            return
        _, steps = _chain(call)
        written, partial = function_text(schema, name, arguments)
        first, *rest = written.split(VALUE)
        numbered = first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
        filters = {step for step, _ in steps} - {"execute", "single", "maybe_single"}
        partial = tuple(sorted({*partial, *(EVERYTHING if filters else ())}))
        self.calls.append(
            OrmCall(
                self.source.location(node), "supabase", numbered, partial, None, function_name(function_around(call))
            )
        )

    def _table(self, call: Node, node: Node, schema: str | None, name: str) -> None:
        known = split_name(name)
        top, steps = _chain(call)
        possible: set[str] = set()
        is_open = False
        if known is None:
            return
        if "execute" not in {step for step, _ in steps}:
            followed = _followed(top)
            if followed is None:
                return
            steps, possible, is_open = [*steps, *followed[0]], followed[1], followed[2]
        if not steps or steps[0][0] not in VERBS:
            return
        model = self.models.find(known[1], self.source.file.path)
        read = [self._step(step) for step in steps]
        query = read_chain(schema or known[0], known[1], read, self.models, model)
        add_possible(query, possible)
        query.partial |= EVERYTHING if is_open else set()
        self._finish(query, node, call)

    def _finish(self, query: NamedQuery, node: Node, call: Node) -> None:
        function = function_name(function_around(call))
        self.calls.append(query.finish(self.source.location(node), "supabase", function))

    def _step(self, step: _Node) -> Step:
        positional, keywords = arguments_of(step[1])
        return Step(
            step[0],
            [self.argument(argument) for argument in positional],
            {name: self.argument(value) for name, value in keywords.items()},
        )

    def argument(self, node: Node, depth: int = 0) -> Argument:
        node = unwrapped(node)
        code = text(node)[:100]
        if depth > _MAXIMUM_DEPTH:
            return Argument(code)
        if node.type == "identifier":
            if code in self.constants:
                return Argument(code, self.constants[code])
            value = _assigned(node)
            return self.argument(value, depth + 1) if value is not None else Argument(code)
        if node.type == "list":
            return Argument(code, elements=tuple(self.argument(entry, depth + 1) for entry in named(node)[:20]))
        if node.type == "list_comprehension":
            return self.argument(field(node, "body") or node, depth + 1)
        if node.type == "dictionary":
            entries: dict[str, Argument] = {}
            whole = True
            for pair in named(node):
                key = self.argument(field(pair, "key") or pair, depth + 1).string if pair.type == "pair" else None
                value = field(pair, "value")
                if key is None or value is None:
                    whole = False
                else:
                    entries[key] = self.argument(value, depth + 1)
            return Argument(code, entries=entries, whole=whole)
        return Argument(code, _shape(node, depth))


def _shape(node: Node, depth: int) -> str | None:
    """The text of a string, with a VALUE for each part put in."""
    if node.type == "concatenated_string" and depth < _MAXIMUM_DEPTH:
        return "".join(_shape(child, depth + 1) or "" for child in named(node))
    if node.type != "string":
        return None
    parts = [
        VALUE if child.type == "interpolation" else text(child)
        for child in node.children
        if child.type in ("interpolation", "string_content")
    ]
    return "".join(parts)


def _chain(call: Node) -> tuple[Node, list[_Node]]:
    """The outermost call of the chain and the steps between; one behind `.not_` is called `not.` and its name."""
    top, steps = chain_above(call)
    while top.parent is not None and top.parent.type == "attribute" and text(field(top.parent, "attribute")) == "not_":
        negated = _steps_from(top.parent)
        if not negated:
            break
        steps += negated
        top = negated[-1][1]
    return top, steps


def _assigned(node: Node) -> Node | None:
    """The list, dictionary or string that the function assigns to the name just once and does not change."""
    function = function_around(node)
    if function is None:
        return None
    name = text(node)
    mentions = mentions_of(function).get(name, [])
    values = [mention for mention in mentions if mention.type == "assignment"]
    if len(values) != 1 or values[0].start_byte > node.start_byte:
        return None
    value = field(values[0], "right")
    if value is None or value.type not in ("list", "dictionary", "string", "concatenated_string"):
        return None
    for mention in mentions:
        parent = mention.parent
        if (
            parent is not None
            and parent.type == "subscript"
            and parent.parent is not None
            and parent.parent.type == "assignment"
        ):
            return None
        if parent is not None and parent.type == "attribute" and field(parent, "object") == mention:
            return None
    return value


def _followed(top: Node) -> tuple[list[_Node], set[str], bool] | None:
    """What happens to a statement kept in a variable: steps that certainly follow, names of those that may, and whether
    anything else may; None if it is not seen to be sent."""
    parent = top.parent
    while parent is not None and parent.type in ("parenthesized_expression", "await"):
        parent = parent.parent
    if parent is None or parent.type != "assignment":
        return ([], set(), True) if parent is not None and parent.type == "return_statement" else None
    left, function = field(parent, "left"), function_around(top)
    if left is None or left.type != "identifier" or function is None:
        return None
    name = text(left)
    statement = parent.parent
    block = statement.parent if statement is not None else None
    mentions = [node for node in mentions_of(function).get(name, []) if node.type == "identifier"]
    mentions = [node for node in mentions if node.start_byte > parent.end_byte]
    if len(mentions) > _MAXIMUM_MENTIONS:
        return [], set(), True
    certain: list[_Node] = []
    possible: set[str] = set()
    is_open, sent = False, 0
    for node in mentions:
        outer = node.parent
        if outer is None:
            continue
        if outer.type == "attribute" and field(outer, "object") == node:
            steps = _steps_from(outer)
            sent += any(step == "execute" for step, _ in steps)
            if _block_of(node) == block:
                certain += steps
            else:
                possible |= {step for step, _ in steps}
        elif outer.type == "argument_list" or outer.type == "return_statement":
            is_open, sent = True, sent + 1
        elif outer.type == "assignment" and field(outer, "left") == node:
            value = field(outer, "right")
            is_open |= value is None or not text(value).lstrip("(").lstrip().startswith((name, "await"))
            if is_open:
                break
    return (certain, possible, is_open or sent > 1) if sent else None


def _steps_from(attribute: Node) -> list[_Node]:
    """The calls that begin with `name.step(...)`, also through `.not_`."""
    parent = attribute.parent
    while parent is not None and parent.type == "attribute":
        attribute, parent = parent, parent.parent
    if parent is None or parent.type != "call" or field(parent, "function") != attribute:
        return []
    _, steps = _chain(parent)
    negated = text(field(field(attribute, "object") or attribute, "attribute")) == "not_"
    name = text(field(attribute, "attribute"))
    return [(f"not.{name}" if negated else name, parent), *steps]


def _block_of(node: Node) -> Node | None:
    current = node.parent
    while current is not None and current.type not in ("block", "module"):
        current = current.parent
    return current
