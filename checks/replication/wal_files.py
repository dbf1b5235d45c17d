"""How much room pg_wal takes, and who keeps it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Host, Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, keeps_pages_itself, setting_subject, size_in_bytes


@check("replication.wal-size", catalogue="R25", severity=Severity.MEDIUM, needs=[Host, Settings, Replication, Server])
def wal_size(evidence: Evidence) -> Iterator[Finding | Examined]:
    """pg_wal takes much more room than its settings ask for.

    WAL that a slot, the archiver or a standby still needs is not removed, whatever max_wal_size says. It grows until the disk is
    full, and a primary that cannot write WAL stops. What keeps it is mostly known; how near the end is, only this says.

    Fix: Find who keeps it: an inactive slot, an archiver that fails, a consumer that lags. Never delete files of pg_wal by hand.

    Example: max_wal_size = 4GB and 210 GB in pg_wal: an archive_command that fails keeps all of it.

    Source: PostgreSQL manual, "WAL Configuration"; "pg_ls_waldir"

    Observed: wal_bytes, files, expected_bytes, slot, slot_retained_bytes, unarchived_bytes
    """
    host, settings, server = evidence.get(Host), evidence.get(Settings), evidence.get(Server)
    if keeps_pages_itself(server):
        raise NotApplicable("the provider's storage keeps WAL")
    if host.wal is None:
        if is_managed(server):
            raise Unknown(Reason.MANAGED_SERVICE_HIDES, "see the provider's figure for WAL or transaction logs on disk")
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    largest, kept = size_in_bytes(settings, "max_wal_size"), size_in_bytes(settings, "wal_keep_size")
    if largest is None or kept is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "folder")
    expected = largest + kept
    if host.wal.bytes <= max(evidence.limit("wal_files_bytes"), evidence.limit("wal_files_factor") * expected):
        return
    replication = evidence.get(Replication)
    slots = [slot for slot in replication.slots if slot.retained_bytes]
    slot = max(slots, key=lambda entry: entry.retained_bytes or 0, default=None)
    retained = (slot.retained_bytes or 0) if slot else 0
    unarchived = (replication.archiver.unarchived_bytes or 0) if replication.archiver else 0
    by_slot = slot is not None and retained >= host.wal.bytes / 2
    by_archiver = not by_slot and unarchived >= host.wal.bytes / 2
    # Then the check on slots, or the one on archiving, has a finding of its own.
    told = (by_slot and slot is not None and not slot.active) or by_archiver
    cause = f"slot {slot.name} keeps it" if by_slot and slot else "it waits for the archiver" if by_archiver else ""
    yield Finding(
        setting_subject("max_wal_size"),
        f"pg_wal takes {bytes_in_words(host.wal.bytes)}, with {bytes_in_words(expected)} asked for"
        + (f": {cause}" if cause else ""),
        Fix(
            "Bring the consumer of that slot up to date, or give it up; max_slot_wal_keep_size bounds what it can keep."
            if by_slot
            else "See why the archiver is behind (pg_stat_archiver), and give it more speed."
            if by_archiver
            else "It shrinks after a peak, a few files with each checkpoint; if it does not, look for a slot, an archiver or a "
            "standby that was there before."
        ),
        severity=Severity.NOTE if told else None if cause else Severity.LOW,
        observed={
            "wal_bytes": host.wal.bytes,
            "files": host.wal.files,
            "expected_bytes": int(expected),
            "slot": slot.name if slot else None,
            "slot_retained_bytes": retained,
            "unarchived_bytes": unarchived,
        },
        related=(Subject("slot", (slot.name,)),) if by_slot and slot else (),
    )
