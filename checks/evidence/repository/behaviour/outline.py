"""The outline of a source file: its functions, loops and calls, in one form for Python, TypeScript and JavaScript."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cache, cached_property
from typing import NamedTuple

from tree_sitter import Language, Node, Query, QueryCursor

from checks.evidence.repository.behaviour.nesting import Nesting
from checks.evidence.repository.orm.syntax import Source, field, function_name, named, text

MAXIMUM_CALLS = 5_000

_PYTHON = """
(call) @call
[(function_definition) (lambda)] @function
[(for_statement) (while_statement) (list_comprehension) (set_comprehension) (dictionary_comprehension)
 (generator_expression)] @loop
(with_statement) @with
(class_definition) @class
(try_statement) @try
(if_statement) @if
"""
_SCRIPT = """
[(call_expression) (new_expression)] @call
[(function_declaration) (generator_function_declaration) (arrow_function) (method_definition) (function_expression)] @function
[(for_statement) (for_in_statement) (while_statement) (do_statement)] @loop
[(class_declaration) (class)] @class
(try_statement) @try
(if_statement) @if
"""
_CALLBACK_LOOPS = frozenset("map forEach flatMap filter reduce some every find".split())
# A function handed to one of these runs before the call returns, or as part of it.
_RUNS_AT_ONCE = _CALLBACK_LOOPS | frozenset(
    "transaction $transaction begin limit run retry pRetry withRetry all allSettled then catch step try tryCatch "
    "startActiveSpan withSpan trace instrumentAsync pTimeout to_thread run_in_executor run_in_threadpool run_sync".split()
)
_LEAVING = frozenset("return_statement break_statement continue_statement raise_statement throw_statement".split())
_SPELLED = re.compile(
    r"(?<![\w$.])([A-Za-z_$][\w$]*)[ \t]*(?::[^=\n]{1,100})?=[ \t]*[\[({]\s*(?:[\"'`]|-?\d|\{\s*\w+\s*:\s*[\"'`])"
)
_SPACE = re.compile(r"\s+")


class Call(NamedTuple):
    """`callee` is the text of what is called without white space, `name` its last part; `line` is where that name stands."""

    node: Node
    start: int
    end: int
    callee: str
    name: str
    line: int

    @property
    def holder(self) -> str:
        return self.callee[: -len(self.name)].rstrip(".?!") if self.callee.endswith(self.name) else ""


class Function(NamedTuple):
    """`argument_of` is the name of the call that gets it as an argument. `head` is its code up to the body, with decorators."""

    node: Node
    start: int
    end: int
    name: str | None
    argument_of: str | None
    head: str


class Loop(NamedTuple):
    """`start` and `end` hold what is done again and again, without the head; `over` is what the head goes through, or its
    condition."""

    kind: str
    start: int
    end: int
    line: int
    over: str
    variable: str = ""


class Outline:
    """Read when first asked for, so that a file of which little is asked costs little."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path = source.file.path
        self.is_python = source.file.extension == "py"
        query = _query(self.is_python, source.language)
        self._found = QueryCursor(query).captures(source.root)

    def slice(self, start: int, end: int) -> str:
        return self.source.bytes[start:end].decode("utf-8", "replace")

    def text(self, node: Node | None) -> str:
        return self.slice(node.start_byte, node.end_byte) if node is not None else ""

    @cached_property
    def calls(self) -> list[Call]:
        """The first 5,000 calls, by where they start."""
        nodes = sorted(self._found.get("call", []), key=lambda node: (node.start_byte, -node.end_byte))
        return [call for node in nodes[:MAXIMUM_CALLS] if (call := self._call(node)) is not None]

    @cached_property
    def functions(self) -> list[Function]:
        return sorted(map(self._function, self._found.get("function", [])), key=lambda entry: (entry.start, -entry.end))

    @cached_property
    def classes(self) -> list[tuple[int, int]]:
        spans = [(node.start_byte, node.end_byte) for node in self._found.get("class", [])]
        return sorted(spans, key=lambda span: (span[0], -span[1]))

    @cached_property
    def loops(self) -> list[Loop]:
        found = [loop for node in self._found.get("loop", []) for loop in self._loops(node)]
        if not self.is_python:
            found += [loop for function in self.functions if (loop := self._callback(function)) is not None]
        return sorted(found, key=lambda loop: (loop.start, -loop.end))

    @property
    def withs(self) -> list[Node]:
        return self._found.get("with", [])

    @property
    def ifs(self) -> list[Node]:
        return self._found.get("if", [])

    @property
    def tries(self) -> list[Node]:
        return self._found.get("try", [])

    # Where things stand

    @cached_property
    def _starts(self) -> list[int]:
        return [call.start for call in self.calls]

    @cached_property
    def _by_line(self) -> dict[int, list[Call]]:
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            found.setdefault(call.line, []).append(call)
        return found

    def calls_at(self, line: int) -> list[Call]:
        return self._by_line.get(line, [])

    def calls_within(self, start: int, end: int) -> list[Call]:
        chosen = self.calls[bisect_left(self._starts, start) : bisect_right(self._starts, end)]
        return [call for call in chosen if call.end <= end]

    @cached_property
    def _nested_calls(self) -> Nesting:
        return Nesting((call.start, call.end) for call in self.calls)

    @cached_property
    def _nested_functions(self) -> Nesting:
        return Nesting((function.start, function.end) for function in self.functions)

    @cached_property
    def _nested_loops(self) -> Nesting:
        return Nesting((loop.start, loop.end) for loop in self.loops)

    @cached_property
    def _nested_classes(self) -> Nesting:
        return Nesting(self.classes)

    def calls_around(self, offset: int) -> Iterator[Call]:
        """From the innermost outwards, like the others."""
        return (self.calls[number] for number in self._nested_calls.around(offset))

    def functions_around(self, offset: int) -> list[Function]:
        return [self.functions[number] for number in self._nested_functions.around(offset)]

    def loops_around(self, offset: int) -> list[Loop]:
        return [self.loops[number] for number in self._nested_loops.around(offset)]

    def function_at(self, offset: int) -> Function | None:
        """The named function around the place, else the innermost."""
        around = self.functions_around(offset)
        return next((entry for entry in around if entry.name), around[0] if around else None)

    def class_at(self, offset: int) -> tuple[int, int] | None:
        return next((self.classes[number] for number in self._nested_classes.around(offset)), None)

    def runs_within(self, start: int, offset: int) -> bool:
        """Whether what stands at `offset` runs when the code around `start` does: no function made between the two is kept
        for later."""
        return all(entry.start < start or entry.argument_of in _RUNS_AT_ONCE for entry in self.functions_around(offset))

    @cached_property
    def spelled_lists(self) -> set[str]:
        """The names that the file gives to lists of constants."""
        return set(_SPELLED.findall(self.source.file.text))

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of each line, the first one being line 1."""
        return [0, *(match.end() for match in re.finditer(rb"\n", self.source.bytes))]

    def line_of(self, offset: int) -> int:
        return bisect_right(self.line_starts, offset)

    # Reading

    def _call(self, node: Node) -> Call | None:
        function = field(node, "constructor" if node.type == "new_expression" else "function")
        if function is None:
            return None
        last = function
        if function.type in ("attribute", "member_expression"):
            last = field(function, "attribute" if function.type == "attribute" else "property") or function
        callee = _SPACE.sub("", self.slice(max(function.start_byte, last.end_byte - 400), last.end_byte))
        name = self.text(last) if last.end_byte - last.start_byte < 100 else ""
        return Call(node, node.start_byte, node.end_byte, callee, name, last.start_point.row + 1)

    def _function(self, node: Node) -> Function:
        parent = node.parent
        argument_of = None
        if parent is not None and parent.type in ("arguments", "argument_list") and parent.parent is not None:
            callee = field(parent.parent, "function")
            if callee is not None and callee.type in ("attribute", "member_expression"):
                callee = field(callee, "attribute" if callee.type == "attribute" else "property")
            argument_of = self.text(callee)[-60:] if callee is not None else None
        elif parent is not None and parent.type == "parenthesized_expression":
            argument_of = "run"
        body = field(node, "body")
        start = node.start_byte
        if parent is not None and parent.type in ("decorated_definition", "export_statement"):
            start = parent.start_byte
        head = self.slice(start, min(body.start_byte if body is not None else node.end_byte, start + 2_000))
        name = function_name(node) or self._declared_by(parent)
        return Function(node, node.start_byte, node.end_byte, name, argument_of, head)

    def _declared_by(self, arguments: Node | None) -> str | None:
        """`POST` in `export const POST = withAuth(async (request) => ...)`."""
        call = arguments.parent if arguments is not None and arguments.type == "arguments" else None
        declaration = call.parent if call is not None else None
        if declaration is None or declaration.type != "variable_declarator" or declaration.parent is None:
            return None
        exported = declaration.parent.parent
        is_outermost = exported is not None and exported.type in ("export_statement", "program")
        return self.text(field(declaration, "name"))[:100] or None if is_outermost else None

    def _loops(self, node: Node) -> Iterator[Loop]:
        line = node.start_point.row + 1
        body = field(node, "body")
        if body is None:
            return
        if node.type in ("for_statement", "for_in_statement") and (over := field(node, "right")) is not None:
            yield Loop("for", body.start_byte, body.end_byte, line, self.text(over), self.text(field(node, "left")))
        elif node.type == "for_statement":
            condition, step = field(node, "condition"), field(node, "increment")
            yield Loop("count", body.start_byte, body.end_byte, line, f"{self.text(condition)} {self.text(step)}")
        elif node.type in ("while_statement", "do_statement"):
            yield Loop("while", body.start_byte, body.end_byte, line, self.text(field(node, "condition")))
        else:
            yield from self._comprehension(node, body, line)

    def _comprehension(self, node: Node, body: Node, line: int) -> Iterator[Loop]:
        clauses = [child for child in named(node) if child.type == "for_in_clause"]
        if clauses:
            over = self.text(field(clauses[0], "right"))
            variable = self.text(field(clauses[0], "left"))
            yield Loop("comprehension", body.start_byte, body.end_byte, line, over, variable)
            yield Loop("comprehension", clauses[0].end_byte, node.end_byte, line, over, variable)

    def _callback(self, function: Function) -> Loop | None:
        """What `items.map(async (item) => ...)` does for each item."""
        if function.argument_of not in _CALLBACK_LOOPS or function.node.parent is None:
            return None
        call = function.node.parent.parent
        callee = field(call, "function") if call is not None else None
        body = field(function.node, "body")
        if callee is None or callee.type != "member_expression" or body is None or call is None:
            return None
        name = field(callee, "property")
        line = (name or call).start_point.row + 1
        over = self.text(field(callee, "object"))
        parameters = self.text(field(function.node, "parameters") or field(function.node, "parameter"))
        return Loop("callback", body.start_byte, body.end_byte, line, over, parameters)


@cache
def _query(is_python: bool, language: Language) -> Query:
    return Query(language, _PYTHON if is_python else _SCRIPT)


def first_argument(call: Call) -> Node | None:
    return next(iter(named(field(call.node, "arguments"))), None)


def keyword_of(call: Call, name: str) -> str | None:
    """The code of a keyword argument."""
    for argument in named(field(call.node, "arguments")):
        if argument.type == "keyword_argument" and text(field(argument, "name")) == name:
            return text(field(argument, "value"))
    return None


def leaves(branch: Node | None) -> bool:
    """Whether a branch ends with leaving what stands around it."""
    if branch is None or branch.type in _LEAVING:
        return branch is not None
    last = next((child for child in reversed(branch.named_children) if child.type != "comment"), None)
    return last is not None and last.type in _LEAVING
