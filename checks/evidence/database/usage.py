"""Cumulative statistics of tables, indexes and the database, of the node that answers."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from checks.evidence.database.facts import (
    Catalog,
    CheckpointUsage,
    ColumnStatistics,
    IndexUsage,
    PlannerStatistics,
    TableUsage,
    Usage,
    WalUsage,
)
from checks.evidence.database.query import query
from checks.evidence.database.session import Session


def observe_usage(session: Session) -> Usage:
    """`database` holds pg_stat_database's columns of this database as they are named there."""
    tables = session.rows(query("table_usage", session.major))
    indexes = session.rows(query("index_usage", session.major))
    database = session.rows(query("database_usage", session.major))
    return Usage(
        tables=tuple(sorted(map(_table_usage, tables), key=lambda entry: entry.table)),
        indexes=tuple(sorted((IndexUsage(*row) for row in indexes), key=lambda entry: entry.index)),
        database=database[0].counters if database else {},
    )


def with_server_counters(usage: Usage, session: Session) -> Usage:
    """Fills in what counts for the whole server, and conflicts with recovery, in a transaction of its own: some services
    do not offer these views."""
    try:
        with session.transaction():
            row = session.rows(query("server_counters", session.major))[0]
    except psycopg.Error:
        return usage
    return msgspec.structs.replace(
        usage,
        wal=WalUsage(
            records=row.wal_records,
            full_page_images=row.full_page_images,
            bytes=row.wal_bytes,
            buffers_full=row.wal_buffers_full,
            since=row.wal_since,
        ),
        checkpoints=CheckpointUsage(
            timed=row.timed,
            requested=row.requested,
            done=row.done,
            write_ms=row.write_ms,
            sync_ms=row.sync_ms,
            buffers_written=row.buffers_written,
            buffers_cleaned=row.buffers_cleaned,
            cleaning_stopped=row.cleaning_stopped,
            buffers_allocated=row.buffers_allocated,
            written_by_backends=row.written_by_backends,
            since=row.checkpoints_since,
        ),
        conflicts=row.conflicts,
    )


def observe_planner_statistics(session: Session, catalog: Catalog, *, sees_all: bool) -> PlannerStatistics:
    """What ANALYZE found, without a value of it. Of parents in an inheritance tree, the figures of the table alone count;
    of partitioned tables, those of all partitions. From a superuser (`sees_all`) none are hidden."""
    found: dict[tuple[int, int], tuple[bool, ColumnStatistics]] = {}
    numbers = {
        table.oid: {column.name: number for number, column in catalog.columns_of(table.oid).items()}
        for table in catalog.tables
    }
    for row in session.rows(query("planner_statistics", session.major)):
        table = catalog.table_by_name.get((row.schema, row.table_name))
        number = numbers[table.oid].get(row.column_name) if table else None
        if table is None or number is None:
            continue
        known = found.get((table.oid, number))
        if known is None or known[0]:
            found[table.oid, number] = (row.inherited, _column_statistics(row, table.oid, number))
    hidden = 0 if sees_all else session.rows(query("hidden_statistics", session.major))[0].tables
    return PlannerStatistics(columns=tuple(entry for _, entry in found.values()), hidden_tables=hidden)


def _column_statistics(row: Any, table: int, number: int) -> ColumnStatistics:
    return ColumnStatistics(
        table=table,
        column=number,
        null_share=row.null_share,
        average_width=row.average_width,
        distinct=row.distinct_values,
        correlation=row.correlation,
        common_share=row.common_share,
    )


def _table_usage(row: Any) -> TableUsage:
    return TableUsage(
        table=row.table_oid,
        sequential_scans=row.sequential_scans,
        sequential_tuples=row.sequential_tuples,
        index_scans=row.index_scans,
        inserted=row.inserted,
        updated=row.updated,
        deleted=row.deleted,
        hot_updated=row.hot_updated,
        live_tuples=row.live_tuples,
        dead_tuples=row.dead_tuples,
        modified_since_analyze=row.modified_since_analyze,
        last_vacuum=row.last_vacuum,
        last_analyze=row.last_analyze,
        last_sequential_scan=row.last_sequential_scan,
        last_index_scan=row.last_index_scan,
        xid_age=row.xid_age,
        toast_live_tuples=row.toast_live_tuples,
        toast_dead_tuples=row.toast_dead_tuples,
        vacuums=row.vacuums,
    )
