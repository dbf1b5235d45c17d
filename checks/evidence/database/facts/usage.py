"""What was used: cumulative statistics and statements, and their rates between two looks."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Any

import msgspec


class TableUsage(msgspec.Struct, frozen=True):
    """pg_stat_user_tables. Tuples of its TOAST table are chunks of values, about 2 kB each. `vacuums` are those of people and of
    autovacuum since counting began; None where evidence was collected before they were looked at."""

    table: int
    sequential_scans: int
    sequential_tuples: int
    index_scans: int
    inserted: int
    updated: int
    deleted: int
    hot_updated: int
    live_tuples: int
    dead_tuples: int
    modified_since_analyze: int
    last_vacuum: dt.datetime | None = None
    last_analyze: dt.datetime | None = None
    last_sequential_scan: dt.datetime | None = None
    last_index_scan: dt.datetime | None = None
    xid_age: int | None = None
    toast_live_tuples: int = 0
    toast_dead_tuples: int = 0
    vacuums: int | None = None


class IndexUsage(msgspec.Struct, frozen=True):
    """pg_stat_user_indexes and pg_statio_user_indexes. Blocks are those of the index that were found in shared_buffers, and that
    were not; None where evidence was collected before they were looked at.

    `own_looks` are scans that earlier reviews by this program made at the ends of the index, `own_plannings` those that planning
    statements with its leading column in them can have made for it, at most; by pg_stat_statements, 0 without it."""

    index: int
    scans: int
    tuples_read: int
    last_scan: dt.datetime | None = None
    blocks_hit: int | None = None
    blocks_read: int | None = None
    own_looks: int = 0
    own_plannings: int = 0


class WalUsage(msgspec.Struct, frozen=True):
    """pg_stat_wal, of the whole server."""

    records: int
    full_page_images: int
    bytes: int
    buffers_full: int
    since: dt.datetime | None = None


class CheckpointUsage(msgspec.Struct, frozen=True):
    """pg_stat_checkpointer with pg_stat_bgwriter, before 17 the latter alone. Buffers are blocks; `written_by_backends` is
    told before 17 only, `done` from 18 on."""

    timed: int
    requested: int
    done: int | None
    write_ms: float
    sync_ms: float
    buffers_written: int
    buffers_cleaned: int
    cleaning_stopped: int
    buffers_allocated: int
    written_by_backends: int | None = None
    since: dt.datetime | None = None


class Usage(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Cumulative statistics of one node. `conflicts` are statements that recovery cancelled here, by reason (of a standby).
    `wal`, `checkpoints` and `conflicts` are None where the server does not offer them."""

    tables: tuple[TableUsage, ...] = ()
    indexes: tuple[IndexUsage, ...] = ()
    database: dict[str, Any] = {}
    wal: WalUsage | None = None
    checkpoints: CheckpointUsage | None = None
    conflicts: dict[str, int] | None = None

    @cached_property
    def table_by_oid(self) -> dict[int, TableUsage]:
        return {entry.table: entry for entry in self.tables}

    @cached_property
    def index_by_oid(self) -> dict[int, IndexUsage]:
        return {entry.index: entry for entry in self.indexes}


class Statement(msgspec.Struct, frozen=True):
    """One row of pg_stat_statements, summed over users; `text` is normalised and has no literal.

    `users` are the roles that ran it. Blocks are counts of 8 kB blocks. `read_ms` and `write_ms` are times spent on shared
    blocks, 0 without track_io_timing; `jit_ms` is None before pg_stat_statements 1.10.
    """

    query_id: str
    text: str
    calls: int
    total_ms: float
    mean_ms: float
    rows: int
    stddev_ms: float | None = None
    max_ms: float | None = None
    shared_blocks_hit: int = 0
    shared_blocks_read: int = 0
    temp_blocks_written: int = 0
    wal_bytes: int | None = None
    planning_ms: float | None = None
    users: tuple[str, ...] = ()
    toplevel: bool = True
    read_ms: float | None = None
    write_ms: float | None = None
    jit_ms: float | None = None


class Statements(msgspec.Struct, frozen=True, tag=True, dict=True):
    """`evicted` is pg_stat_statements_info.dealloc; `hidden` counts entries whose text this role may not read. Statements that
    read the system's catalogs alone, as pg_dump and monitoring do, are no entries: `of_tools` is how many there are, and
    `of_tools_ms` the time they took."""

    extension_version: str
    since: dt.datetime | None
    evicted: int | None
    hidden: int
    entries: tuple[Statement, ...] = ()
    of_tools: int = 0
    of_tools_ms: float = 0.0

    @cached_property
    def total_ms(self) -> float:
        return sum(entry.total_ms for entry in self.entries) + self.of_tools_ms

    @cached_property
    def by_id(self) -> dict[str, Statement]:
        return {entry.query_id: entry for entry in self.entries}

    def share(self, entry: Statement) -> float:
        """Share of all execution time, 0 to 1."""
        return entry.total_ms / self.total_ms if self.total_ms else 0.0


class EarlierStatement(msgspec.Struct, frozen=True):
    """What a statement's counters said then."""

    query_id: str
    calls: int
    total_ms: float


class Earlier(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Counters of statements at the last review of the same database before this one. `since` is when they began to count.
    `filenodes` are the files that tables had then, by the table's oid: see Table."""

    observed_at: dt.datetime
    since: dt.datetime | None = None
    statements: tuple[EarlierStatement, ...] = ()
    filenodes: dict[str, int] = {}

    @cached_property
    def by_id(self) -> dict[str, EarlierStatement]:
        return {entry.query_id: entry for entry in self.statements}


class StatementRate(msgspec.Struct, frozen=True):
    """Between two looks. `ms_per_s` is execution time per second: 1000 is one core's worth."""

    query_id: str
    calls_per_s: float
    ms_per_s: float


class TableRate(msgspec.Struct, frozen=True):
    """Rows per second between two looks; `read_per_s` by sequential and index scans together."""

    table: int
    inserted_per_s: float
    updated_per_s: float
    deleted_per_s: float
    read_per_s: float


class Sighting(msgspec.Struct, frozen=True):
    """Who was connected at one moment between two looks, ours left out, `after_s` seconds after the first. `blocked` wait for a
    lock; `lag_bytes` is how far the furthest standby or subscriber was behind, None where none is seen. `waits` counts active
    sessions by what they wait for (`Lock:tuple`), '' for none. `hidden` sessions do not show this role what they do."""

    after_s: float
    connections: int
    active: int
    idle_in_transaction: int
    blocked: int
    hidden: int = 0
    lag_bytes: int | None = None
    waits: dict[str, int] = {}


class Rates(msgspec.Struct, frozen=True, tag=True, dict=True):
    """What happened between two looks, `seconds` apart, our own part left out where it can be told. Only what moved is listed.

    `mean_ms` is the mean execution time of the statements that ended in between, `mean_ms_ever` that of all that
    pg_stat_statements counts for this database; None where none did, or it cannot be read. `sightings` were made in between.
    `write_transactions_per_s` counts transaction ids assigned on the whole server. `calls_per_s` is None without
    pg_stat_statements, and `reset` says that counters went back in between, so that some rates are missing.
    """

    seconds: float
    transactions_per_s: float | None = None
    write_transactions_per_s: float | None = None
    wal_bytes_per_s: float | None = None
    calls_per_s: float | None = None
    statements: tuple[StatementRate, ...] = ()
    tables: tuple[TableRate, ...] = ()
    reset: bool = False
    mean_ms: float | None = None
    mean_ms_ever: float | None = None
    sightings: tuple[Sighting, ...] = ()

    @cached_property
    def statement_by_id(self) -> dict[str, StatementRate]:
        return {entry.query_id: entry for entry in self.statements}

    @cached_property
    def table_by_oid(self) -> dict[int, TableRate]:
        return {entry.table: entry for entry in self.tables}
