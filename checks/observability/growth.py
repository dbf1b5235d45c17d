"""How fast tables and the log grow, and when that will hurt."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Host, Rates, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables
from checks.settings import is_managed, setting_subject

YEAR_DAYS = 365
LARGEST = 5


@check(
    "observability.growth", catalogue="O55", severity=Severity.LOW, needs=[Catalog, Usage, Server], window="window_days"
)
def growth(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table, or the server's log, grows so fast that its end can be told.

    What is only added to is cheap to keep, until an index no longer fits into memory, a backup no longer into the night, and the
    disk is full: then it is too late for the partitions that would have made deleting easy. The rate is rows added less
    rows deleted since counting began, each as large as those that are there.

    Fix: Decide now how long rows are kept; partition by time while the table is small, and drop what is old.

    Example: llm_calls takes 2 million rows and 9 GB a week, and loses none: with 400 GB of disk left it is full within a year.

    Source: PostgreSQL manual, "Table Partitioning"; "pg_stat_user_tables" (n_tup_ins, n_tup_del)

    Observed: bytes_per_day, size_bytes, doubles_in_days, bytes_in_a_year, deleted_share
    """
    days = evidence.require_window("window_days")
    catalog, usage, server = evidence.get(Catalog), evidence.get(Usage), evidence.get(Server)
    tables = [table for table in reviewed_tables(catalog) if table.kind == "table" and table.oid in usage.table_by_oid]
    yield Examined(len(tables), len(tables), "tables")
    for table in tables if not server.is_standby else ():
        yield from _of_table(evidence, table, days)
    yield from _of_log(evidence, server)


def _of_table(evidence: Evidence, table: Table, days: float) -> Iterator[Finding]:
    """With less than a day the rate is nobody's. What was added may have been loaded once: where it is most of the table, only
    what is added while it is watched says that it goes on. TRUNCATE is not counted."""
    entry, rows = evidence.get(Usage).table_by_oid[table.oid], estimated_rows(evidence, table)
    added, size = entry.inserted - entry.deleted, table.total_bytes
    if not rows or rows < 1 or added <= 0 or not size or added > rows * 1.1:
        return
    if added > rows / 2 and not _is_being_added_to(evidence, table, added / max(days, 1)):
        return
    per_day = added / max(days, 1) * size / rows
    in_a_year = size + per_day * YEAR_DAYS
    doubles = size / per_day
    if per_day < evidence.limit("growth_bytes_per_day") or doubles > evidence.limit("doubles_in_days"):
        return
    yield Finding(
        table.subject,
        f"{table.subject.name} grows by {bytes_in_words(per_day)} a day, and will have doubled in {doubles:,.0f} days",
        Fix(f"Decide how long its rows are kept, and partition it by time before that: in a year it takes "
            f"{bytes_in_words(in_a_year)}."),
        observed={"bytes_per_day": round(per_day), "size_bytes": size, "doubles_in_days": round(doubles, 1),
                  "bytes_in_a_year": round(in_a_year), "deleted_share": round(entry.deleted / max(entry.inserted, 1), 4)},
        confidence=Confidence.INFERRED,
        locations=evidence.locations(table.subject),
    )  # fmt: skip


def _of_log(evidence: Evidence, server: Server) -> Iterator[Finding]:
    host = evidence.find(Host)
    log = host.log if host else None
    if log is None or log.oldest is None or log.newest is None or is_managed(server):
        return
    days = max((log.newest - log.oldest).total_seconds() / 86_400, 1)
    per_day = log.bytes / days
    if per_day > evidence.limit("log_bytes_per_day"):
        yield Finding(
            setting_subject("log_min_duration_statement"),
            f"The log grows by {bytes_in_words(per_day)} a day: {bytes_in_words(log.bytes)} in {log.files} files",
            Fix("See what fills it (log_statement, log_min_duration_statement, log_connections, one error again and again), log "
                "less of that, and have old files removed."),
            observed={"bytes_per_day": round(per_day), "size_bytes": log.bytes, "doubles_in_days": None,
                      "bytes_in_a_year": round(log.bytes + per_day * YEAR_DAYS), "deleted_share": None},
        )  # fmt: skip


def _is_being_added_to(evidence: Evidence, table: Table, rows_per_day: float) -> bool:
    rates = evidence.find(Rates)
    rate = rates.table_by_oid.get(table.oid) if rates else None
    return rate is not None and (rate.inserted_per_s - rate.deleted_per_s) * 86_400 >= rows_per_day / 3


@check("observability.size-concentrated", catalogue="O56", severity=Severity.NOTE, needs=[Catalog])
def size_concentrated(evidence: Evidence) -> Iterator[Finding | Examined]:
    """One table is most of a large database.

    How long a backup, a restore, a major upgrade or a new standby takes is decided by this one table; so is what disk costs. What
    is done about its size is done about the database's.

    Fix: Decide how long its rows are kept; partition it by time, or move what is only kept to cheaper storage.

    Example: llm_calls has 310 of the 400 GB of all tables with their indexes: a restore takes six hours, of which the rest of the
    application needs one.

    Source: PostgreSQL manual, "Database Object Size Functions"

    Observed: size_bytes, share, all_bytes, largest
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    sizes: dict[int, int] = {table.oid: table.total_bytes or 0 for table in tables if table.kind == "table"}
    for part in catalog.tables:
        if part.is_partition and part.root is not None:
            sizes[part.root] = sizes.get(part.root, 0) + (part.total_bytes or 0)
    ordered = sorted((table for table in tables if table.oid in sizes), key=lambda table: -sizes[table.oid])
    yield Examined(len(ordered), len(tables), "tables")
    total = sum(sizes[table.oid] for table in ordered)
    if total < evidence.limit("large_database_bytes") or len(ordered) < LARGEST:
        return
    first = ordered[0]
    share = sizes[first.oid] / total
    if share >= evidence.limit("one_table_share"):
        yield Finding(
            first.subject,
            f"{first.subject.name} is {share:.0%} of the {bytes_in_words(total)} of all tables with their indexes",
            Fix("Decide how long its rows are kept: partition it by time and drop what is old, or keep that elsewhere."),
            observed={"size_bytes": sizes[first.oid], "share": round(share, 4), "all_bytes": total,
                      "largest": {table.subject.name: sizes[table.oid] for table in ordered[:LARGEST]}},
            locations=evidence.locations(first.subject),
        )  # fmt: skip
