"""Tells SQL in code from other text, and writes it as pg_stat_statements would: parameters `$n`, no literal."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from checks.evidence.repository.facts import CodeStatement
from checks.evidence.repository.placeholders import HOLE, VALUE, write_placeholders
from checks.evidence.sql import mask_literals, parse, parse_tolerantly
from checks.evidence.tokens import Kind, Token, significant
from checks.model import Location

MAXIMUM_CHARACTERS = 100_000

# A string that begins as a statement does, in any language, and the place of its first word: what to look for before a file
# is parsed at all.
BEGINNING = re.compile(
    rb"""(?:["'`(\[|]|<<[<~-]?["'`]?[A-Za-z_]\w*["'`]?[^\n]{0,200}\n)(?:\\[nrt]|\\\n|\s|--[^\n]*\n|/\*[^*]{0,200}\*/){0,40}"""
    rb"""(?P<verb>select|insert\s+into|update|delete\s+from|with|merge\s+into)\b""",
    re.IGNORECASE,
)
# What another system's SQL shows itself by: MySQL, ClickHouse, SQLite, Oracle.
_OTHER_DIALECT = re.compile(
    r"`|\{[A-Za-z_]\w*\s*:\s*[A-Z]|\bcount\(\s*\)|\bsqlite_master\b|\bON\s+DUPLICATE\s+KEY\b|\bINSERT\s+OR\s|\bPREWHERE\b"
    r"|\bFETCH\s+APPROX|\b[\w.]+\s+(?:\w+\s+)?FINAL\b|\bsystem\.[a-z_]+\b|\bFROM\s+DUAL\b",
    re.IGNORECASE,
)
_VERBS = frozenset(["select", "insert", "update", "delete", "with", "merge"])
_STATEMENTS = frozenset(["select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"])
_PROSE = frozenset("the your this these those our please you my its their which".split())


class Literal(NamedTuple):
    """Text in code, with a HOLE or VALUE mark for each part put in at run time, and the line where it begins. `formatted`: it
    is the left side of Python's `%`."""

    text: str
    line: int
    formatted: bool = False


def read_statement(literal: Literal, path: str, source: str) -> CodeStatement | None:
    """The SQL statement that the literal is; None if it is none."""
    if len(literal.text) > MAXIMUM_CHARACTERS:
        return None
    read = significant(literal.text)
    if not looks_like_sql(literal.text, read):
        return None
    location = Location(path, literal.line + literal.text.count("\n", 0, read[0].start))
    text, holes = write_placeholders(literal.text[read[0].start :], formatted=literal.formatted)
    text = text.rstrip().rstrip(";").rstrip()
    if _OTHER_DIALECT.search(text):
        return None
    masked = mask_literals(text)
    tree = parse_tolerantly(text)
    if tree is None:
        # With parts missing a statement may not parse and still be one, if it is written like one.
        written_like_one = bool(holes) and read[0].text.isupper()
        unread = CodeStatement(location, source, masked, len(holes), parsed=False, hole_kinds=holes)
        return unread if written_like_one else None
    if len(tree.stmts) != 1 or tree.stmts[0].stmt.WhichOneof("node") not in _STATEMENTS:
        return None
    parsed = parse_tolerantly(masked) is not None
    return CodeStatement(location, source, masked, len(holes), parsed, written_limit(tree), holes)


def written_limit(tree: Any) -> int | None:
    """The number after the outermost LIMIT; None if there is none, or no number."""
    statement = tree.stmts[0].stmt
    if statement.WhichOneof("node") != "select_stmt" or not statement.select_stmt.HasField("limit_count"):
        return None
    count = statement.select_stmt.limit_count
    if count.WhichOneof("node") != "a_const" or not count.a_const.HasField("ival"):
        return None
    return int(count.a_const.ival.ival) or None


def looks_like_sql(text: str, read: list[Token]) -> bool:
    """Whether the text begins as a statement does and is no sentence: `select a file from the list` is one."""
    if len(read) < 3 or read[0].kind is not Kind.WORD:
        return False
    first = read[0].text
    if first.lower() not in _VERBS or not (first.isupper() or first.islower()):
        return False
    if not _has_shape(text, read):
        return False
    if first.isupper():
        return True
    plain = [token for token in read if token.kind is Kind.WORD and token.text not in (HOLE, VALUE)]
    return len(plain) < len(read) and not any(token.text.lower() in _PROSE for token in plain)


def _has_shape(text: str, read: list[Token]) -> bool:
    words = [token.text.lower() if token.kind is Kind.WORD else token.text for token in read]
    verb = words[0]
    if verb == "select":
        called = read[1].kind is Kind.WORD and words[2] == "(" and read[2].start == read[1].start + len(read[1].text)
        return "from" in words[2:] or (called and _parses(text))
    if verb in ("insert", "merge"):
        return words[1] == "into"
    if verb == "update":
        return "set" in words[2:]
    if verb == "delete":
        return words[1] == "from"
    rest = words[3:] if words[1] == "recursive" else words[2:]
    return "as" in rest and "(" in rest and not _VERBS.isdisjoint(rest)


def _parses(text: str) -> bool:
    written, _ = write_placeholders(text)
    return parse(written) is not None
