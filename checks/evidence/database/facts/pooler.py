"""The pooler in front of the server, as its own console tells it."""

from __future__ import annotations

import msgspec


class Pool(msgspec.Struct, frozen=True):
    """One row of SHOW POOLS. `waiting` clients have no server connection; the first of them has waited `longest_wait_s`."""

    database: str
    user: str
    mode: str
    clients: int
    waiting: int
    servers_busy: int
    servers_idle: int
    longest_wait_s: float


class Pooler(msgspec.Struct, frozen=True, tag=True):
    """PgBouncer. `settings` are figures and switches of SHOW CONFIG, in its own units; `mean_wait_ms` is what a transaction
    waited for a server on average in the last stats_period, by database: of those with many transactions so far."""

    name: str
    version: str
    pools: tuple[Pool, ...] = ()
    settings: dict[str, str] = {}
    mean_wait_ms: dict[str, float] = {}
