"""Statements in the bodies of functions that search vectors or look into documents, and pgvector's settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg

from checks.evidence.database.facts import BodyStatement, Embeddings, Extension, SentSetting
from checks.evidence.database.query import query
from checks.evidence.database.session import MARKER, Session
from checks.evidence.expressions import unwrap
from checks.evidence.sql import mask_literals, parse_tolerantly, split_statements
from checks.evidence.tokens import Kind, Token, significant
from checks.model import Subject, qualified_name

_STATEMENTS_PER_FUNCTION = 50
_CHARACTERS = 20_000
_BEGINNINGS = frozenset(["select", "with", "insert", "update", "delete", "merge", "perform"])
_OF_INTEREST = re.compile(r"<->|<#>|<=>|<\+>|<~>|<%>|_distance\b|inner_product\b|->|@>|\?")
_DEFAULT = re.compile(r'(?:^|,)\s*"?(\w+)"?\s+(?:integer|bigint|smallint|numeric)\s+DEFAULT\s+(\d{1,9})\b')
_SET = re.compile(r"\s*set\s+(?:(local|session)\s+)?((?:hnsw|ivfflat)\.\w{1,40})", re.IGNORECASE)
_OF_THE_SERVER = frozenset(["default", "configuration file", "command line", "environment variable"])
_LENGTH_OF_QUERY = 2


def observe_embeddings(session: Session, extension: Extension | None, counted: Extension | None) -> Embeddings:
    """`extension` is pgvector, whose settings are there to see only once the session has loaded it; `counted` is
    pg_stat_statements."""
    with session.transaction():
        rows = session.rows(query("bodies", session.major))
    bodies: list[BodyStatement] = []
    for row in rows:
        if row.body is not None:
            bodies += _statements(row)
    settings: dict[str, str] = {}
    if extension is not None:
        try:
            with session.transaction(ends=True, may_fail=True):
                session.rows(f"SELECT {MARKER} NULL::{qualified_name(extension.schema, 'vector')}")
                found = session.rows(query("vector_settings", session.major))
            settings = {row.name: row.value for row in found if row.source in _OF_THE_SERVER}
        except psycopg.Error:
            # The extension's schema may be out of bounds for this role; its defaults are known without.
            settings = {}
    unread = sum(row.body is None for row in rows)
    return Embeddings(tuple(bodies), settings, unread, _sent(session, counted) if extension and counted else ())


def _sent(session: Session, extension: Extension) -> tuple[SentSetting, ...]:
    view = qualified_name(extension.schema, "pg_stat_statements")
    try:
        with session.transaction():
            rows = session.rows(query("sent_settings", session.major, pg_stat_statements=view))
    except psycopg.Error:
        # What hides the statements is said by their own section.
        return ()
    found: dict[tuple[str, bool], int] = {}
    for row in rows:
        match = _SET.match(row.text)
        if match:
            key = match[2].lower(), (match[1] or "").lower() == "local"
            found[key] = found.get(key, 0) + row.calls
    return tuple(SentSetting(name, local, calls) for (name, local), calls in found.items())


def _statements(row: Any) -> Iterator[BodyStatement]:
    function = Subject("function", (row.schema, row.name, row.arguments))
    defaults = {name: int(number) for name, number in _DEFAULT.findall(row.defaults)}
    for text, dynamic in list(statements_of(row.body))[:_STATEMENTS_PER_FUNCTION]:
        masked = mask_literals(text)
        if _OF_INTEREST.search(masked) and parse_tolerantly(masked) is not None:
            yield BodyStatement(function, masked, _limit(text, defaults), dynamic)


def statements_of(body: str) -> Iterator[tuple[str, bool]]:
    """The statements in the body of a function, in SQL or PL/pgSQL, and whether each is a string for EXECUTE."""
    for text, _ in split_statements(_without_frame(body)):
        read = list(significant(text))
        words = [token.text.lower() for token in read if token.kind is Kind.WORD]
        if "execute" in words:
            for token in read:
                if token.kind is Kind.STRING and (written := _unquoted(token.text)) is not None:
                    yield written, True
            continue
        if (found := _from_its_verb(text, read)) and len(found) <= _CHARACTERS:
            yield found, False


def _without_frame(body: str) -> str:
    """The statements of BEGIN ATOMIC ... END without these two."""
    match = re.fullmatch(r"\s*BEGIN ATOMIC\b(.*)\bEND\s*;?\s*", body, re.DOTALL | re.IGNORECASE)
    return match[1] if match else body


def _from_its_verb(text: str, read: list[Token]) -> str | None:
    """The statement without what PL/pgSQL writes before (RETURN QUERY, FOR row IN, BEGIN, IF ... THEN) and behind it (LOOP)."""
    depth, start, verb = 0, None, ""
    for token in read:
        if token.text in ("(", "["):
            depth += 1
        elif token.text in (")", "]"):
            depth -= 1
        elif token.kind is Kind.WORD and depth == 0:
            word = token.text.lower()
            if start is None and word in _BEGINNINGS:
                start, verb = token, word
            elif start is not None and word == "loop":
                return _spelled(text[start.start : token.start], verb)
    return None if start is None else _spelled(text[start.start :], verb)


def _spelled(text: str, verb: str) -> str:
    return f"SELECT{text[len('perform') :]}" if verb == "perform" else text


def _unquoted(token: str) -> str | None:
    """The statement in a string constant, with the holes of format() as names or parameters; None if it is none."""
    inner = token
    if inner[:1] == "$":
        tag = inner[: inner.find("$", 1) + 1]
        inner = inner[len(tag) : -len(tag)]
    else:
        inner = inner[inner.find("'") + 1 : -1].replace("''", "'")
    words = inner.split(None, _LENGTH_OF_QUERY)
    if not words or words[0].lower() not in _BEGINNINGS or len(inner) > _CHARACTERS:
        return None
    return re.sub(r"%(?:\d+\$)?L", "NULL", re.sub(r"%(?:\d+\$)?[Is]", "hole", inner))


def _limit(text: str, defaults: dict[str, int]) -> int | None:
    """The number after the outermost LIMIT, or the default of the argument that stands there."""
    tree = parse_tolerantly(text)
    if tree is None or not tree.stmts:
        return None
    kind, statement = unwrap(tree.stmts[0].stmt)
    if kind != "select_stmt" or not statement.HasField("limit_count"):
        return None
    kind, value = unwrap(statement.limit_count)
    if kind == "a_const" and value.HasField("ival"):
        return int(value.ival.ival) or None
    if kind == "column_ref" and value.fields:
        return defaults.get(value.fields[-1].string.sval)
    return None
