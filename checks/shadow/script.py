"""The statements of a pg_dump script: where each ends, what it makes, and which of them belong into a shadow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.tokens import Kind, Token, significant, tokens

UNSAFE = "left out of every shadow, because it could reach beyond the server"

_NOT_HERE = frozenset(
    ("event trigger", "server", "user mapping", "subscription", "publication", "foreign data wrapper", "tablespace",
     "database", "role", "user", "group", "system", "default privileges", "language", "transform", "trigger")
)  # fmt: skip
_UNNAMED = frozenset(("publication", "default privileges", "trigger", "database", "role", "user", "group"))
_MODIFIERS = frozenset(
    ("or", "replace", "unique", "unlogged", "temp", "temporary", "foreign", "materialized", "recursive", "trusted",
     "procedural", "constraint", "event", "user", "access", "operator", "default", "text", "search", "concurrently",
     "global", "local")
)  # fmt: skip
_KINDS = frozenset(
    ("table", "view", "index", "sequence", "type", "domain", "function", "procedure", "aggregate", "schema", "extension",
     "collation", "conversion", "cast", "class", "family", "operator", "statistics", "policy", "rule", "trigger", "server",
     "mapping", "subscription", "publication", "wrapper", "tablespace", "database", "role", "group", "system", "privileges",
     "language", "transform", "method", "configuration", "dictionary", "parser", "template", "routine", "user")
)  # fmt: skip
_TWO_WORDS = {
    "class": "operator class", "family": "operator family", "mapping": "user mapping", "wrapper": "foreign data wrapper",
    "privileges": "default privileges", "method": "access method",
}  # fmt: skip


class Statement(NamedTuple):
    """One CREATE or ALTER. `path` is the raw name of what it is about, `table` that of the table behind an index, policy, rule or
    constraint, else None; `unsafe` marks what has no business on the reviewer's machine."""

    text: str
    verb: str
    kind: str
    path: tuple[str, ...]
    table: tuple[str, ...] | None
    unsafe: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read_script(text: str) -> Iterator[Statement]:
    """The CREATE and ALTER statements of a script by pg_dump; settings and commands of psql are left out."""
    for part in split(text):
        if (statement := _statement(part)) is not None:
            yield statement


def split(text: str) -> Iterator[str]:
    """The statements of a script, without their semicolons. Bodies in standard SQL (BEGIN ATOMIC ... END) stay whole, as psql has
    it; lines that begin with a backslash between statements are commands of psql and are left out."""
    start, depth, blocks = 0, 0, 0
    first: list[str] = []
    begun = False
    position = 0
    while position < len(text):
        restarted = False
        for token in tokens(text, position):
            if token.kind in (Kind.SPACE, Kind.COMMENT):
                continue
            if not begun:
                start, begun, first, depth, blocks = token.start, True, [], 0, 0
                if token.text == "\\":
                    end = text.find("\n", token.start)
                    position = len(text) if end < 0 else end + 1
                    begun, restarted = False, True
                    break
            if token.kind is Kind.WORD and len(first) < 4:
                first.append(token.text.lower())
            if token.text == "(":
                depth += 1
            elif token.text == ")":
                depth = max(0, depth - 1)
            elif token.kind is Kind.WORD and first[:1] == ["create"] and {"function", "procedure"} & set(first):
                word = token.text.lower()
                if word == "begin" or (word == "case" and blocks):
                    blocks += 1
                elif word == "end" and blocks:
                    blocks -= 1
            elif token.text == ";" and depth == 0 and blocks == 0:
                yield text[start : token.start]
                begun = False
        if not restarted:
            break
    if begun and text[start:].strip():
        yield text[start:]


def _statement(text: str) -> Statement | None:
    found = significant(text[:4000])
    if len(found) < 3 or found[0].text.lower() not in ("create", "alter"):
        return None
    words = [token.text.lower() if token.kind is Kind.WORD else "" for token in found]
    position = 1
    while position < len(found) and words[position] in _MODIFIERS and words[position + 1 : position + 2] != ["("]:
        if words[position] in _KINDS and words[position] not in ("user", "operator"):
            break
        if words[position] in ("user", "operator") and words[position + 1 : position + 2] not in (
            ["mapping"], ["class"], ["family"],
        ):  # fmt: skip
            break
        position += 1
    if position >= len(found) or words[position] not in _KINDS:
        return None
    kind = _TWO_WORDS.get(words[position], words[position])
    if kind == "trigger" and "event" in words[:position]:
        kind = "event trigger"
    # A view that is written by an INSTEAD OF trigger cannot be planned without it.
    unsafe = kind in _NOT_HERE and not (kind == "trigger" and "instead" in words[:12])
    position += 1
    while words[position : position + 1] and words[position] in ("only", "if", "not", "exists"):
        position += 1
    path, position = _name(found, position)
    table = None
    if kind in ("index", "policy", "rule", "trigger", "statistics"):
        marker = "from" if kind == "statistics" else "to" if kind == "rule" else "on"
        for at in range(position, len(found) - 1):
            if words[at] == marker:
                after = at + 2 if words[at + 1] == "only" else at + 1
                table = _name(found, after)[0] or None
                break
    elif kind == "table":
        table = path
    return Statement(text, words[0], kind, path, table, unsafe)


def is_told(statement: Statement) -> bool:
    """Whether leaving it out is worth telling: a publication or a trigger changes no plan."""
    return statement.kind not in _UNNAMED


def _name(found: list[Token], position: int) -> tuple[tuple[str, ...], int]:
    """The raw identifiers of a dotted name, and where it ends."""
    path: list[str] = []
    while position < len(found) and found[position].kind in (Kind.WORD, Kind.QUOTED):
        text = found[position].text
        path.append(text[1:-1].replace('""', '"') if found[position].kind is Kind.QUOTED else text.lower())
        position += 1
        if position < len(found) and found[position].text == ".":
            position += 1
            continue
        break
    return tuple(path), position


def without_parameter(text: str, parameter: str) -> str:
    """A statement without that storage parameter."""
    value = r"(?:'[^']*'|[A-Za-z0-9_.+-]+)"
    removed = re.sub(rf"\b{re.escape(parameter)}\s*=\s*{value}\s*,?\s*", "", text, count=1)
    return re.sub(r",\s*\)", ")", re.sub(r"\s+WITH \(\s*\)", "", removed))
