"""Sequences and the values they have reached.

pg_sequences is not asked: it opens each sequence under ROW EXCLUSIVE, as nextval() does. Reading a sequence as the relation
that it is takes ACCESS SHARE. Locks last as long as their transaction, so that many sequences are read in several.
"""

from __future__ import annotations

import msgspec
import psycopg

from checks.evidence.database.facts import Catalog, Sequence
from checks.evidence.database.query import query
from checks.evidence.database.session import MARKER, Session
from checks.model import qualified_name

_AT_ONCE = 1000


def observe_sequences(session: Session) -> tuple[Sequence, ...]:
    """Without their values; `readable` says whether this role may read them."""
    return tuple(
        Sequence(
            oid=row.oid,
            schema=row.schema,
            name=row.name,
            type=row.type,
            minimum=row.minimum,
            maximum=row.maximum,
            increment=row.increment,
            cycle=row.cycle,
            readable=row.readable,
            owned_by_table=row.owned_by_table,
            owned_by_column=row.owned_by_column,
            extension=row.extension,
        )
        for row in session.rows(query("sequences", session.major))
    )


def with_sequence_values(catalog: Catalog, session: Session) -> Catalog:
    """Fills in the last values, in transactions of its own. Sequences that are locked or gone become not readable."""
    values: dict[int, int | None] = {}
    readable = [sequence for sequence in catalog.sequences if sequence.readable]
    for start in range(0, len(readable), _AT_ONCE):
        values |= _values(session, readable[start : start + _AT_ONCE])
    return msgspec.structs.replace(
        catalog,
        sequences=tuple(
            msgspec.structs.replace(
                sequence, last_value=values.get(sequence.oid), readable=sequence.readable and sequence.oid in values
            )
            for sequence in catalog.sequences
        ),
    )


def _values(session: Session, sequences: list[Sequence]) -> dict[int, int | None]:
    """By oid; None for a sequence that was never used."""
    parts = [
        f"SELECT {MARKER} {sequence.oid}::bigint AS oid, s.last_value, s.is_called FROM {_name(sequence)} AS s"
        for sequence in sequences
    ]
    try:
        with session.transaction(ends=True):
            rows = session.rows("\nUNION ALL\n".join(parts))
    except psycopg.Error:
        return {}
    return {row.oid: row.last_value if row.is_called else None for row in rows}


def _name(sequence: Sequence) -> str:
    return qualified_name(sequence.schema, sequence.name)
