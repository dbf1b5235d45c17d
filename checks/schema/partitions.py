"""Are large tables split, and are their partitions ready?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words, instant, seconds_in_words
from checks.model import (
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
)
from checks.registry import check
from checks.relations import estimated_rows, leaves, reviewed_tables
from checks.schema.columns import words
from checks.schema.habits import CROWD, once_per_habit

_LOGS = frozenset(
    "log logs event events audit audits outbox inbox queue queues job jobs message messages trace traces span spans history "
    "metric metrics notification notifications webhook webhooks delivery deliveries run runs execution executions".split()
)
_INSTANTS = frozenset({"timestamp", "timestamptz", "date"})
_SHOWN = 5
_ARCHIVED_DAYS = 180
_SKEW = 10


@check("schema.large-unpartitioned-table", catalogue="S75", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} are very large and in one piece", CROWD)
def large_unpartitioned_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A very large table is in one piece.

    One vacuum, one index build and one restore of it take hours, none of them can be done in part, and rows that are past their
    time can only be deleted one by one. Splitting it while it is used is a project, which grows with the table.

    Fix: Partition it by what its readers always name, usually time or tenant, or move its cold part away.

    Example: events, 600 GB in one table, of which reports read the last month: deleting 2023 is a DELETE of a billion
    rows, where DROP TABLE events_2023 would take a moment.

    Source: PostgreSQL manual, "Table Partitioning", Overview; GitLab's limit of 100 GB for a table

    Observed: total_bytes, rows, indexes, instants.
    """
    catalog = evidence.get(Catalog)
    tables, limit = reviewed_tables(catalog), evidence.limit("table_bytes")
    for table in tables:
        if table.kind != "table" or (table.total_bytes or 0) < limit:
            continue
        rows = estimated_rows(evidence, table)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has {bytes_in_words(table.total_bytes or 0)} in one piece",
            Fix(
                "Make a partitioned table of the same columns, attach this one as its first partition with a CHECK that is "
                "validated before, and send new rows to new partitions. Its primary key has to contain the partition key."
            ),
            observed={
                "total_bytes": table.total_bytes,
                "rows": None if rows is None else round(rows),
                "indexes": len(catalog.indexes_of(table.oid)),
                "instants": [c.name for c in catalog.columns_of(table.oid).values() if c.base_type in _INSTANTS],
            },
        )
    yield Examined(len(tables), len(tables), "tables")


@check(
    "schema.unpruned-log-table", catalogue="S76", severity=Severity.MEDIUM, needs=[Catalog, Usage], window="window_days"
)
@once_per_family
def unpruned_log_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A queue or log is emptied by DELETE.

    Each deleted row is written to the WAL, stays until vacuum removes it, and leaves a hole in table and indexes: a table that
    passes millions of rows through is mostly holes, and its readers walk over them. Dropping a partition does the same at once.

    Fix: Partition by time and drop what is past; keep finished jobs apart from those that wait.

    Example: DELETE FROM jobs WHERE finished_at < now() - interval '1 hour' removes 5 million rows a day: SELECT ...
    ORDER BY id LIMIT 1 walks over those that vacuum has not removed yet.

    Source: PostgreSQL manual, "Table Partitioning", Overview; "Routine Vacuuming"

    Observed: inserted, deleted, deleted_per_day, dead_tuples, live_tuples.
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    days = max(evidence.require_window("window_days"), 1.0)
    tables = [table for table in reviewed_tables(catalog) if table.kind == "table" and _LOGS & set(words(table.name))]
    if not tables:
        raise NotApplicable("no table is called after a queue or a log")
    for table in tables:
        counted = usage.table_by_oid.get(table.oid)
        if counted is None or counted.deleted / days < evidence.limit("deleted_rows_per_day"):
            continue
        instants = [column.name for column in catalog.columns_of(table.oid).values() if column.base_type in _INSTANTS]
        if not instants or counted.deleted < counted.inserted / 2:
            continue
        yield Finding(
            table.subject,
            f"Table {table.subject.name} loses about {counted.deleted / days:,.0f} rows a day by DELETE",
            Fix(f"Partition it by {instants[0]}, a day or a week each, and drop partitions instead of deleting rows."),
            observed={
                "inserted": counted.inserted,
                "deleted": counted.deleted,
                "deleted_per_day": round(counted.deleted / days),
                "dead_tuples": counted.dead_tuples,
                "live_tuples": counted.live_tuples,
            },
        )
    yield Examined(len(tables), len(tables), "queues and logs, by their names")


@check("schema.partition-sizes", catalogue="S77", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} partitioned tables of schema {schema} have no partition, or of the wrong size"
)
def partition_sizes(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A partitioned table has no partition, far too many, or one that holds nearly everything.

    Without partitions every insert fails. With thousands, planning takes longer than executing and needs a lock for each. Hash
    partitions of very different size say that the key has a value which most rows share: a tenant in a partition of its own.

    Fix: Make partitions so that there are tens or hundreds, of which one fits in memory with its indexes.

    Example: CREATE TABLE events (...) PARTITION BY RANGE (created_at) without a partition: INSERT fails with "no
    partition of relation "events" found for row".

    Source: PostgreSQL manual, "Table Partitioning", section "Best Practices"

    Observed: partitions, largest_bytes, largest_share, strategy.
    """
    catalog = evidence.get(Catalog)
    tables = _partitioned(catalog)
    for table in tables:
        parts = leaves(catalog, table)
        sizes = sorted((part.total_bytes or 0 for part in parts), reverse=True)
        total = sum(sizes)
        if not catalog.partitions_of(table.oid):
            title, severity = f"Partitioned table {table.subject.name} has no partition: inserts fail", Severity.MEDIUM
        elif len(parts) > evidence.limit("partitions"):
            title, severity = f"Table {table.subject.name} has {len(parts):,} partitions", Severity.LOW
        elif (
            table.partition_strategy == "hash"
            and len(sizes) > 1
            and total >= evidence.limit("partition_skew_bytes")
            and sizes[0] > _SKEW * max(sizes[len(sizes) // 2], 1)
        ):
            title = f"One of {len(parts)} hash partitions of {table.subject.name} holds {sizes[0] / total:.0%} of it"
            severity = Severity.LOW
        else:
            continue
        yield Finding(
            table.subject,
            title,
            Fix(
                "Create partitions of a size that can be vacuumed and indexed in minutes; merge those of small ranges."
            ),
            severity=severity,
            observed={
                "partitions": len(parts),
                "largest_bytes": sizes[0] if sizes else None,
                "largest_share": round(sizes[0] / total, 3) if total else None,
                "strategy": table.partition_strategy,
            },
        )
    yield Examined(len(tables), len(tables), "partitioned tables")


@check("schema.rows-in-default-partition", catalogue="S78", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} tables of schema {schema} have rows in their default partition", CROWD
)
def rows_in_default_partition(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows pile up in a default partition.

    They are those for which nobody made a partition. A partition for them can be attached only after they were moved away, under
    a lock that shuts everybody out while the default partition is read; and a query over a range in which a partition is missing
    reads all of it.

    Fix: Detach the default partition, make the partitions that are missing, and move its rows there.

    Example: events_default holds the rows since March: CREATE TABLE events_2026_03 PARTITION OF events ... fails with
    "updated partition constraint for default partition "events_default" would be violated by some row".

    Source: PostgreSQL manual, "ALTER TABLE", ATTACH PARTITION

    Observed: default_partition, rows, share.
    """
    catalog = evidence.get(Catalog)
    tables = [table for table in _partitioned(catalog) if table.default_partition is not None]
    if not tables:
        raise NotApplicable("no partitioned table has a default partition")
    for table in tables:
        default = catalog.table_by_oid.get(table.default_partition or 0)
        # List partitions often have a few large ones and a default for all the others, on purpose.
        if default is None or default.kind != "table" or table.partition_strategy == "list":
            continue
        rows, everything = estimated_rows(evidence, default), estimated_rows(evidence, table)
        if not rows:
            continue
        name, part = qualified_name(table.schema, table.name), qualified_name(default.schema, default.name)
        yield Finding(
            table.subject,
            f"About {rows:,.0f} rows of {table.subject.name} are in its default partition",
            Fix(
                "Detach it, make the partitions that are missing, insert its rows into the table again, and leave it empty.",
                f"ALTER TABLE {name} DETACH PARTITION {part};",
                lock="ACCESS EXCLUSIVE",
                undo=f"ALTER TABLE {name} ATTACH PARTITION {part} DEFAULT;",
            ),
            observed={
                "default_partition": default.subject.name,
                "rows": round(rows),
                "share": round(rows / everything, 3) if everything else None,
            },
            related=(default.subject,),
        )
    yield Examined(len(tables), len(tables), "default partitions")


@check("schema.no-future-partition", catalogue="S79", severity=Severity.HIGH, needs=[Catalog, Server])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} tables of schema {schema} have no partition for what comes next", CROWD
)
def no_future_partition(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table partitioned by time has no partition for what comes next.

    The first row beyond the last partition is an error, or lands in the default partition, from where it has to be moved under a
    lock. It happens at midnight UTC, on the first of a month or of a year.

    Fix: Make partitions ahead, by pg_partman or a scheduled job that somebody watches.

    Example: events has partitions up to 1 December and no default partition: from midnight on each INSERT fails with
    "no partition of relation "events" found for row".

    Source: PostgreSQL manual, "Table Partitioning", section "Partition Maintenance"; pg_partman, premake

    Observed: last_bound, days_left, partitions, default_partition.
    """
    catalog, server = evidence.get(Catalog), evidence.get(Server)
    tables = [(table, bounds) for table in _partitioned(catalog) if (bounds := _time_bounds(catalog, table))]
    if not tables:
        raise NotApplicable("no table is partitioned by time")
    for table, bounds in tables:
        parts = catalog.partitions_of(table.oid)
        last = bounds[-1]
        width = last - bounds[-2] if len(bounds) > 1 else None
        left = (last - server.observed_at) / dt.timedelta(days=1)
        # A yearly set is made ready some weeks before, one of days a few days before.
        needed = min(evidence.limit("partitions_ahead_days"), (width / dt.timedelta(days=1)) if width else 1.0)
        if any(part.unbounded for part in parts) or left >= needed or left < -_ARCHIVED_DAYS:
            continue
        default = catalog.table_by_oid.get(table.default_partition or 0)
        if left > 0:
            title = f"Table {table.subject.name} has no partition beyond {last:%Y-%m-%d}, in {seconds_in_words(left * 86_400)}"
        else:
            title = f"Table {table.subject.name} has no partition since {last:%Y-%m-%d}"
        yield Finding(
            table.subject,
            title + (": rows go to the default partition" if default else ": inserts fail"),
            Fix(
                "Create the partitions of the next weeks now, and have pg_partman or a scheduled job create those that follow; "
                "watch that it does."
            ),
            severity=Severity.MEDIUM if default and left > 0 else Severity.HIGH,
            observed={
                "last_bound": instant(last),
                "days_left": round(left, 1),
                "partitions": len(parts),
                "default_partition": default.subject.name if default else None,
            },
        )
    yield Examined(len(tables), len(tables), "tables partitioned by time")


def _time_bounds(catalog: Catalog, table: Table) -> list[dt.datetime]:
    """Where the partitions of a table end, in order, if that is in time."""
    return sorted(
        part.upper_bound for part in catalog.partitions_of(table.oid) if isinstance(part.upper_bound, dt.datetime)
    )


def _partitioned(catalog: Catalog) -> list[Table]:
    found = [table for table in reviewed_tables(catalog) if table.kind == "partitioned"]
    if not found:
        raise NotApplicable("no table is partitioned")
    return found
