"""Statements of tools: pg_dump, psql and monitoring agents read the system's catalogs, and no table of the application."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from checks.evidence.tokens import Kind, Token, significant

_CATALOG_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
_ENDS_A_LIST = frozenset(
    "where group having order limit offset fetch for window union intersect except select on using set returning".split()
)
# What pg_dump asks without any relation. An application that calls set_config() writes it without the schema.
_CALL_OF_A_DUMP = re.compile(
    r"pg_get_\w+|pg_catalog\.(pg_get_\w+|format_type|pg_is_in_recovery|current_schemas|set_config)"
)
_TAKES_FROM = frozenset({"extract", "substring", "trim", "overlay", "position"})


def reads_catalogs_only(text: str, tables: Container[str]) -> bool:
    """Whether a statement is a query whose every relation is one of the system's: of pg_catalog or information_schema, or called
    pg_something as no table of the application's own (`tables`, by bare name) is. In doubt, and for statements that read no
    relation at all, it is not, but for those of pg_dump."""
    words = significant(text)
    if not words or words[0].text.lower() not in {"select", "with", "("}:
        return False
    named = _named_queries(words)
    # A query of a WITH alone is no relation: what it calls may read anything, as PostgREST's calls of functions do.
    relations = [(schema, name) for schema, name in _relations(words) if schema is not None or name not in named]
    if not relations:
        calls = _calls(words)
        return bool(calls) and all(_CALL_OF_A_DUMP.fullmatch(call) for call in calls)
    return all(
        schema in _CATALOG_SCHEMAS or (name.startswith("pg_") and name not in tables) for schema, name in relations
    )


def _calls(words: Sequence[Token]) -> list[str]:
    """What stands before each parenthesis, with its schema."""
    found = []
    for index, word in enumerate(words):
        if word.text == "(" and index:
            schema = words[index - 3 : index - 1] if index >= 3 and words[index - 2].text == "." else []
            found.append("".join(part.text.lower() for part in (*schema, words[index - 1])))
    return found


def _named_queries(words: Sequence[Token]) -> set[str]:
    """The names before AS (, with their columns between or not: those of a WITH, and of nothing that is read from."""
    found: set[str] = set()
    for index, word in enumerate(words):
        after = index + 1
        while after < len(words) and words[after].text.lower() in {"not", "materialized"}:
            after += 1
        if word.text.lower() != "as" or after >= len(words) or words[after].text != "(" or index == 0:
            continue
        before = index - 1
        if words[before].text == ")":
            while before > 0 and words[before].text != "(":
                before -= 1
            before -= 1
        if before >= 0 and words[before].kind in {Kind.WORD, Kind.QUOTED}:
            found.add(_name(words[before]))
    return found


def _relations(words: Sequence[Token]) -> list[tuple[str | None, str]]:
    """What stands behind FROM and JOIN, and behind a comma of such a list, as schema and name; no functions, no sub-queries."""
    found: list[tuple[str | None, str]] = []
    lists, takers = [False], [""]
    expected = False
    for index, word in enumerate(words):
        text = word.text.lower()
        if word.text == "(":
            # Where a relation is expected it holds a join, or a query that begins anew.
            lists.append(expected)
            takers.append(words[index - 1].text.lower() if index else "")
            continue
        if word.text == ")":
            if len(lists) > 1:
                lists.pop()
                takers.pop()
            expected = False
        elif text == "from" and word.kind is Kind.WORD:
            before = words[index - 1].text.lower() if index else ""
            lists[-1] = expected = before != "distinct" and takers[-1] not in _TAKES_FROM
        elif text == "join" and word.kind is Kind.WORD:
            lists[-1] = expected = True
        elif word.text == ",":
            expected = lists[-1]
        elif text in {"only", "lateral"} and expected:
            continue
        elif expected and word.kind in {Kind.WORD, Kind.QUOTED}:
            expected = False
            parts = [_name(word)]
            while words[index + 1 : index + 2] and words[index + 1].text == "." and index + 2 < len(words):
                parts.append(_name(words[index + 2]))
                index += 2
            if text in _ENDS_A_LIST and len(parts) == 1:
                lists[-1] = False
            elif words[index + 1 : index + 2] and words[index + 1].text == "(":
                continue
            else:
                found.append((parts[-2] if len(parts) > 1 else None, parts[-1]))
        elif text in _ENDS_A_LIST and word.kind is Kind.WORD:
            lists[-1] = expected = False
    return found


def _name(word: Token) -> str:
    return word.text[1:-1].replace('""', '"') if word.kind is Kind.QUOTED else word.text.lower()
