"""Pieces of SQL that code hands to an ORM: `where("name LIKE ? AND age > :age")`, `order("created_at desc")`."""

from __future__ import annotations

import re

from checks.evidence.repository.orm.query import VALUE
from checks.evidence.repository.placeholders import HOLE, write_placeholders
from checks.evidence.sql import mask_literals, parse

_MAXIMUM_CHARACTERS = 2_000
_PARAMETER = re.compile(r"\$\d+")


def condition(text: str) -> str | None:
    """The condition with marks for its values; None if it is none that PostgreSQL could read."""
    written = _written(text)
    if written is None or parse(f"SELECT FROM x WHERE ({written})") is None:
        return None
    simple = not re.search(r"\b(?:or|and)\b", written, re.IGNORECASE)
    return _PARAMETER.sub(VALUE, written if simple else f"({written})")


def order_keys(text: str) -> list[str] | None:
    """The keys of an ORDER BY; None if they cannot be read."""
    written = _written(text)
    if written is None or parse(f"SELECT FROM x ORDER BY {written}") is None:
        return None
    return [_PARAMETER.sub(VALUE, written)]


def columns(text: str) -> list[str] | None:
    """What stands in a select list; None if it cannot be read."""
    written = _written(text)
    if written is None or parse(f"SELECT {written} FROM x") is None:
        return None
    return [_PARAMETER.sub(VALUE, written)]


def join(text: str) -> str | None:
    """A whole JOIN clause; None if it cannot be read."""
    written = _written(text)
    if written is None or parse(f"SELECT FROM x {written}") is None:
        return None
    return _PARAMETER.sub(VALUE, written)


def _written(text: str) -> str | None:
    if HOLE in text or VALUE in text or len(text) > _MAXIMUM_CHARACTERS or not text.strip():
        return None
    written, holes = write_placeholders(text)
    return None if holes else mask_literals(written)
