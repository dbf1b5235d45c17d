"""Statements sent as an application sends them, so that pg_stat_statements counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from tests.servers import Database

NO_WINDOW = {"window_days": 0}

_FORGET = """
    SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)
"""


def prepare(database: Database, *statements: str) -> None:
    """A database with pg_stat_statements, after these statements, with every table analysed and counters written.

    How long these statements took is forgotten, so that shares of time do not depend on it.
    """
    database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", *statements, "ANALYZE", _FORGET)


def send(connection: psycopg.Connection[Any], statement: str, parameters: Iterable[Sequence[Any]]) -> list[Any]:
    """Runs the statement once for each list of parameters; all rows that came back."""
    rows: list[Any] = []
    for values in parameters:
        cursor = connection.execute(statement.encode(), values)
        if cursor.description:
            rows += cursor.fetchall()
    return rows


def flush(connection: psycopg.Connection[Any]) -> None:
    """Has the server count what this session did, at once."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT 1")
