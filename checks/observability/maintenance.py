"""Maintenance: what is at work at the moment of the look, and what is done too often."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Activity, Catalog, Progress, Server, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, Severity, Subject
from checks.observability.vacuum import used_tables
from checks.registry import check

# What somebody started. Autovacuum's work comes and goes, COPY is an application's own.
_LARGE = frozenset(
    {"CREATE INDEX", "CREATE INDEX CONCURRENTLY", "REINDEX", "REINDEX CONCURRENTLY", "CLUSTER", "VACUUM FULL", "REPACK",
     "BASE_BACKUP"}
)  # fmt: skip
_LOCKS_OUT = frozenset({"CLUSTER", "VACUUM FULL"})


@check("observability.maintenance-running", catalogue="O65", severity=Severity.NOTE, needs=[Activity, Server])
def maintenance_running(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index build, a rewrite of a table or a base backup is at work during the review.

    What the review says of that table, and of the server's load, is of a moment between: an index that is being built is still
    invalid, a table that is rewritten can be neither read nor written meanwhile.

    Fix: Nothing to mend; look at that table again once it is done.

    Example: CREATE INDEX CONCURRENTLY on messages waits for an old transaction to end (waiting for old snapshots), and has done
    so since last night.

    Source: PostgreSQL manual, "Progress Reporting"

    Observed: command, phase, done_share
    """
    server, catalog = evidence.get(Server), evidence.find(Catalog)
    yield Examined(1, 1, "server")
    for entry in evidence.get(Activity).progress:
        if entry.command in _LARGE:
            yield _at_work(server, catalog, entry)


def _at_work(server: Server, catalog: Catalog | None, entry: Progress) -> Finding:
    table = (
        catalog.table_by_oid.get(entry.table) if catalog and entry.table and entry.database == server.database else None
    )
    subject = table.subject if table else Subject("database", (entry.database or server.database,))
    where = f" on {table.subject.name}" if table else f" in database {entry.database}" if entry.database else ""
    share = entry.done / entry.total if entry.done is not None and entry.total else None
    phase = f": {entry.phase}" if entry.phase else ""
    return Finding(
        subject,
        f"{entry.command}{where} is at work{phase}{'' if share is None else f', {share:.0%} of that done'}",
        Fix("Until it ends nobody can read that table; wait before judging it." if entry.command in _LOCKS_OUT else
            "Look at it again once it is done; where it waits, for what (pg_stat_activity, pg_locks)."),
        observed={"command": entry.command, "phase": entry.phase, "done_share": None if share is None else round(share, 4)},
        discriminator=entry.command,
    )  # fmt: skip


@check("observability.vacuum-too-often", catalogue="O48", severity=Severity.NOTE, needs=[Catalog, Usage, Server],
       window="window_days")  # fmt: skip
@once_per_family
def vacuum_too_often(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large table is vacuumed every few minutes, all day.

    Each pass reads every page that changed, and every index from end to end if rows died. Where it happens again at once,
    autovacuum is either asked to act on too few rows, or cannot remove what is dead, because something still sees it.

    Fix: Look for what holds the horizon back first; else a larger autovacuum_vacuum_scale_factor or threshold for this table.

    Example: jobs, with 40 GB of which most are dead rows, is vacuumed 900 times a day: a session idle in transaction since
    yesterday holds the horizon, and each pass removes nothing.

    Source: PostgreSQL manual, "Automatic Vacuuming", autovacuum_vacuum_scale_factor

    Observed: vacuums_per_day, size_bytes, dead_share
    """
    days = evidence.require_window("window_days")
    tables = used_tables(evidence)
    counted = [entry for entry in tables if entry.usage.vacuums is not None]
    yield Examined(len(counted), len(tables), "tables")
    for entry in counted:
        per_day, size = (entry.usage.vacuums or 0) / max(days, 1), entry.table.total_bytes or 0
        if per_day < evidence.limit("vacuums_per_day") or size < evidence.limit("vacuumed_bytes"):
            continue
        stuck = entry.dead_share >= evidence.limit("dead_share")
        yield Finding(
            entry.table.subject,
            f"{entry.table.subject.name} ({bytes_in_words(size)}) is vacuumed {per_day:,.0f} times a day"
            + (f", and {entry.dead_share:.0%} of its rows are dead all the same" if stuck else ""),
            Fix("Find what keeps dead rows from being removed (observability.horizon-held)." if stuck else
                "Have autovacuum wait for more dead rows in this table (autovacuum_vacuum_scale_factor, _threshold)."),
            observed={"vacuums_per_day": round(per_day), "size_bytes": size, "dead_share": round(entry.dead_share, 4)},
            locations=evidence.locations(entry.table.subject),
        )  # fmt: skip
