"""PostgreSQL's lexical rules (manual, "Lexical Structure"), read tolerantly: any text whatever becomes tokens, in linear time.

What the server would refuse (a string that never ends, junk after a number) still becomes a token, so that code which only
looks like SQL can be masked and split safely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    WORD = 1
    QUOTED = 2
    STRING = 3
    NUMBER = 4
    PARAMETER = 5
    OPERATOR = 6
    PUNCTUATION = 7
    COMMENT = 8
    SPACE = 9


class Token(NamedTuple):
    """`text` as it stands in the source; `start` is its offset there."""

    kind: Kind
    text: str
    start: int


_LETTER = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = re.compile(
    rf"""
      (?P<SPACE> [ \t\n\r\f\v]++ )
    | (?P<COMMENT> --[^\n\r]*+ )
    | (?P<BLOCK> /\* )
    | (?P<STRING> [eE]'(?:[^'\\]++|''|\\.|\\\Z)*+(?:'|\Z) | (?:[bBxXnN]|[uU]&)?'(?:[^']++|'')*+(?:'|\Z) )
    | (?P<QUOTED> (?:[uU]&)?"(?:[^"]++|"")*+(?:"|\Z) )
    | (?P<DOLLAR> \$(?:[{_LETTER}][{_LETTER}0-9]*+)?\$ )
    | (?P<PARAMETER> \$[0-9]++ )
    | (?P<NUMBER> (?: 0[xXoObB][0-9A-Fa-f_]++ | (?:[0-9][0-9_]*+(?:\.(?!\.)[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9]++)? )
        [{_LETTER}0-9]*+ )
    | (?P<WORD> [{_LETTER}][{_LETTER}0-9$]*+ )
    | (?P<OPERATOR> [-+*/<>=~!@\#%^&|`?]{{1,63}} )
    | (?P<PUNCTUATION> ::|:=|. )
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {kind.name: kind for kind in Kind}
_OWN_OPERATOR = re.compile(r"[~!@#%^&|`?]")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LINE_BREAK_BETWEEN = re.compile(r"[ \t\f\v]*[\n\r][ \t\n\r\f\v]*")


def tokens(sql: str, position: int = 0) -> Iterator[Token]:
    """Every token of `sql` from `position` on, white space and comments included: their texts joined are `sql` again."""
    end = len(sql)
    match_at = _TOKEN.match
    while position < end:
        match = match_at(sql, position)
        assert match is not None
        assert match.lastgroup is not None
        name, stop = match.lastgroup, match.end()
        if name == "BLOCK":
            kind, stop = Kind.COMMENT, _end_of_comment(sql, stop)
        elif name == "DOLLAR":
            closing = sql.find(match.group(), stop)
            kind, stop = Kind.STRING, end if closing < 0 else closing + len(match.group())
        elif name == "OPERATOR":
            kind, stop = Kind.OPERATOR, position + _operator_length(match.group())
        else:
            kind = _KINDS[name]
        yield Token(kind, sql[position:stop], position)
        position = stop


def significant(sql: str) -> list[Token]:
    """The tokens of `sql` without white space and comments; string constants that PostgreSQL joins over a line break are one."""
    found: list[Token] = []
    between = ""
    for token in tokens(sql):
        if token.kind is Kind.SPACE:
            between += token.text
        elif token.kind is Kind.COMMENT:
            between += "\n" if token.text.startswith("--") else " "
        else:
            if (
                token.kind is Kind.STRING
                and token.text[0] == "'"
                and found
                and found[-1].kind is Kind.STRING
                and found[-1].text[0] != "$"
                and _LINE_BREAK_BETWEEN.fullmatch(between)
            ):
                found[-1] = Token(Kind.STRING, found[-1].text + " " + token.text, found[-1].start)
            else:
                found.append(token)
            between = ""
    return found


def _end_of_comment(sql: str, position: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def _operator_length(run: str) -> int:
    """How much of a run of operator characters is one operator: up to a comment, and with no trailing sign unless the
    operator has a character that SQL's own operators lack."""
    length = len(run)
    for opening in ("--", "/*"):
        if (found := run.find(opening, 1)) > 0:
            length = min(length, found)
    if _OWN_OPERATOR.search(run, 0, length) is None:
        length = len(run[:length].rstrip("+-")) or 1
    return length
