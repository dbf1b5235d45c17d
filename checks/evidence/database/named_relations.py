"""Which relations statements name, and whether this login may do to them what the statements do.

An EXPLAIN that the server refuses leaves an ERROR in its log, with the statement. What is certain to be refused is not sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.tokens import Kind, Token, significant

UNDEFINED_TABLE = "42P01"
_NAME_BYTES = 63
_BEFORE_A_RELATION = frozenset({"from", "join", "into", "update"})
# FROM within these separates arguments.
_WITH_FROM = frozenset({"extract", "substring", "trim", "overlay", "position"})
_NO_TABLE_BEFORE_UPDATE = frozenset({"for", "key", "do"})


class Named(NamedTuple):
    """One relation that a statement names after FROM, JOIN, INTO or UPDATE, and a privilege that this takes."""

    name: str
    privilege: str


class Relations(NamedTuple):
    """By name, whether this login may SELECT, INSERT, UPDATE and DELETE in any relation of it; names that no relation has are
    missing."""

    privileges: Mapping[str, Mapping[str, bool]]

    def missing(self, statement: str) -> bool:
        """Whether it certainly names a relation that does not exist."""
        return any(entry.name not in self.privileges for entry in named_relations(statement))

    def forbidden(self, statement: str) -> bool:
        """Whether it certainly needs a privilege that this login does not have."""
        return any(
            not self.privileges[entry.name][entry.privilege]
            for entry in named_relations(statement)
            if entry.name in self.privileges
        )


def observe_named_relations(session: Session, statements: Iterable[str]) -> Relations:
    """Of the relations that any of these statements names. Raises psycopg.Error."""
    names = sorted({entry.name for statement in statements for entry in named_relations(statement)})
    if not names:
        return Relations({})
    with session.transaction(ends=True):
        rows = session.rows(query("named_relations", session.major), {"names": names})
    return Relations(
        {
            row.name: {
                "SELECT": row.selectable,
                "INSERT": row.insertable,
                "UPDATE": row.updatable,
                "DELETE": row.deletable,
            }
            for row in rows
        }
    )


def named_relations(statement: str) -> frozenset[Named]:
    """Without names of WITH queries and functions; further names of a list in FROM are left out."""
    read = list(significant(statement))
    words = [token.text.lower() if token.kind is Kind.WORD else token.text for token in read]
    own = _with_queries(read, words)
    opened: list[str] = []
    found = set()
    for position, word in enumerate(words):
        if word == "(":
            opened.append(words[position - 1] if position else "")
        elif word == ")" and opened:
            opened.pop()
        before = words[position - 1] if position else ""
        if (
            word not in _BEFORE_A_RELATION
            or read[position].kind is not Kind.WORD
            or (word == "from" and (before == "distinct" or (opened and opened[-1] in _WITH_FROM)))
            or (word == "into" and before != "insert")
            or (word == "update" and before in _NO_TABLE_BEFORE_UPDATE)
        ):
            continue
        name, behind = _qualified(read, words, position + 1)
        is_call = behind == "(" and word != "into"
        if name is not None and not is_call and name not in own:
            found.add(Named(name, _privilege(word, before)))
    if len(found) == 1 and _locks_rows(words):
        found |= {entry._replace(privilege="UPDATE") for entry in found}
    return frozenset(found)


def _locks_rows(words: list[str]) -> bool:
    """Whether its only relation is certainly one whose rows it locks. With OF it may be another one of a list."""
    if "from" not in words:
        return False
    begins = words.index("from")
    for position, word in enumerate(words[begins:], begins):
        if word == "for" and words[position + 1 : position + 2] in (["update"], ["share"], ["no"], ["key"]):
            return "of" not in words[position:] or "," not in words[begins:position]
    return False


def _privilege(word: str, before: str) -> str:
    if word == "into":
        return "INSERT"
    if word == "update":
        return "UPDATE"
    return "DELETE" if word == "from" and before == "delete" else "SELECT"


def _qualified(read: list[Token], words: list[str], position: int) -> tuple[str | None, str]:
    """The last identifier of the name that begins there, and what follows it; None if no name does."""
    while position < len(read) and words[position] in {"only", "lateral"}:
        position += 1
    name = None
    while position < len(read) and (found := identifier(read[position])) is not None:
        name = found
        position += 1
        if position >= len(read) or words[position] != ".":
            break
        position += 1
    return name, words[position] if position < len(words) else ""


def _with_queries(read: list[Token], words: list[str]) -> set[str]:
    """Every name that a WITH query of the statement may have."""
    if "with" not in words:
        return set()
    behind = {"as", "("}
    return {
        name
        for position, token in enumerate(read[:-1])
        if words[position + 1] in behind and (name := identifier(token)) is not None
    }


def identifier(token: Token) -> str | None:
    """The identifier that a token is, as the catalog has it; None if it is none."""
    if token.kind is Kind.WORD:
        name = token.text.lower()
    elif token.kind is Kind.QUOTED and token.text.startswith('"'):
        name = token.text[1:-1].replace('""', '"')
    else:
        return None
    return name if 0 < len(name.encode("utf-8", "replace")) <= _NAME_BYTES else None
