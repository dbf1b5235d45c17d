"""Waiting for the cumulative statistics."""

from __future__ import annotations

import time

from tests.servers import Database


def wait_for(database: Database, condition: str) -> None:
    """Until that holds of pg_stat_user_tables: the server counts what a session did some time after it ended."""
    for _ in range(100):
        with database.connect() as connection:
            row = connection.execute(f"SELECT count(*) FROM pg_stat_user_tables WHERE {condition}".encode()).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.1)
    raise AssertionError(f"the server never counted {condition}")
