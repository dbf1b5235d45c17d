"""Standbys, slots, archiving, publications, and the further nodes."""

from __future__ import annotations

import datetime as dt

import msgspec

from checks.evidence.database.facts.runtime import Settings
from checks.evidence.database.facts.server import Server
from checks.evidence.database.facts.usage import Statements, Usage


class Standby(msgspec.Struct, frozen=True):
    """One row of pg_stat_replication; lags in bytes behind the primary's current WAL position, and seconds."""

    application_name: str
    state: str | None
    sync_state: str | None
    replay_lag_bytes: int | None
    replay_lag_s: float | None
    logical: bool = False


class Slot(msgspec.Struct, frozen=True):
    name: str
    kind: str
    active: bool
    temporary: bool
    wal_status: str | None
    retained_bytes: int | None
    plugin: str | None = None
    database: str | None = None
    inactive_since: dt.datetime | None = None
    invalidation_reason: str | None = None
    conflicting: bool = False
    synced: bool = False
    failover: bool = False
    xmin_age: int | None = None
    catalog_xmin_age: int | None = None


class Archiver(msgspec.Struct, frozen=True):
    """One row of pg_stat_archiver. `unarchived_bytes`: WAL written since the end of the last archived segment."""

    archived: int
    failed: int
    last_archived: dt.datetime | None
    last_failed: dt.datetime | None
    unarchived_bytes: int | None = None


class Publication(msgspec.Struct, frozen=True):
    """`publishes`: insert, update, delete, truncate. `tables` and `schemas` are those named; of the tables, `filtered` have a
    WHERE and `column_lists` a list of columns."""

    name: str
    owner: str
    all_tables: bool = False
    publishes: tuple[str, ...] = ()
    via_root: bool = False
    tables: tuple[int, ...] = ()
    schemas: tuple[str, ...] = ()
    filtered: tuple[int, ...] = ()
    column_lists: tuple[int, ...] = ()


class Subscription(msgspec.Struct, frozen=True):
    """Where it connects to is not kept. `table_states` counts tables by state: initialize, copying, finished, synchronized,
    ready. Error counts are None before 15; `worker_running` is None where this role may not see it."""

    name: str
    owner: str
    enabled: bool
    publications: tuple[str, ...] = ()
    slot_name: str | None = None
    synchronous_commit: str = "off"
    table_states: dict[str, int] = {}
    apply_errors: int | None = None
    sync_errors: int | None = None
    worker_running: bool | None = None


class Replication(msgspec.Struct, frozen=True, tag=True):
    """Of a primary: `standbys`, `slots`, `archiver`. Of a standby: `receiver_state` and the lag it can tell itself:
    bytes received but not replayed, and seconds since the last replayed commit (None where all is replayed)."""

    standbys: tuple[Standby, ...] = ()
    standbys_hidden: bool = False
    slots: tuple[Slot, ...] = ()
    archiver: Archiver | None = None
    receiver_state: str | None = None
    replay_lag_bytes: int | None = None
    replay_lag_s: float | None = None
    replay_paused: bool | None = None
    published_tables: tuple[int, ...] = ()
    publishes_all_tables: bool = False
    subscriptions: tuple[str, ...] = ()
    publications: tuple[Publication, ...] = ()
    subscribed: tuple[Subscription, ...] = ()


class Replica(msgspec.Struct, frozen=True):
    """A further node given with --replica, by the name its DSN shows (host and port, never a password)."""

    name: str
    server: Server
    usage: Usage
    replication: Replication
    settings: Settings
    statements: Statements | None = None
