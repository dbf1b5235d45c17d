"""Indexes, key by key, from the system catalogs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from checks.evidence.database.facts import Index, IndexKey
from checks.evidence.database.nodes import columns_of_expressions
from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.sql import mask_literals

_DESCENDING, _NULLS_FIRST = 1, 2
_NAME = r'(?:"(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)'
_NOT_NULL = re.compile(rf"\(({_NAME}) IS NOT NULL\)")
_ALL_NOT_NULL = re.compile(rf"\({_NAME} IS NOT NULL\)|\((?:\({_NAME} IS NOT NULL\))(?: AND \({_NAME} IS NOT NULL\))+\)")


_masked = lru_cache(10_000)(mask_literals)


class _Names(NamedTuple):
    operator_classes: dict[int, tuple[str, str]]
    collations: dict[int, str]


def observe_indexes(session: Session, *, many: bool) -> Iterator[Index]:
    """All indexes of relations outside the system's schemas, read in parts if they are `many`. Sizes are relpages times the block
    size."""
    rows = session.rows(query("operator_classes", session.major))
    names = _Names(
        {row.oid: (row.name, row.family) for row in rows if row.kind == "operator class"},
        {row.oid: row.name for row in rows if row.kind == "collation"},
    )
    column_names = _ColumnNumbers(session)
    for row in session.stream(query("indexes", session.major), in_parts=many):
        yield _index(row, names, column_names)


class _ColumnNumbers:
    """Column numbers by table and quoted name, read only if some predicate needs them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found: dict[tuple[int, str], int] | None = None

    def __call__(self, table: int, name: str) -> int:
        if self._found is None:
            rows = self._session.rows(query("predicate_columns", self._session.major))
            self._found = {(row.table_oid, row.name): row.number for row in rows}
        return self._found[table, name]


def _index(row: Any, names: _Names, column_numbers: _ColumnNumbers) -> Index:
    texts = [text or "" for text in row.key_texts or ()]
    unmasked = [text for text, column in zip(texts, row.columns, strict=False) if column == 0]
    secret = "\x00".join([*unmasked, row.predicate or ""])
    stored = row.kind == "i" and row.pages > 0
    return Index(
        oid=row.oid,
        table=row.table_oid,
        schema=row.schema,
        name=row.name,
        method=row.method,
        keys=tuple(_keys(row, texts, names)),
        included=tuple(row.columns[row.key_count :]),
        unique=row.is_unique,
        nulls_not_distinct=row.nulls_not_distinct,
        primary=row.is_primary,
        exclusion=row.is_exclusion,
        replica_identity=row.is_replica_identity,
        valid=row.valid,
        ready=row.ready,
        being_built=row.being_built,
        predicate=_masked(row.predicate) if row.predicate else None,
        predicate_not_null=_not_null_columns(row, column_numbers),
        definition_hash=hashlib.sha256(secret.encode()).hexdigest()[:12] if unmasked or row.predicate else "",
        options={name: value for name, _, value in (option.partition("=") for option in row.options or ())},
        pages=max(0, row.pages),
        rows=row.rows if row.rows is not None and row.rows >= 0 else None,
        size_bytes=row.pages * row.block_bytes if stored else None,
        parent=row.parent,
        constraint=row.constraint_oid,
        extension=row.extension,
    )


def _keys(row: Any, texts: list[str], names: _Names) -> Iterator[IndexKey]:
    used = iter(columns_of_expressions(row.expression_tree or ""))
    for position in range(row.key_count):
        column = row.columns[position]
        option = row.key_options[position]
        operator_class, family = names.operator_classes.get(row.operator_classes[position], ("", ""))
        expression = texts[position] if column == 0 and position < len(texts) else None
        yield IndexKey(
            column=column,
            operator_class=operator_class,
            operator_family=family,
            collation=names.collations.get(row.collations[position]),
            descending=bool(option & _DESCENDING),
            nulls_first=bool(option & _NULLS_FIRST),
            expression=_masked(expression) if expression is not None else None,
            expression_columns=next(used, ()) if column == 0 else (),
        )


def _not_null_columns(row: Any, column_numbers: _ColumnNumbers) -> tuple[int, ...]:
    if not row.predicate or not _ALL_NOT_NULL.fullmatch(row.predicate):
        return ()
    return tuple(column_numbers(row.table_oid, name) for name in _NOT_NULL.findall(row.predicate))
