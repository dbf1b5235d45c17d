"""Vacuum: what holds it back, where it is off, where it is overdue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Activity, Catalog, HorizonHolder, Server, Settings, Table, TableUsage, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words, instant, seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant, is_of_the_application
from checks.settings import is_managed, is_on, server_locations, setting_fix, setting_subject, size_in_bytes

OVERDUE = 2
SHOWN = 5
HOUR_S = 3_600
FAR = 100


class Used(msgspec.Struct, frozen=True):
    """A table with rows of its own, and when autovacuum acts on it: from `trigger` dead rows on."""

    table: Table
    usage: TableUsage
    trigger: float
    enabled: bool

    @property
    def dead_share(self) -> float:
        return self.usage.dead_tuples / max(1, self.usage.dead_tuples + self.usage.live_tuples)


def used_tables(evidence: Evidence) -> list[Used]:
    """Raises NotApplicable if there is none, Unknown on a standby, which counts no changes."""
    catalog, usage, settings = evidence.get(Catalog), evidence.get(Usage), evidence.get(Settings)
    if evidence.get(Server).is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: a standby does not count changes")
    found = []
    for table in catalog.tables:
        used = usage.table_by_oid.get(table.oid)
        if table.kind != "table" or used is None or not is_of_the_application(table):
            continue
        enabled = is_on(table.options.get("autovacuum_enabled") or "on") and is_on(settings.value("autovacuum"))
        found.append(Used(table, used, _trigger(settings, table, used), enabled))
    if not found:
        raise NotApplicable("the database has no tables")
    return found


def _trigger(settings: Settings, table: Table, used: TableUsage) -> float:
    """Dead rows from which autovacuum vacuums it: its own storage parameters before the server's settings."""

    def parameter(name: str, default: float) -> float:
        try:
            return float(table.options.get(name) or settings.value(name) or default)
        except ValueError:
            return default

    rows = max(float(table.rows or 0), float(used.live_tuples))
    trigger = parameter("autovacuum_vacuum_threshold", 50) + parameter("autovacuum_vacuum_scale_factor", 0.2) * rows
    most = parameter("autovacuum_vacuum_max_threshold", -1)
    return min(trigger, most) if most >= 0 else trigger


def _vacuum(table: Table, summary: str) -> Fix:
    return Fix(summary, sql=f"VACUUM (ANALYZE, VERBOSE) {table.subject.name};", lock="SHARE UPDATE EXCLUSIVE",
               undo="Nothing to undo.")  # fmt: skip


def _figures(entry: Used) -> dict[str, object]:
    moment = entry.usage.last_vacuum
    return {
        "dead_rows": entry.usage.dead_tuples,
        "live_rows": entry.usage.live_tuples,
        "dead_share": round(entry.dead_share, 4),
        "trigger": round(entry.trigger),
        "last_vacuum": instant(moment) if moment else None,
        "size_bytes": entry.table.total_bytes,
    }


@check("observability.dead-rows", catalogue="O43", severity=Severity.MEDIUM, needs=[Catalog, Usage, Settings, Server])
@once_per_family
def dead_rows(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large part of a table is dead rows, well past the point where autovacuum acts.

    Scans read dead rows with the living, and the space that they take stays with the table when they are gone. If they are many
    though autovacuum has been due for long, something keeps it from its work: an old transaction, too few workers, a lock.

    Fix: End what holds it back, then VACUUM; lower autovacuum_vacuum_scale_factor for that table.

    Example: sessions has 40,000 live rows and 900,000 dead ones: a transaction that was open all night kept vacuum from
    removing them.

    Source: PostgreSQL manual, "Recovering Disk Space"; "pg_stat_user_tables" (n_dead_tup is an estimate)

    Observed: dead_rows, live_rows, dead_share, trigger, last_vacuum, size_bytes
    """
    tables = used_tables(evidence)
    yield Examined(len(tables), len(tables), "tables")
    for entry in tables:
        many = entry.usage.dead_tuples >= evidence.limit("dead_rows_min") and entry.dead_share >= evidence.limit(
            "dead_share"
        )
        if many and entry.usage.dead_tuples > OVERDUE * entry.trigger and entry.enabled:
            yield Finding(
                entry.table.subject,
                f"{entry.usage.dead_tuples:,} of {entry.usage.dead_tuples + entry.usage.live_tuples:,} row versions of "
                f"{entry.table.subject.name} are dead",
                _vacuum(entry.table, "Vacuum it, and see why autovacuum did not: what holds the horizon, whether its workers "
                                     "are all busy, who locks the table."),
                observed=_figures(entry),
            )  # fmt: skip


@check("observability.vacuum-overdue", catalogue="O46", severity=Severity.LOW, needs=[Catalog, Usage, Settings, Server])
@once_per_family
def vacuum_overdue(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Autovacuum has been due on a table for more than a day.

    By the table's own thresholds it should have been vacuumed; it waits for a worker, or each run is cancelled by a lock. Until
    then its dead rows stay, and index-only scans visit the table for each row.

    Fix: More autovacuum workers or a higher cost limit; VACUUM it by hand now.

    Example: orders has 9 million dead rows where autovacuum acts at 2 million, since three days: each run was cancelled by a
    LOCK TABLE of the nightly job.

    Source: PostgreSQL manual, "The Autovacuum Daemon"

    Observed: dead_rows, live_rows, dead_share, trigger, last_vacuum, size_bytes
    """
    tables, now = used_tables(evidence), evidence.get(Server).observed_at
    yield Examined(len(tables), len(tables), "tables")
    for entry in tables:
        last, dead = entry.usage.last_vacuum, entry.usage.dead_tuples
        overdue = dead > OVERDUE * entry.trigger and dead >= evidence.limit("dead_rows_min") and entry.enabled
        waited = last is not None and now - last > dt.timedelta(days=1)
        if overdue and waited and last is not None and entry.dead_share < evidence.limit("dead_share"):
            yield Finding(
                entry.table.subject,
                f"{entry.table.subject.name} was last vacuumed {seconds_in_words((now - last).total_seconds())} ago, with "
                f"{dead:,} dead rows since",
                _vacuum(entry.table, "Vacuum it; then see whether the workers of autovacuum keep up."),
                observed=_figures(entry),
            )


@check("observability.never-vacuumed", catalogue="O47", severity=Severity.MEDIUM, needs=[Catalog, Usage, Settings, Server],
       window="window_days")  # fmt: skip
@once_per_family
def never_vacuumed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table that changes has never been vacuumed as long as the counters go back.

    No page is marked as visible to all, so that no index-only scan saves anything, and its oldest row decides when the whole
    database has to be frozen.

    Fix: VACUUM (ANALYZE) it once, and find out why autovacuum does not.

    Example: imports, filled by COPY a year ago, and last_vacuum and last_autovacuum are null: SELECT count(*) goes to the table
    for each row of the index. VACUUM (ANALYZE) imports.

    Source: PostgreSQL manual, "Routine Vacuuming"

    Observed: dead_rows, live_rows, dead_share, trigger, last_vacuum, size_bytes
    """
    evidence.require_window("window_days")
    tables = used_tables(evidence)
    yield Examined(len(tables), len(tables), "tables")
    for entry in tables:
        due = entry.usage.dead_tuples > entry.trigger and entry.usage.dead_tuples >= evidence.limit("dead_rows_min")
        if (
            due
            and entry.usage.last_vacuum is None
            and entry.enabled
            and entry.dead_share < evidence.limit("dead_share")
        ):
            yield Finding(
                entry.table.subject,
                f"{entry.table.subject.name} has {entry.usage.dead_tuples:,} dead rows and was never vacuumed",
                _vacuum(entry.table, "Vacuum it; then see why autovacuum does not get to it."),
                observed=_figures(entry),
            )


@check("observability.autovacuum-off", catalogue="O44", severity=Severity.MEDIUM, needs=[Catalog, Settings, Server])
@once_per_family
def autovacuum_off(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Autovacuum is switched off, for a table or for all.

    Nobody vacuums by hand for long. Dead rows pile up, statistics grow old, and when transaction ids run out autovacuum comes
    anyway, at the worst time, and cannot be put off.

    Fix: Switch it on; a table that is truncated and loaded anew may be left out knowingly.

    Example: ALTER TABLE jobs SET (autovacuum_enabled = off) for a load in 2023: the table has 200 rows and 14 GB. ALTER TABLE
    jobs RESET (autovacuum_enabled).

    Source: PostgreSQL manual, "autovacuum"; "Storage Parameters"

    Observed: rows, size_bytes, persistence
    """
    settings, catalog, server = evidence.get(Settings), evidence.get(Catalog), evidence.get(Server)
    tables = [table for table in catalog.tables if table.kind == "table" and is_of_the_application(table)]
    yield Examined(len(tables) + 1, len(tables) + 1, "server and tables")
    if settings.value("autovacuum") is not None and not is_on(settings.value("autovacuum")):
        yield Finding(
            setting_subject("autovacuum"),
            "Autovacuum is off for the whole server",
            setting_fix(server, "Switch it on.", {"autovacuum": "on"}),
            severity=Severity.CRITICAL,
            observed={"rows": None, "size_bytes": server.size_bytes, "persistence": None},
            locations=server_locations(evidence),
        )
    for table in tables:
        if is_on(table.options.get("autovacuum_enabled") or "on"):
            continue
        staging = table.persistence != "permanent"
        name = table.subject.name
        yield Finding(
            table.subject,
            f"Autovacuum is off for {name}" + (", an unlogged table" if staging else ""),
            Fix("Switch it on, unless the table is emptied and loaded anew each time.",
                sql=f"ALTER TABLE {name} RESET (autovacuum_enabled);", lock="SHARE UPDATE EXCLUSIVE",
                undo=f"ALTER TABLE {name} SET (autovacuum_enabled = off);"),
            severity=Severity.NOTE if staging else Severity.MEDIUM,
            observed={"rows": table.rows, "size_bytes": table.total_bytes, "persistence": table.persistence},
            locations=evidence.locations(table.subject),
        )  # fmt: skip


@check("observability.autovacuum-defaults-on-large-table", catalogue="O45", severity=Severity.LOW,
       needs=[Catalog, Usage, Settings, Server])  # fmt: skip
def autovacuum_defaults_on_large_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Large tables wait until a fifth of them is dead.

    autovacuum_vacuum_scale_factor is 0.2: a table with 100 million rows is vacuumed after 20 million changes, in one run of
    hours. A smaller factor makes many short runs of it. From 18 on autovacuum_vacuum_max_threshold bounds it.

    Fix: ALTER TABLE ... SET (autovacuum_vacuum_scale_factor = 0.01) for each of them.

    Example: events with 400 million rows and autovacuum_vacuum_scale_factor = 0.2: vacuum comes after 80 million dead rows;
    ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.01) makes it four million.

    Source: PostgreSQL manual, "autovacuum_vacuum_scale_factor"; "autovacuum_vacuum_max_threshold"

    Observed: tables, largest_trigger
    """
    tables = used_tables(evidence)
    yield Examined(len(tables), len(tables), "tables")
    large = [
        entry
        for entry in tables
        if max(float(entry.table.rows or 0), entry.usage.live_tuples) >= evidence.limit("large_table_rows")
        and entry.trigger >= evidence.limit("large_table_rows") / 10
        and (entry.usage.updated + entry.usage.deleted) > 0
    ]
    if large:
        large.sort(key=lambda entry: -entry.trigger)
        names = [entry.table.subject.name for entry in large]
        yield Finding(
            setting_subject("autovacuum_vacuum_scale_factor"),
            f"{len(large)} large table{'s wait' if len(large) > 1 else ' waits'} for up to {large[0].trigger:,.0f} dead rows "
            "before autovacuum acts",
            Fix("Give each large table a factor of its own.",
                sql="\n".join(f"ALTER TABLE {name} SET (autovacuum_vacuum_scale_factor = 0.01);" for name in names[:SHOWN]),
                lock="SHARE UPDATE EXCLUSIVE",
                undo="\n".join(f"ALTER TABLE {name} RESET (autovacuum_vacuum_scale_factor);" for name in names[:SHOWN])),
            observed={"tables": names[:SHOWN], "largest_trigger": round(large[0].trigger)},
            related=tuple(entry.table.subject for entry in large[:SHOWN]),
        )  # fmt: skip


@check("observability.autovacuum-resources", catalogue="O49", severity=Severity.LOW, needs=[Settings, Catalog, Server])
def autovacuum_resources(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Autovacuum has little memory or few workers for what there is.

    With maintenance_work_mem at 64 MB the vacuum of a large table (before 17) reads every index again for each 11 million dead
    rows; and three workers that share one cost limit do not get round thousands of tables.

    Fix: maintenance_work_mem or autovacuum_work_mem of 1 GB, a higher autovacuum_vacuum_cost_limit, then more workers.

    Example: maintenance_work_mem = 64MB on 16, and a table of 600 million rows: each vacuum goes through its six indexes
    several times. autovacuum_work_mem = '1GB' makes it one time.

    Source: PostgreSQL manual, "autovacuum_work_mem"; "Cost-based Vacuum Delay"

    Observed: work_memory_bytes, workers, tables, largest_index_bytes
    """
    settings, catalog, server = evidence.get(Settings), evidence.get(Catalog), evidence.get(Server)
    memory = size_in_bytes(settings, "autovacuum_work_mem")
    if memory is not None and memory < 0:
        memory = size_in_bytes(settings, "maintenance_work_mem")
    workers = settings.value("autovacuum_max_workers")
    if memory is None or workers is None or not workers.isdigit():
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "server")
    tables = sum(table.kind == "table" for table in catalog.tables)
    largest = max((index.size_bytes or 0 for index in catalog.indexes), default=0)
    observed = {
        "work_memory_bytes": int(memory),
        "workers": int(workers),
        "tables": tables,
        "largest_index_bytes": largest,
    }
    changes: dict[str, str] = {}
    if server.major < 17 and memory <= 64 * 1024**2 and largest > 10 * 1024**3:
        changes["autovacuum_work_mem"] = "1GB"
    if int(workers) <= 3 and tables > 3_000:
        changes["autovacuum_vacuum_cost_limit"] = "2000"
    if changes and not is_managed(server):
        why = (
            f"{tables:,} tables"
            if "autovacuum_vacuum_cost_limit" in changes
            else f"an index of {bytes_in_words(largest)}"
        )
        yield Finding(
            setting_subject(next(iter(changes))),
            f"Autovacuum has {bytes_in_words(memory)} and {workers} workers for {why}",
            setting_fix(server, "Give it more.", changes),
            observed=observed,
            locations=server_locations(evidence),
        )


@check("observability.horizon-held", catalogue="O42", severity=Severity.MEDIUM, needs=[Activity])
def horizon_held(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A session keeps vacuum from removing dead rows, in every table of the database.

    Whatever died since its snapshot was taken might still be asked for. A report that runs for hours, or a cursor that is left
    open, does this as surely as a forgotten transaction, and every busy table grows meanwhile.

    Fix: Shorter statements and transactions; long reports on a standby without hot_standby_feedback.

    Example: a pg_dump of seven hours: meanwhile VACUUM VERBOSE sessions says of 300,000 dead rows that they "cannot be removed
    yet".

    Source: PostgreSQL manual, "Routine Vacuuming"; "pg_stat_activity" (backend_xmin)

    Observed: kind, xmin_age, age_s
    """
    activity = evidence.get(Activity)
    holders = [entry for entry in activity.horizon if entry.kind == "session" and not _is_idle(activity, entry)]
    yield (
        Examined(len(activity.horizon), len(activity.horizon), "holders of the horizon")
        if activity.horizon
        else Examined(1, 1, "server")
    )
    for entry in holders:
        old = entry.age_s is not None and entry.age_s > HOUR_S
        if entry.xmin_age > evidence.limit("horizon_xids") or (
            old and entry.xmin_age > evidence.limit("horizon_xids") / FAR
        ):
            since = f" for {seconds_in_words(entry.age_s)}" if entry.age_s is not None else ""
            yield Finding(
                Subject("session", (entry.name or "unnamed",)),
                f"A session of {entry.name or 'an unnamed client'} holds the horizon{since}, {entry.xmin_age:,} transactions "
                "back",
                Fix("See what it runs (pg_stat_activity) and whether that may take so long; pg_cancel_backend() ends the "
                    "statement, transaction_timeout (17 and later) the habit."),
                severity=Severity.HIGH if entry.xmin_age > FAR * evidence.limit("horizon_xids") else Severity.MEDIUM,
                observed={"kind": entry.kind, "xmin_age": entry.xmin_age, "age_s": entry.age_s},
            )  # fmt: skip


def _is_idle(activity: Activity, holder: HorizonHolder) -> bool:
    """Sessions that idle in their transaction are a finding of their own."""
    return any(
        (session.application_name or session.user) == holder.name
        and (session.state or "").startswith("idle in transaction")
        for session in activity.sessions
    )


@check("observability.low-hot-ratio", catalogue="O51", severity=Severity.NOTE, needs=[Catalog, Usage, Settings, Server],
       window="window_days")  # fmt: skip
@once_per_family
def low_hot_ratio(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Most updates of a busy table write all of its indexes again.

    An update that changes no indexed column, and finds room on its page, is heap-only: no index is touched. Where few are, either
    an index covers a column that changes all the time, or pages have no room left.

    Fix: Drop the index on the column that changes; fillfactor = 90 only where no indexed column changes.

    Example: UPDATE users SET last_seen_at = now() WHERE id = $1, with an index on last_seen_at: 2 % of the updates are HOT, and
    each of the others writes seven indexes.

    Source: PostgreSQL manual, "Heap-Only Tuples (HOT)"

    Observed: updated, hot_updated, hot_share, indexes
    """
    evidence.require_window("window_days")
    catalog, tables = evidence.get(Catalog), used_tables(evidence)
    yield Examined(len(tables), len(tables), "tables")
    busy = sorted(tables, key=lambda entry: -entry.usage.updated)[:SHOWN]
    for entry in busy:
        share = entry.usage.hot_updated / max(1, entry.usage.updated)
        if entry.usage.updated >= 10 * evidence.limit("dead_rows_min") and share < evidence.limit("hot_share"):
            indexes = len(catalog.indexes_of(entry.table.oid))
            yield Finding(
                entry.table.subject,
                f"{share:.0%} of {entry.usage.updated:,} updates of {entry.table.subject.name} are heap-only: the others write "
                f"{indexes} index{'es' if indexes != 1 else ''}",
                Fix("See which indexed column the updates change, and whether anything needs that index."),
                observed={"updated": entry.usage.updated, "hot_updated": entry.usage.hot_updated,
                          "hot_share": round(share, 4), "indexes": indexes},
            )  # fmt: skip
