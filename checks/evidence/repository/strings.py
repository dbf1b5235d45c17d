"""String expressions of any language, put together as the code puts them together, by a table of the grammar's node types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.literals import BEGINNING, Literal
from checks.evidence.repository.placeholders import HOLE, VALUE

MAXIMUM_DEPTH = 200
# A tree finds a node's parent from its root, so that what is long and nested costs the square of its length.
MAXIMUM_BEGINNINGS = 3_000
MAXIMUM_PIECES = 400
MAXIMUM_LEVELS = 600
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "", "\n": "", "\r\n": "", "$": "$"}
_AFTER = 200
# What is put into a builder of strings goes on in a way that is not read.
_BUILT = re.compile(rb"(?:\bString(?:Builder|Buffer)|\.(?:append|Append|AppendLine|AppendFormat|WriteString))\(\s*$")

_OPERATOR = re.compile(r"[=<>]\s*'?$")
# In Ruby: a constant, the number of an enum's value, the key of a record, and the time: nobody from outside writes these.
_OF_THE_APPLICATION = re.compile(
    r"#\{\s*(?:(?:[A-Z]\w*::)*(?:[A-Z][A-Z0-9_]*|[A-Z]\w*\.\w+\[:?\w+\])"
    r"|(?!(?:params|request|input|args|body|query|payload|data)\b)@?[a-z_]\w*\.id|(?:Time|Date|DateTime)\.(?:now|current|today|zone)\b[^}]*)\s*\}"
)


class Syntax(NamedTuple):
    """Node types of one language. `strings` are whole literals, `pieces` their text, `holes` what is put in at run time;
    `sums` the operators that put strings together, `adjacent` literals that stand side by side, `wrappers` parentheses.
    `declarations` give `names` their value, `fixed` tells by its code which of them are constants. `formats` is what stands
    before or behind a string that is a template of `fields`. `plain` are methods that leave the words of a string as they are.
    `parameters` stands before a string whose holes are values, `other_language` before one that is no SQL; `tests` begins what is
    not read any more. `qualified` nodes end with the name of a constant."""

    strings: frozenset[str]
    pieces: frozenset[str]
    holes: frozenset[str]
    sums: Mapping[str, str]
    names: frozenset[str] = frozenset(["identifier"])
    qualified: frozenset[str] = frozenset()
    adjacent: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset(["parenthesized_expression"])
    declarations: frozenset[str] = frozenset()
    fixed: re.Pattern[bytes] | None = None
    formats: tuple[re.Pattern[bytes], re.Pattern[bytes]] | None = None
    fields: re.Pattern[str] | None = None
    plain: re.Pattern[bytes] | None = None
    parameters: re.Pattern[bytes] | None = None
    other_language: re.Pattern[bytes] | None = None
    tests: re.Pattern[bytes] | None = None


class StringReader:
    """Reads the string expressions of one parsed file."""

    def __init__(self, source: bytes, root: Node, syntax: Syntax) -> None:
        self.source = source
        self.root = root
        self.syntax = syntax
        self._constants: dict[str, Node | None] | None = None

    def literals(self) -> Iterator[Literal]:
        """Every string expression that begins as a statement does, in the order of the file. A file's own constants are put in
        where their names stand."""
        tops = self._tops(match.start("verb") for match in BEGINNING.finditer(self.source, 0, self._end))
        names = {name for top in tops.values() if (name := self._name_of(top)) and self.constants.get(name) is not None}
        if names:
            pattern = re.compile(rb"\b(?:" + "|".join(map(re.escape, sorted(names))).encode() + rb")\b")
            places = (match.start() for match in pattern.finditer(self.source, 0, self._end))
            tops |= self._tops(place for place in places if self._begins_sum(place))
        for _, top in sorted(tops.items()):
            literal = None if self.is_left_out(top) else self.literal(top)
            if literal is not None:
                yield literal

    @property
    def _end(self) -> int:
        match = self.syntax.tests.search(self.source) if self.syntax.tests is not None else None
        return len(self.source) if match is None else match.start()

    def _tops(self, positions: Iterable[int]) -> dict[tuple[int, int], Node]:
        """By their range the string expressions that begin at those places."""
        found: dict[tuple[int, int], Node] = {}
        behind = 0
        for position in islice(positions, MAXIMUM_BEGINNINGS):
            string = self._string_around(self._node_at(position))
            top = self.top(string) if string is not None else None
            if top is not None:
                found.setdefault((top.start_byte, -top.end_byte), top)
            elif string is not None:
                behind += 1
                if behind > MAXIMUM_PIECES:
                    break
        return found

    def _node_at(self, position: int) -> Node | None:
        """The smallest node there; None where it is nested too deep."""
        cursor = self.root.walk()
        for _ in range(MAXIMUM_LEVELS):
            if cursor.goto_first_child_for_byte(position) is None:
                return self.root.descendant_for_byte_range(position, position)
        return None

    def _begins_sum(self, position: int) -> bool:
        node = self._node_at(position)
        if node is None or node.type not in self.syntax.names:
            return False
        parent = node.parent
        return parent is not None and (self.is_sum(parent) or parent.type in self.syntax.holes)

    def _name_of(self, value: Node) -> str | None:
        """The name that a declaration gives the value."""
        node = value.parent
        for _ in range(4):
            if node is None:
                return None
            if node.type in self.syntax.declarations:
                return self._declared_name(node)
            node = node.parent
        return None

    def _string_around(self, node: Node | None) -> Node | None:
        for _ in range(6):
            if node is None or node.type in self.syntax.strings:
                return node
            if node.type in self.syntax.names and node.parent is not None and self.is_sum(node.parent):
                return node
            node = node.parent
        return None

    def is_left_out(self, top: Node) -> bool:
        """Whether the text is of a query language that is not SQL."""
        pattern = self.syntax.other_language
        return pattern is not None and pattern.search(self.before(top)) is not None

    def before(self, node: Node) -> bytes:
        return self.source[max(0, node.start_byte - _AFTER) : node.start_byte]

    def top(self, node: Node) -> Node | None:
        """The whole expression that the string begins; None if it stands further behind in one, or that is too long."""
        for _ in range(MAXIMUM_PIECES):
            outer = self.outer(node)
            if outer is None:
                return node
            if outer.start_byte != node.start_byte and self.is_sum(outer):
                return None
            node = outer
        return None

    def outer(self, node: Node) -> Node | None:
        """The next larger string expression that the node is a part of."""
        parent = node.parent
        if parent is None:
            return None
        if self.is_sum(parent) or parent.type in self.syntax.adjacent or parent.type in self.syntax.wrappers:
            return parent
        return self._plain_call(node, parent)

    def _plain_call(self, node: Node, outer: Node | None) -> Node | None:
        """The call around a string that leaves its words as they are: `"...".freeze`."""
        match = self.syntax.plain.match(self.source, node.end_byte) if self.syntax.plain is not None else None
        while match is not None and outer is not None and outer.end_byte <= match.end():
            if outer.end_byte == match.end() and outer.start_byte == node.start_byte:
                return outer
            outer = outer.parent
        return None

    def is_sum(self, node: Node) -> bool:
        wanted = self.syntax.sums.get(node.type)
        if wanted is None:
            return False
        operator = node.child_by_field_name("operator")
        return operator is not None and operator.type == wanted

    def literal(self, top: Node) -> Literal | None:
        """The expression as text, if it is one of strings."""
        text = self.text(top)
        if text is None:
            return None
        if _BUILT.search(self.before(top)):
            text = f"{text} {HOLE}"
        return Literal(text, self.first_line(top))

    def first_line(self, top: Node) -> int:
        """The line on which the text of the expression begins."""
        current = top
        while current.type not in self.syntax.strings and current.named_children:
            current = next(
                (child for child in current.named_children if child.type != "comment"), current.named_children[0]
            )
        if current.type in self.syntax.strings:
            current = next((child for child in self.parts(current) if child.is_named), current)
        return current.start_point.row + 1

    def text(self, node: Node, depth: int = 0) -> str | None:
        """The text of a string expression; None if the node is none."""
        if depth > MAXIMUM_DEPTH:
            return None
        if node.type in self.syntax.strings:
            return self.formatted(node, self.string(node, depth))
        if node.type in self.syntax.adjacent:
            parts = [child for child in node.named_children if child.type in self.syntax.strings]
            return "".join(self.string(child, depth) for child in parts)
        if node.type in self.syntax.wrappers:
            inner = [child for child in node.named_children if child.type != "comment"]
            return self.text(inner[0], depth + 1) if len(inner) == 1 else None
        if self.is_sum(node):
            return self.sum(node, depth)
        return self._innertext_of(node, depth)

    def _innertext_of(self, node: Node, depth: int) -> str | None:
        """The string that a call of a plain method is made on."""
        if self.syntax.plain is None:
            return None
        inner = node.children[0] if node.children else None
        for _ in range(4):
            if inner is None:
                return None
            if self._plain_call(inner, node) == node:
                return self.text(inner, depth + 1)
            inner = inner.children[0] if inner.children else None
        return None

    def sum(self, node: Node, depth: int) -> str | None:
        """`a + b + c`, read from the right end: such chains nest to the left, and may be long."""
        parts: list[str | None] = []
        current: Node | None = node
        while current is not None and self.is_sum(current):
            right = current.child_by_field_name("right")
            parts.append(self.part(right, depth) if right is not None else None)
            current = current.child_by_field_name("left")
        parts.append(self.part(current, depth) if current is not None else None)
        if all(part is None for part in parts):
            return None
        return "".join(HOLE if part is None else part for part in reversed(parts))

    def part(self, node: Node, depth: int) -> str | None:
        if node.type in self.syntax.qualified and node.named_children:
            node = node.named_children[-1]
        if node.type in self.syntax.names:
            return self.constant(text_of(node), depth)
        return self.text(node, depth + 1)

    def parts(self, string: Node) -> list[Node]:
        """What a literal consists of."""
        bodies = [child for child in string.named_children if child.type.endswith("_body")]
        return bodies[0].children if bodies else string.children

    def string(self, node: Node, depth: int) -> str:
        """The text of one literal."""
        found: list[str] = []
        pieces = False
        for child in self.parts(node):
            if child.type in self.syntax.pieces:
                found.append(text_of(child))
                pieces = True
            elif child.type == "escape_sequence":
                found.append(unescaped(text_of(child)))
                pieces = True
            elif child.type in self.syntax.holes:
                found.append(self.hole(node, child, found, depth))
                pieces = True
        if not pieces:
            return self.undivided(node)
        return "".join(found)

    def undivided(self, node: Node) -> str:
        """The text of a literal that the grammar leaves whole."""
        code = text_of(node)
        return code[2:-1].replace('""', '"') if code[:2] == '@"' else ""

    def hole(self, string: Node, node: Node, before: list[str], depth: int) -> str:
        """What stands for a part that is put in at run time."""
        inner = [child for child in node.named_children if child.type in self.syntax.names | self.syntax.qualified]
        if len(inner) == 1 and (known := self.part(inner[0], depth)) is not None:
            return known
        if self.syntax.parameters is not None and self.syntax.parameters.search(self.before(string)):
            return VALUE
        if _OPERATOR.search("".join(before[-2:])) and _OF_THE_APPLICATION.fullmatch(text_of(node)):
            return VALUE
        return HOLE

    def formatted(self, node: Node, text: str) -> str:
        """The text with holes for the fields of a template."""
        formats, fields = self.syntax.formats, self.syntax.fields
        if formats is None or fields is None:
            return text
        if formats[0].search(self.before(node)) or formats[1].match(self.source, node.end_byte):
            return fields.sub(lambda match: match.group()[0] if match.group() in ("%%", "{{", "}}") else HOLE, text)
        return text

    def hole_named(self, name: str, depth: int) -> str:
        """What stands for a name that is put in: the constant's text, or a hole."""
        known = self.constant(name, depth)
        return HOLE if known is None else known

    # Constants

    @property
    def constants(self) -> dict[str, Node | None]:
        """Names that the file gives a value once; None for those it gives several."""
        if self._constants is None:
            self._constants = {}
            for node in self.declared_nodes():
                self._declare(node)
        return self._constants

    def declared_nodes(self) -> list[Node]:
        """The declarations whose names are good for the whole file."""
        found: list[Node] = []
        pending = [self.root]
        while pending:
            node = pending.pop()
            if node.type in self.syntax.declarations:
                found.append(node)
            elif node.end_byte - node.start_byte > 8:
                pending += node.named_children
        return found

    def _declare(self, node: Node) -> None:
        name, value = self._declared_name(node), self.declared_value(node)
        if name is None or value is None or self._constants is None:
            return
        known = self._constants
        code = self.source[max(0, node.start_byte - 100) : node.start_byte + 60]
        fixed = self.syntax.fixed is None or self.syntax.fixed.search(code) is not None
        known[name] = value if fixed and name not in known else None

    def _declared_name(self, node: Node) -> str | None:
        known = node.child_by_field_name("name") or node.child_by_field_name("left")
        for start in [known] if known is not None else node.named_children[:3]:
            current: Node | None = start
            while current is not None and current.type not in self.syntax.names:
                current = next(iter(current.named_children), None)
            if current is not None:
                return text_of(current)
        return None

    def declared_value(self, node: Node) -> Node | None:
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        value = value or (node.named_children[-1] if len(node.named_children) > 1 else None)
        if value is not None and value.type == "expression_list" and len(value.named_children) == 1:
            value = value.named_children[0]
        return value

    def constant(self, name: str, depth: int) -> str | None:
        value = self.constants.get(name)
        return self.text(value, depth + 20) if value is not None else None


def unescaped(escape: str) -> str:
    r"""What an escape sequence stands for, of those that matter in SQL: `\n`, `\t`, quotes, a line that goes on."""
    rest = escape[1:]
    return _ESCAPES.get(rest, rest if len(rest) == 1 else " ")


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
