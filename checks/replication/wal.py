"""How WAL is written: its level, its volume, and the checkpoints it forces."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import CheckpointUsage, Rates, Replication, Server, Settings, Usage, WalUsage
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import (
    is_managed,
    is_on,
    milliseconds,
    server_locations,
    setting_fix,
    setting_subject,
    size_in_bytes,
)

# An image leaves out the hole between rows and line pointers: a page is the most it takes.
PAGE_BYTES = 8192
IMAGES_SHARE = 0.3
# The server asks for a checkpoint when it has written a half to a third of max_wal_size.
VOLUME_SHARE = 0.25
# A base backup or a load asks for one or two.
FEWEST_FORCED = 10


def _days(evidence: Evidence, usage: WalUsage | CheckpointUsage) -> float:
    """Days that these counters cover. Raises Unknown if that is less than `window_days`."""
    return evidence.require_window("window_days", since=usage.since)


@check("replication.wal-level", catalogue="R11", severity=Severity.NOTE, needs=[Settings, Replication, Server])
def wal_level(evidence: Evidence) -> Iterator[Finding | Examined]:
    """WAL holds too little for a standby, or more than anybody reads.

    At minimal neither a standby nor point-in-time recovery is possible, and changing it needs a restart, at the worst moment. At
    logical every change of a table without a key is written in full, for a reader that may not exist.

    Fix: replica, unless something reads the changes by logical decoding.

    Example: wal_level = minimal with max_wal_senders = 0: pg_basebackup is refused, and changing it takes a restart of the only
    server there is.

    Source: PostgreSQL manual, "wal_level"

    Observed: wal_level, logical_slots, publications
    """
    settings, replication, server = evidence.get(Settings), evidence.get(Replication), evidence.get(Server)
    level = settings.value("wal_level")
    if level is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "setting")
    logical = [slot.name for slot in replication.slots if slot.kind == "logical"]
    publications = [entry.name for entry in replication.publications]
    observed = {"wal_level": level, "logical_slots": logical, "publications": publications}
    if level == "minimal":
        yield Finding(
            setting_subject("wal_level"),
            "wal_level is minimal: neither a standby nor recovery to a point in time is possible",
            setting_fix(server, "Write enough for both.", {"wal_level": "replica"}, restart=True),
            severity=Severity.HIGH,
            observed=observed,
            locations=server_locations(evidence),
        )
    elif level == "logical" and not (logical or publications or server.is_standby or is_managed(server)):
        yield Finding(
            setting_subject("wal_level"),
            "wal_level is logical, and nothing reads by logical decoding",
            setting_fix(server, "If nothing is going to, replica writes less.", {"wal_level": "replica"}, restart=True),
            observed=observed,
            locations=server_locations(evidence),
        )


@check("replication.forced-checkpoints", catalogue="R15", severity=Severity.MEDIUM, needs=[Usage, Settings, Server],
       window="window_days")  # fmt: skip
def forced_checkpoints(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Most checkpoints are forced by the volume of WAL.

    A checkpoint before its time writes pages that would have been written once for many changes, and after each one the first
    change of every page goes to WAL whole: more WAL, which forces the next one sooner. Latency shows it as a saw.

    Fix: A larger max_wal_size, so that checkpoint_timeout decides; the disk and the time of recovery are what it costs.

    Example: max_wal_size = 1GB on a server that writes 60 GB of WAL a day: most checkpoints come after a few minutes because of
    their size, and few after checkpoint_timeout.

    Source: PostgreSQL manual, "WAL Configuration"; "max_wal_size"

    Observed: requested, timed, requested_share, requested_per_hour, wal_bytes_per_checkpoint, max_wal_size_bytes,
    checkpoint_timeout_ms
    """
    usage, settings, server = evidence.get(Usage), evidence.get(Settings), evidence.get(Server)
    counted = usage.checkpoints
    if server.is_standby:
        raise NotApplicable("a standby makes restartpoints, when its primary makes checkpoints")
    if counted is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    days = _days(evidence, counted)
    yield Examined(counted.requested + counted.timed, counted.requested + counted.timed, "checkpoints")
    share = counted.requested / max(1, counted.requested + counted.timed)
    per_hour = counted.requested / max(days * 24, 1)
    size = size_in_bytes(settings, "max_wal_size")
    # Restarts, backups and CHECKPOINT request one too, whatever little was written since the last.
    written = usage.wal.bytes / max(1, counted.requested) if usage.wal else 0
    by_volume = size is not None and written >= VOLUME_SHARE * size
    if share <= evidence.limit("forced_checkpoint_share") or per_hour < evidence.limit("forced_checkpoints_per_hour"):
        return
    if not by_volume or counted.requested < FEWEST_FORCED:
        return
    larger = bytes_in_words(4 * (size or 1024**3)).replace(" ", "").replace(".0", "")
    yield Finding(
        setting_subject("max_wal_size"),
        f"{share:.0%} of checkpoints are forced, {per_hour:.1f} an hour",
        setting_fix(server, "Let it grow until checkpoint_timeout decides, then look again.", {"max_wal_size": larger}),
        observed={
            "requested": counted.requested,
            "timed": counted.timed,
            "requested_share": round(share, 4),
            "requested_per_hour": round(per_hour, 2),
            "wal_bytes_per_checkpoint": round(written),
            "max_wal_size_bytes": None if size is None else int(size),
            "checkpoint_timeout_ms": milliseconds(settings, "checkpoint_timeout"),
        },
        locations=server_locations(evidence),
    )


@check("replication.wal-settings", catalogue="R16", severity=Severity.LOW, needs=[Settings, Usage, Server],
       window="window_days")  # fmt: skip
def wal_settings(evidence: Evidence) -> Iterator[Finding | Examined]:
    """WAL carries uncompressed page images, much of its volume.

    After each checkpoint the first change of a page writes the whole page. Compressed (lz4 costs little), they are a fraction:
    less for the disk, the network, every standby and the archive.

    Fix: wal_compression = lz4, or on where the server was built without it.

    Example: wal_compression = off, and pg_stat_wal with 3 million full-page images in a day, 24 GB of the 31 GB that were
    written.

    Source: PostgreSQL manual, "wal_compression"

    Observed: wal_compression, full_page_images, wal_bytes, wal_bytes_per_day
    """
    settings, usage, server = evidence.get(Settings), evidence.get(Usage), evidence.get(Server)
    value = settings.value("wal_compression")
    if usage.wal is None or value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    days = _days(evidence, usage.wal)
    yield Examined(1, 1, "server")
    images = usage.wal.full_page_images * PAGE_BYTES / max(1, usage.wal.bytes)
    per_day = usage.wal.bytes / max(days, 1 / 24)
    if is_on(value) or value in {"pglz", "lz4", "zstd"}:
        return
    if images >= IMAGES_SHARE and per_day > evidence.limit("wal_bytes_per_day") / 10:
        yield Finding(
            setting_subject("wal_compression"),
            f"wal_compression is off, and page images are up to {min(images, 1):.0%} of {bytes_in_words(per_day)} of WAL a day",
            setting_fix(server, "Compress page images.", {"wal_compression": "lz4" if server.major >= 15 else "on"}),
            observed={
                "wal_compression": value,
                "full_page_images": usage.wal.full_page_images,
                "wal_bytes": usage.wal.bytes,
                "wal_bytes_per_day": round(per_day),
            },
            locations=server_locations(evidence),
        )


@check("replication.wal-rate", catalogue="R17", severity=Severity.NOTE, needs=[Usage, Server], window="window_days")
def wal_rate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Very much WAL is written each day.

    Every byte of it goes to the disk, over the network to each standby, and into the archive as long as backups are kept. It
    is a figure to know, and to compare with what the application really changes: unused indexes, wide updates and embeddings
    that are written again unchanged are where it comes from.

    Fix: Look at the statements that write most WAL; drop indexes that nothing reads; write embeddings only when the text changed.

    Example: UPDATE documents SET embedding = $1 for all rows each night, changed or not: 90 GB of WAL a day on a database of 40
    GB.

    Source: PostgreSQL manual, "pg_stat_wal"

    Observed: wal_bytes_per_day, wal_bytes, watched_wal_bytes_per_s
    """
    usage, rates = evidence.get(Usage), evidence.find(Rates)
    if usage.wal is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    days = _days(evidence, usage.wal)
    yield Examined(1, 1, "server")
    per_day = usage.wal.bytes / max(days, 1 / 24)
    if per_day > evidence.limit("wal_bytes_per_day"):
        yield Finding(
            setting_subject("wal_level"),
            f"{bytes_in_words(per_day)} of WAL are written a day",
            Fix(
                "Look at the statements that write most WAL (pg_stat_statements.wal_bytes), at indexes that nothing reads, and "
                "at rows that are written again unchanged."
            ),
            observed={
                "wal_bytes_per_day": round(per_day),
                "wal_bytes": usage.wal.bytes,
                "watched_wal_bytes_per_s": rates.wal_bytes_per_s if rates else None,
            },
        )


@check("replication.sender-timeout", catalogue="R26", severity=Severity.MEDIUM, needs=[Settings, Server])
def sender_timeout(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A replication connection that died is never noticed.

    With wal_sender_timeout or wal_receiver_timeout at 0 a peer that vanished without closing its connection counts as connected:
    its slot stays active, WAL piles up, and synchronous commits wait for an answer that never comes.

    Fix: 60s, the default.

    Example: wal_sender_timeout = 0, and a subscriber whose machine was switched off: its slot stays active for hours, until the
    network gives the connection up.

    Source: PostgreSQL manual, "wal_sender_timeout"; "wal_receiver_timeout"

    Observed: value, source
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    names = ("wal_sender_timeout", "wal_receiver_timeout")
    known = {name: milliseconds(settings, name) for name in names}
    if None in known.values():
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(len(names), len(names), "settings")
    for name, value in known.items():
        if value == 0:
            yield Finding(
                setting_subject(name),
                f"{name} is 0: a peer that vanished is never given up",
                setting_fix(server, "Give peers up after a minute.", {name: "60s"}),
                observed={"value": "0", "source": settings.by_name[name].source},
                locations=server_locations(evidence),
            )
