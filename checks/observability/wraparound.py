"""How far transaction ids are from running out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.evidence.database.facts import Activity, FreezeAge, FreezeAges, Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, Severity, Subject, qualified_name
from checks.registry import check

# mxid_age() of a relation that never held a multixact.
NO_MULTIXACT = 2_147_483_647
HELD_XIDS = 1_000_000
FORGOTTEN_S = 3_600
FEW_TABLES = 3
SHOWN = 5


@check("observability.wraparound", catalogue="O40", severity=Severity.HIGH, needs=[FreezeAges, Server])
def wraparound(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Transaction ids are being used up faster than vacuum frees them.

    A row must be frozen before two billion transactions have passed. Three million before that the server refuses every
    write until somebody has vacuumed by hand, which takes hours on a large table.

    Fix: End what holds the horizon back, then VACUUM the oldest tables.

    Example: SELECT datname, age(datfrozenxid) FROM pg_database says 1.4 billion: an orphaned replication slot has kept vacuum
    from freezing since spring.

    Source: PostgreSQL manual, "Preventing Transaction ID Wraparound Failures"; "vacuum_failsafe_age"

    Observed: xid_age, multixact_age, freeze_max_age, held_back_by
    """
    yield from _aged(evidence, multixact=False)


@check("observability.multixact-wraparound", catalogue="O41", severity=Severity.HIGH, needs=[FreezeAges, Server])
def multixact_wraparound(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Multixact ids are being used up faster than vacuum frees them.

    Each time several transactions lock the same row, by foreign-key checks or SELECT ... FOR SHARE, a multixact id is used. They
    run out like transaction ids, and their members, a space of four billion, often long before.

    Fix: End what holds the horizon back, then VACUUM the oldest tables; fewer shared locks on hot parent rows.

    Example: SELECT datname, mxid_age(datminmxid) FROM pg_database says 380 million: every INSERT into orders locks its
    customer's row FOR KEY SHARE, a few customers with many at once.

    Source: PostgreSQL manual, "Multixacts and Wraparound"

    Observed: xid_age, multixact_age, freeze_max_age, held_back_by
    """
    yield from _aged(evidence, multixact=True)


def _aged(evidence: Evidence, *, multixact: bool) -> Iterator[Finding | Examined]:
    server, ages = evidence.get(Server), evidence.get(FreezeAges)
    yield Examined(len(ages.databases) + len(ages.oldest_tables), len(ages.databases) + len(ages.oldest_tables),
                   "databases and oldest tables")  # fmt: skip
    old = {
        entry.path
        for entry in (*ages.databases, *ages.oldest_tables)
        if _age(entry, multixact) >= evidence.limit("xid_age")
    }
    tables = [entry for entry in ages.oldest_tables if entry.path in old]
    # Many tables grow old together, because something holds the horizon or vacuum is off: that is one finding, of the database.
    few = len(tables) <= FEW_TABLES
    for entry in tables if few else ():
        yield _old(evidence, entry, Subject("table", entry.path), multixact)
    for entry in ages.databases:
        here = entry.path == (server.database,)
        if entry.path in old and not (here and tables and few):
            yield _old(evidence, entry, Subject("database", entry.path), multixact, tables if here else ())


def _age(entry: FreezeAge, multixact: bool) -> int:
    if multixact:
        return 0 if entry.multixact_age == NO_MULTIXACT else entry.multixact_age
    return entry.xid_age


def _old(
    evidence: Evidence, entry: FreezeAge, subject: Subject, multixact: bool, tables: Sequence[FreezeAge] = ()
) -> Finding:
    settings = evidence.find(Settings)
    allowed = (
        settings.value("autovacuum_multixact_freeze_max_age" if multixact else "autovacuum_freeze_max_age")
        if settings
        else None
    )
    trigger = int(allowed) if allowed and allowed.isdigit() else None
    ids = "multixacts" if multixact else "transactions"
    red = _age(entry, multixact) >= evidence.limit("xid_age_red")
    waiting = trigger is not None and _age(entry, multixact) < trigger
    held = _holders(evidence)
    table = subject.kind == "table"
    held_back = f" Nothing helps while {held[0]} holds the horizon: end it first." if held else ""
    return Finding(
        subject,
        f"{subject.kind.capitalize()} {subject.name} is {_age(entry, multixact) / 1e9:.2f} billion {ids} old",
        Fix(
            (
                "Freeze it now, outside peak hours."
                if table
                else f"Connect to it and vacuum its oldest tables: vacuumdb --min-{'m' * multixact}xid-age=1000000000."
            )
            + held_back,
            sql=f"VACUUM (FREEZE, VERBOSE) {qualified_name(*entry.path)};" if table else None,
            lock="SHARE UPDATE EXCLUSIVE" if table else None,
            undo="Nothing to undo." if table else None,
        ),
        severity=Severity.CRITICAL if red else Severity.MEDIUM if waiting else Severity.HIGH,
        observed={
            "xid_age": entry.xid_age,
            "multixact_age": None if entry.multixact_age == NO_MULTIXACT else entry.multixact_age,
            "freeze_max_age": trigger,
            "held_back_by": held,
        },
        related=tuple(Subject("table", old.path) for old in tables),
    )


def _holders(evidence: Evidence) -> list[str]:
    """What keeps old row versions visible, worst first: sessions, prepared transactions, slots."""
    found: list[tuple[int, str]] = []
    if activity := evidence.find(Activity):
        found += [
            (session.xmin_age, f"a session of {session.application_name or session.user}")
            for session in activity.sessions
            if session.xmin_age
        ]
        found += [
            (NO_MULTIXACT, f"prepared transaction {prepared.name}")
            for prepared in activity.prepared
            if prepared.age_s > FORGOTTEN_S
        ]
    if replication := evidence.find(Replication):
        found += [
            (max(slot.xmin_age or 0, slot.catalog_xmin_age or 0), f"slot {slot.name}")
            for slot in replication.slots
            if slot.xmin_age or slot.catalog_xmin_age
        ]
    return [words for age, words in sorted(found, reverse=True) if age > HELD_XIDS][:SHOWN]
