"""Replication slots: whom they keep WAL for, and how much."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Replication, Server, Settings, Slot
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words, seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.registry import check
from checks.relations import quote_literal
from checks.settings import milliseconds, setting_fix, setting_subject, size_in_bytes

RESTART_S = 600
STARTING_S = 5
CONSUMERS = {
    "pgoutput": "a logical subscriber (or Debezium)",
    "wal2json": "a change-data-capture reader (wal2json)",
    "decoderbufs": "Debezium (decoderbufs)",
    "test_decoding": "a reader of test_decoding",
    "pglogical_output": "a pglogical subscriber",
}


def _retention_bytes(evidence: Evidence) -> float:
    """max_slot_wal_keep_size in bytes; infinite where it is -1, the default."""
    size = size_in_bytes(evidence.get(Settings), "max_slot_wal_keep_size")
    return float("inf") if size is None or size < 0 else size


def _lasting_slots(evidence: Evidence) -> list[Slot]:
    """Slots that outlive a session and belong to this node: neither temporary nor copied from a primary."""
    slots = [slot for slot in evidence.get(Replication).slots if not (slot.temporary or slot.synced)]
    if not slots:
        raise NotApplicable("no replication slots")
    return slots


@check("replication.inactive-slot", catalogue="R03", severity=Severity.HIGH, needs=[Replication, Settings, Server])
def inactive_slot(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A replication slot that nobody reads keeps WAL.

    The server keeps every byte of WAL that the slot's consumer has not confirmed. If the consumer is gone for good, the disk
    fills up and the primary stops; until then vacuum may be held back too.

    Fix: Bring the consumer back, or drop the slot once it is sure that nobody will.

    Example: a Debezium connector that was deleted in March, and its slot, which was not: pg_replication_slots says active = f,
    and pg_wal holds 180 GB for it.

    Source: PostgreSQL manual, "Replication Slots"; "pg_replication_slots"

    Observed: kind, plugin, database, retained_bytes, inactive_seconds, wal_status, retention_limit_bytes
    """
    slots, server = _lasting_slots(evidence), evidence.get(Server)
    limit = _retention_bytes(evidence)
    yield Examined(len(slots), len(slots), "replication slots")
    timeout = milliseconds(evidence.get(Settings), "idle_replication_slot_timeout") or 0
    for slot in slots:
        if slot.active or _is_lost(slot):
            continue
        since = _inactive_seconds(server, slot)
        consumer = (
            CONSUMERS.get(slot.plugin or "", f"a reader of {slot.plugin}") if slot.plugin else "a standby or receiver"
        )
        bounded = limit < float("inf") or timeout > 0
        for_long = f" for {seconds_in_words(since)}" if since is not None else ""
        yield Finding(
            Subject("slot", (slot.name,)),
            f"Slot {slot.name} of {consumer} is inactive{for_long} and holds {_held(slot)} of WAL",
            Fix(
                f"Find {consumer} that reads slot {slot.name} and start it again; if it is gone for good, drop the slot.",
                sql=f"SELECT pg_drop_replication_slot({quote_literal(slot.name)});",
                undo="A dropped slot cannot be brought back: its consumer must be built anew.",
            ),
            severity=_severity(evidence, slot, bounded, since),
            observed={
                "kind": slot.kind,
                "plugin": slot.plugin,
                "database": slot.database,
                "retained_bytes": slot.retained_bytes,
                "inactive_seconds": None if since is None else round(since),
                "wal_status": slot.wal_status,
                "retention_limit_bytes": None if limit == float("inf") else int(limit),
                "xmin_age": slot.xmin_age,
                "catalog_xmin_age": slot.catalog_xmin_age,
            },
        )


def _inactive_seconds(server: Server, slot: Slot) -> float | None:
    """How long nobody has read it; None if that is not known: a server that starts counts anew."""
    if slot.inactive_since is None:
        return None
    if server.started_at is not None and (slot.inactive_since - server.started_at).total_seconds() < STARTING_S:
        return None
    return max(0.0, (server.observed_at - slot.inactive_since).total_seconds())


def _held(slot: Slot) -> str:
    return "an unknown amount" if slot.retained_bytes is None else bytes_in_words(max(0, slot.retained_bytes))


def _severity(evidence: Evidence, slot: Slot, bounded: bool, inactive_s: float | None) -> Severity:
    """A slot without a limit ends in a full disk; one with a limit ends in a consumer that must be built anew."""
    retained = slot.retained_bytes or 0
    if slot.wal_status == "unreserved":
        return Severity.HIGH
    if not bounded and retained > evidence.limit("slot_retained_red"):
        return Severity.CRITICAL
    if retained > evidence.limit("slot_retained_bytes"):
        return Severity.MEDIUM if bounded else Severity.HIGH
    if inactive_s is not None and inactive_s < RESTART_S:
        return Severity.LOW if retained <= evidence.limit("lag_bytes") else Severity.MEDIUM
    return Severity.LOW if bounded else Severity.HIGH


def _is_lost(slot: Slot) -> bool:
    """Its WAL or its catalog rows are gone: it holds nothing any more, and nobody can go on from it."""
    return slot.wal_status == "lost" or slot.conflicting or slot.invalidation_reason is not None


@check("replication.slot-losing-wal", catalogue="R04", severity=Severity.HIGH, needs=[Replication, Settings, Server])
def slot_losing_wal(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A replication slot has lost what its consumer needs, or is about to.

    A slot beyond max_slot_wal_keep_size (or idle_replication_slot_timeout) is given up at the next checkpoint: its consumer
    cannot go on, and must be built anew from a full copy. A slot that is lost keeps nothing and only waits to be dropped.

    Fix: Rebuild the consumer with a new slot; before that happens, let it catch up or raise the limit while the disk can take it.

    Example: wal_status = 'lost' in pg_replication_slots: max_slot_wal_keep_size was 10GB, the consumer was away for a night,
    and has to be built anew from a full copy.

    Source: PostgreSQL manual, "pg_replication_slots" (wal_status, invalidation_reason, conflicting)

    Observed: kind, active, wal_status, invalidation_reason, conflicting, retained_bytes, retention_limit_bytes
    """
    slots = _lasting_slots(evidence)
    limit = _retention_bytes(evidence)
    yield Examined(len(slots), len(slots), "replication slots")
    for slot in slots:
        observed = {
            "kind": slot.kind, "active": slot.active, "wal_status": slot.wal_status,
            "invalidation_reason": slot.invalidation_reason, "conflicting": slot.conflicting,
            "retained_bytes": slot.retained_bytes, "retention_limit_bytes": None if limit == float("inf") else int(limit),
        }  # fmt: skip
        if _is_lost(slot):
            why = (slot.invalidation_reason or ("rows_removed" if slot.conflicting else "wal_removed")).replace(
                "_", " "
            )
            yield Finding(
                Subject("slot", (slot.name,)),
                f"Slot {slot.name} is lost ({why}): its consumer cannot go on",
                Fix(
                    "Build its consumer anew with a new slot, and drop this one.",
                    sql=f"SELECT pg_drop_replication_slot({quote_literal(slot.name)});",
                    undo="None is needed: it holds nothing any more.",
                ),
                observed=observed,
            )
        elif slot.active and slot.wal_status == "unreserved":
            yield Finding(
                Subject("slot", (slot.name,)),
                f"Slot {slot.name} is read, and beyond max_slot_wal_keep_size: the next checkpoint may remove its WAL",
                Fix("Find why its consumer is slow; raise max_slot_wal_keep_size while the disk can take it."),
                observed=observed,
            )


@check(
    "replication.unlimited-slot-retention",
    catalogue="R05",
    severity=Severity.MEDIUM,
    needs=[Replication, Settings, Server],
)
def unlimited_slot_retention(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Slots may keep WAL without limit.

    With max_slot_wal_keep_size at -1, its default, one consumer that stays away fills the primary's disk and stops every
    write. With a limit the slot is given up instead, and only its consumer has to be built anew.

    Fix: Set max_slot_wal_keep_size to what the disk can spare.

    Example: max_slot_wal_keep_size = -1 and one logical slot: its consumer is stopped on Friday evening, and on Sunday the
    primary's disk is full. ALTER SYSTEM SET max_slot_wal_keep_size = '50GB' gives up the slot instead.

    Source: PostgreSQL manual, "max_slot_wal_keep_size"

    Observed: slots, inactive_slots, largest_retained_bytes
    """
    slots = _lasting_slots(evidence)
    yield Examined(1, 1, "setting")
    if _retention_bytes(evidence) < float("inf"):
        return
    inactive = [slot for slot in slots if not slot.active]
    largest = max((slot.retained_bytes or 0 for slot in slots), default=0)
    yield Finding(
        setting_subject("max_slot_wal_keep_size"),
        f"max_slot_wal_keep_size is unlimited with {len(slots)} replication slot{'s' if len(slots) > 1 else ''}",
        setting_fix(
            evidence.get(Server),
            "Limit it to WAL that the disk can spare, and alert well below it.",
            {"max_slot_wal_keep_size": "50GB"},
        ),
        severity=Severity.HIGH if inactive else Severity.MEDIUM,
        observed={
            "slots": [slot.name for slot in slots],
            "inactive_slots": [slot.name for slot in inactive],
            "largest_retained_bytes": largest,
        },
        related=tuple(Subject("slot", (slot.name,)) for slot in slots),
    )
