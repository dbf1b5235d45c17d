"""What kind of default a column has, from pg_get_expr(), without any value of it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_PART = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_NAME = r'(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)'
_CAST = re.compile(rf"::(?:{_NAME}\.)?{_NAME}(?: [a-z]+)*(?:\([0-9, ]*\))?(?: [a-z]+)*(?:\[\])*$")
_CALL = re.compile(rf"(?:{_NAME}\.)*({_NAME})\(")
_CONSTANT = re.compile(r"[EB]?''|[-+]?\(?[-+]?[0-9.]+(?:e[-+]?[0-9]+)?\)?|true|false|NULL|ARRAY\[\]", re.IGNORECASE)
_VALUE_FUNCTION = re.compile(
    r"(CURRENT_(?:DATE|TIME|TIMESTAMP|USER|ROLE|CATALOG|SCHEMA)|LOCALTIME|LOCALTIMESTAMP|SESSION_USER|USER)(?:\(\d+\))?"
)


class Default(NamedTuple):
    """As facts.Column has it: none, constant, sequence, function or expression, and the function if it is one call."""

    kind: str
    function: str | None = None


@lru_cache(10_000)
def read_default(text: str | None, *, feeds: bool) -> Default:
    """`text` as pg_get_expr() prints it; `feeds` says that pg_depend ties a sequence to it."""
    if text is None:
        return Default("none")
    bare = _bare(_PART.sub(lambda part: "''" if part[0][0] == "'" else part[0], text).strip())
    if bare.upper() == "NULL":
        return Default("none")
    if _CONSTANT.fullmatch(bare):
        return Default("constant")
    if value := _VALUE_FUNCTION.fullmatch(bare):
        return Default("function", value[1].lower())
    call = _CALL.match(bare)
    if call and _closes(bare, call.end() - 1) == len(bare):
        name = call[1].strip('"').replace('""', '"')
        return Default("sequence" if name == "nextval" and feeds else "function", name)
    return Default("expression")


def _bare(text: str) -> str:
    """Without casts and parentheses around the whole."""
    while True:
        shorter = _CAST.sub("", text)
        if shorter.startswith("(") and _closes(shorter, 0) == len(shorter):
            shorter = shorter[1:-1]
        if shorter == text:
            return text
        text = shorter


def _closes(text: str, opening: int) -> int:
    """The offset behind the parenthesis that closes the one at `opening`; -1 if none does."""
    depth = 0
    for part in re.finditer(r'"(?:[^"]|"")*"|[()]', text[opening:]):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if depth == 0:
            return opening + part.end()
    return -1
