"""Two looks at the same counters, and what happened per second in between."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import psycopg

from checks.evidence.database.facts import Extension, Rates, Sighting, StatementRate, TableRate
from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.database.statements import EXTENSION
from checks.model import qualified_name


class Look(NamedTuple):
    """Counters at one moment, in seconds of our own clock that never jumps. `statements` is None where pg_stat_statements cannot
    be read."""

    at: float
    server: Any
    tables: Mapping[int, Any]
    statements: Mapping[str, Any] | None


def look(session: Session, extension: Extension | None) -> Look:
    """In a transaction of its own: a server may tell the same counters until its end. Raises psycopg.Error."""
    with session.transaction(ends=True):
        tables = {row.oid: row for row in session.rows(query("look_tables", session.major))}
        server = session.rows(query("look", session.major))[0]
        at = time.monotonic()
    return Look(at, server, tables, _statements(session, extension))


def rates(first: Look, second: Look, known: Container[str]) -> Rates:
    """What changed from the first look to the second. Of statements, only those `known` count."""
    seconds = max(0.001, second.at - first.at)
    per_second = _PerSecond(seconds)
    tables = tuple(
        TableRate(
            oid,
            per_second(_before(first.tables.get(oid), "inserted"), row.inserted) or 0.0,
            per_second(_before(first.tables.get(oid), "updated"), row.updated) or 0.0,
            per_second(_before(first.tables.get(oid), "deleted"), row.deleted) or 0.0,
            per_second(_before(first.tables.get(oid), "read"), row.read) or 0.0,
        )
        for oid, row in sorted(second.tables.items())
        if first.tables.get(oid) != row
    )
    statements: list[StatementRate] = []
    for query_id, row in sorted((second.statements or {}).items()):
        before = (first.statements or {}).get(query_id)
        calls = per_second(_before(before, "calls"), row.calls)
        spent = per_second(_before(before, "total_ms"), row.total_ms)
        if calls and query_id in known:
            statements.append(StatementRate(query_id, calls, spent or 0.0))
    counted = first.statements is not None and second.statements is not None
    ended = sum(entry.calls_per_s for entry in statements) if counted else 0.0
    return Rates(
        seconds=round(seconds, 3),
        transactions_per_s=per_second(first.server.commits, second.server.commits),
        write_transactions_per_s=per_second(first.server.next_transaction, second.server.next_transaction),
        wal_bytes_per_s=per_second(first.server.wal_bytes, second.server.wal_bytes),
        calls_per_s=round(sum(entry.calls_per_s for entry in statements), 4) if counted else None,
        statements=tuple(sorted(statements, key=lambda entry: (-entry.ms_per_s, entry.query_id))) if counted else (),
        tables=tables,
        reset=per_second.went_back,
        mean_ms=round(sum(entry.ms_per_s for entry in statements) / ended, 4) if ended else None,
        mean_ms_ever=_mean_ever(second, known),
    )


def sighting(session: Session, after_s: float) -> Sighting:
    """Who is connected now. In a transaction of its own. Raises psycopg.Error."""
    with session.transaction(ends=True):
        row = session.rows(query("sighting", session.major))[0]
    return Sighting(
        round(after_s, 1),
        row.connections,
        row.active,
        row.idle_in_transaction,
        row.blocked,
        row.hidden,
        row.lag_bytes,
        row.waits or {},
    )


def _mean_ever(seen: Look, known: Container[str]) -> float | None:
    counted = [row for query_id, row in (seen.statements or {}).items() if query_id in known]
    calls = sum(row.calls for row in counted)
    return round(sum(row.total_ms for row in counted) / calls, 4) if calls else None


class _PerSecond:
    """A counter's growth per second; None, and remembered, where it went back, because somebody reset it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.went_back = False

    def __call__(self, before: float | None, after: float | None) -> float | None:
        if before is None or after is None:
            return None
        if after < before:
            self.went_back = True
            return None
        return round((after - before) / self._seconds, 4)


def _before(row: Any, name: str) -> float:
    value: float = 0 if row is None else getattr(row, name)
    return value


def _statements(session: Session, extension: Extension | None) -> Mapping[str, Any] | None:
    if extension is None:
        return None
    view = {EXTENSION: qualified_name(extension.schema, EXTENSION)}
    try:
        with session.transaction(ends=True):
            rows = session.rows(query("look_statements", session.major, **view))
    except psycopg.Error:
        return None
    return {row.query_id: row for row in rows}
