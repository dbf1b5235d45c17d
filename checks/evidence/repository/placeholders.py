"""Every driver's placeholders, and the parts that code puts in at run time, written as PostgreSQL's own `$n`."""

from __future__ import annotations

import re
from typing import NamedTuple

from checks.evidence.sql import highest_parameter
from checks.evidence.tokens import Kind, Token, tokens
from checks.keywords import RESERVED

# One character of the private use area stands for a part that is put in at run time, another for a value that a tagged
# template makes a parameter of. Both are letters to the lexer.
HOLE = "\ue000"
VALUE = "\ue001"

_PYTHON_FORMAT = re.compile(r"(?:\(([A-Za-z_][A-Za-z0-9_]*)\))?[sbt](?![A-Za-z0-9_])")
_BRACES = re.compile(r"\{\{?[ A-Za-z0-9_.!]*\}?\}")
_CONDITION_ENDS = re.compile(r"\s*(?:(?:and|or|order|group|limit|returning|for|union)\b|\)|;|$|\ue001)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# pg-promise: `$<name>`, `$/name/`, `$(name)`, `${name}`, each with a modifier behind a colon; Sequelize: `$name`.
_DOLLAR = re.compile(
    r"\$(?:\{\s*([\w.]+)(?::(\w+))?\s*\}|<\s*([\w.]+)(?::(\w+))?\s*>|/\s*([\w.]+)(?::(\w+))?\s*/|\(\s*([\w.]+)(?::(\w+))?\s*\)"
    r"|([A-Za-z_]\w*))"
)
_FORMATTING = re.compile(r"(?:csv|list|json|name|raw|value|alias)\b")
_PUTS_IN_SQL = frozenset(["name", "raw", "value", "alias"])
_SAME = ":"
_ENDS_IDENTIFIER = re.compile(r":(?!:)")
_OPERANDS = frozenset([Kind.QUOTED, Kind.STRING, Kind.NUMBER, Kind.PARAMETER])
_NO_OPERANDS = frozenset(["by", "set", "is", "escape", "values", "returning", "limit", "offset"])
_JSON_PATH_OPERATOR = "@?"
_NUMBER = re.compile(r"[0-9]{1,4}(?![A-Za-z0-9_])")
_BEFORE_AT = frozenset(["", "=", ">", ">=", "<=", "<>", "!=", "+", "-", "*", "/", "||", "%"])
_OF_SQLC = re.compile(r"\.(?:arg|narg|slice)\(\s*'?([A-Za-z_]\w*)'?\s*\)")
_EMBEDDED = re.compile(r"\bsqlc\.embed\(\s*([A-Za-z_]\w*)\s*\)")
_BEFORE_RELATIONS = frozenset(["from", "join", "into", "update", "table", "only", "by", "."])
_BEFORE_VALUES = frozenset(["like", "ilike", "between"])
_BEFORE_COUNTS = frozenset(["limit", "offset"])
_LISTS = frozenset(["in", "values", "any", "all"])

IDENTIFIER, A_VALUE, COUNT, FRAGMENT = "identifier", "value", "count", "fragment"


class _Placeholder(NamedTuple):
    """`before` is what stands before it in the same token; `end` the offset after it."""

    before: str
    end: int
    name: str | None = None
    is_hole: bool = False


def write_placeholders(text: str, *, formatted: bool = False) -> tuple[str, tuple[str, ...]]:
    """The text with `$n` for each of them, those that are there keeping their number, and what each hole is (identifier, value,
    count, fragment). `formatted`: the text is the left side of Python's `%`, whose `%s` are holes."""
    if "sqlc.embed" in text:
        text = _EMBEDDED.sub(r"\1.*", text)
    number = highest_parameter(text)
    numbers: dict[str, int] = {}
    holes: list[str] = []
    written: list[str] = []
    last: Token | None = None
    openers: list[str] = []
    brackets = 0
    end = 0
    for token in tokens(text):
        if token.start < end:
            continue
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            written.append(token.text.replace(HOLE, "").replace(VALUE, ""))
            holes += [FRAGMENT] * token.text.count(HOLE)
            continue
        brackets += {"[": 1, "]": -1}.get(token.text, 0)
        found = _placeholder(text, token, last, in_brackets=brackets > 0)
        if found is None:
            written.append(token.text)
        else:
            if found.is_hole or HOLE in token.text or (formatted and token.text.endswith("%")):
                kind = _kind(token, last, openers[-1] if openers else "", text[found.end : found.end + 1])
                holes += [kind] * max(1, token.text.count(HOLE))
            if found.name == _SAME:
                end = found.end
                modifier = text[token.start + 1 : end]
                if modifier in _PUTS_IN_SQL:
                    holes.append(IDENTIFIER if modifier in ("name", "alias") else FRAGMENT)
                continue
            if found.name is None or found.name not in numbers:
                number += 1
            parameter = f"${number if found.name is None else numbers.setdefault(found.name, number)}"
            is_name = token.kind is Kind.QUOTED or (last is not None and last.text == ".")
            is_list = last is not None and last.text.lower() == "in" and not found.before
            spelled = f'"{parameter}"' if is_name else f"({parameter})" if is_list else parameter
            written.append(found.before + spelled)
            end = found.end
        if token.text == "(":
            openers.append(last.text.lower() if last is not None else "")
        elif token.text == ")" and openers:
            openers.pop()
        last = token
    return "".join(written), tuple(holes)


def _kind(token: Token, last: Token | None, opener: str, after: str) -> str:
    """What a hole certainly is by its place; a fragment if it may be any piece of SQL."""
    if token.kind is Kind.STRING:
        return A_VALUE
    before = last.text.lower() if last is not None else ""
    part_of_name = token.kind is Kind.WORD and token.text.strip(HOLE) != ""
    if token.kind is Kind.QUOTED or part_of_name or token.text.endswith("??") or before in _BEFORE_RELATIONS:
        return IDENTIFIER
    if after == ".":
        return IDENTIFIER
    is_operator = last is not None and last.kind is Kind.OPERATOR and before != "*"
    if token.text.endswith("%") and len(token.text) > 1:
        is_operator = True
    in_list = before in ("(", ",") and opener in _LISTS
    if before in _BEFORE_COUNTS:
        return COUNT
    return A_VALUE if is_operator or in_list or before in _BEFORE_VALUES else FRAGMENT


def _placeholder(text: str, token: Token, last: Token | None, *, in_brackets: bool) -> _Placeholder | None:
    end = token.start + len(token.text)
    if HOLE in token.text:
        return _Placeholder("", end)
    if VALUE in token.text:
        return _Placeholder("", end, is_hole=_is_condition(text, end, last))
    if token.kind is Kind.OPERATOR and token.text.endswith("%"):
        match = _PYTHON_FORMAT.match(text, end)
        return _Placeholder(_spaced(token.text[:-1]), match.end(), match.group(1)) if match else None
    if token.text == "{" and (match := _BRACES.match(text, token.start)):
        return _Placeholder("", match.end(), is_hole=True)
    if token.text == ":" and not in_brackets:
        if last is not None and last.kind is Kind.PARAMETER and (match := _FORMATTING.match(text, end)):
            # pg-promise says so behind a parameter how it puts it in, which makes no further one.
            return _Placeholder("", match.end(), _SAME)
        match = _NAME.match(text, end)
        if match is not None and _ENDS_IDENTIFIER.match(text, match.end()):
            return _Placeholder("", match.end() + 1, is_hole=True)
        return _Placeholder("", match.end(), match.group()) if match else None
    if token.text == "$" and (match := _DOLLAR.match(text, token.start)):
        name, *modifier = (part for part in match.groups() if part)
        puts_in_sql = match.group().startswith("${") or not _PUTS_IN_SQL.isdisjoint(modifier)
        return _Placeholder("", match.end(), None if puts_in_sql else name, puts_in_sql)
    if token.kind is Kind.OPERATOR and token.text.endswith("?") and token.text != _JSON_PATH_OPERATOR:
        if token.text.endswith("??"):
            return _Placeholder(_spaced(token.text[:-2]), end, is_hole=True)
        if len(token.text) > 1 or not _is_operand(last):
            match = _NUMBER.match(text, end)
            name, end = (f"?{match.group()}", match.end()) if match else (None, end)
            return _Placeholder(_spaced(token.text[:-1]), end, name)
    if token.kind is Kind.OPERATOR and token.text.endswith("@") and token.text[:-1] in _BEFORE_AT:
        match = _NAME.match(text, end)
        if match is not None and (len(token.text) > 1 or not _is_operand(last)):
            return _Placeholder(_spaced(token.text[:-1]), match.end(), match.group())
    if token.text == "sqlc" and (match := _OF_SQLC.match(text, end)):
        return _Placeholder("", match.end(), match.group(1))
    return None


def _is_condition(text: str, end: int, last: Token | None) -> bool:
    """Whether what a tagged template puts in stands where no single value can, so that it must be a piece of SQL."""
    before = last.text.lower() if last is not None else ""
    if _is_operand(last) or before == "values":
        return True
    return before in ("where", "having", "on", "and", "or") and _CONDITION_ENDS.match(text, end) is not None


def _spaced(operator: str) -> str:
    return f"{operator} " if operator else ""


def _is_operand(token: Token | None) -> bool:
    if token is None:
        return False
    if token.kind is Kind.WORD:
        return token.text.lower() not in RESERVED and token.text.lower() not in _NO_OPERANDS
    return token.kind in _OPERANDS or token.text in (")", "]")
