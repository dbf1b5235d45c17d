"""Slots, standbys and prepared transactions that keep old row versions alive."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Activity, HorizonHolder, Settings
from checks.evidence.evidence import Evidence
from checks.figures import seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.registry import check
from checks.relations import quote_literal

FAR = 100


@check("replication.slot-holds-horizon", catalogue="R06", severity=Severity.MEDIUM, needs=[Activity])
def slot_holds_horizon(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A slot or a standby keeps vacuum from removing dead rows.

    A slot with an xmin, or a standby with hot_standby_feedback and a long query, counts like an open transaction here: no row
    that died since may be removed, in any table. A catalog_xmin holds the system catalogs alone, which bloat all the same.

    Fix: Bring the consumer back or drop its slot; end the long query on the standby.

    Example: SELECT slot_name, age(xmin) FROM pg_replication_slots: the slot of a standby that is gone holds 90 million
    transactions back, and VACUUM reports dead rows that "cannot be removed yet".

    Source: PostgreSQL manual, "pg_replication_slots" (xmin, catalog_xmin); "hot_standby_feedback"

    Observed: kind, xmin_age, age_s
    """
    activity = evidence.get(Activity)
    holders = [entry for entry in activity.horizon if entry.kind in {"slot", "catalog slot", "standby"}]
    if not holders:
        raise NotApplicable("no slot or standby holds back vacuum")
    yield Examined(len(holders), len(holders), "slots and standbys")
    limit = evidence.limit("horizon_xids")
    for entry in holders:
        if entry.xmin_age > limit:
            yield _held(entry, limit)


def _held(entry: HorizonHolder, limit: float) -> Finding:
    catalogs = entry.kind == "catalog slot"
    what = "Standby" if entry.kind == "standby" else "Slot"
    of = "dead rows of the system catalogs" if catalogs else "dead rows of every table"
    far = entry.xmin_age > FAR * limit
    return Finding(
        Subject("node" if entry.kind == "standby" else "slot", (entry.name,)),
        f"{what} {entry.name} keeps {of} for {entry.xmin_age:,} transactions",
        Fix("Find the query on the standby that is still open (pg_stat_activity there) and end it, or switch "
            "hot_standby_feedback off there.")
        if entry.kind == "standby"
        else Fix("Let the slot's consumer catch up, or drop the slot if it is gone for good.",
                 sql=f"SELECT pg_drop_replication_slot({quote_literal(entry.name)});",
                 undo="A dropped slot cannot be brought back: its consumer must be built anew."),
        severity=Severity.LOW if catalogs and not far else Severity.HIGH if far else Severity.MEDIUM,
        observed={"kind": entry.kind, "xmin_age": entry.xmin_age, "age_s": entry.age_s},
    )  # fmt: skip


@check("replication.orphan-prepared-transaction", catalogue="R20", severity=Severity.HIGH, needs=[Activity])
def orphan_prepared_transaction(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A prepared transaction was neither committed nor rolled back.

    It belongs to no session and survives a restart: it keeps its locks and every dead row since for ever, until wraparound stops
    the server. Mostly the coordinator that prepared it has crashed, or lost track of it.

    Fix: Ask the coordinator whether it committed elsewhere, then COMMIT PREPARED or ROLLBACK PREPARED in its database.

    Example: PREPARE TRANSACTION 'order-4711' three weeks ago by a coordinator that no longer exists: it still locks its rows,
    and vacuum removes nothing that died since.

    Source: PostgreSQL manual, "PREPARE TRANSACTION"; "pg_prepared_xacts"

    Observed: database, owner, age_s
    """
    activity, settings = evidence.get(Activity), evidence.find(Settings)
    if settings is not None and settings.value("max_prepared_transactions") == "0":
        raise NotApplicable("max_prepared_transactions is 0")
    yield Examined(1, 1, "server")
    for entry in activity.prepared:
        if entry.age_s < evidence.limit("prepared_transaction_s"):
            continue
        yield Finding(
            Subject("prepared_transaction", (entry.name,)),
            f"Prepared transaction {entry.name} has waited for {seconds_in_words(entry.age_s)}",
            Fix(
                f"Find out from its coordinator which way it ended; then, in database {entry.database} as {entry.owner}, end it.",
                sql=f"ROLLBACK PREPARED {quote_literal(entry.name)}; -- or COMMIT PREPARED",
                undo="None: a transaction that ended cannot be brought back.",
            ),
            severity=Severity.CRITICAL if entry.age_s > 86_400 else Severity.HIGH,
            observed={"database": entry.database, "owner": entry.owner, "age_s": round(entry.age_s)},
        )
