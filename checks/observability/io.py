"""What the server's processes read and write themselves: pg_stat_io, and the small caches of transaction states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.evidence.database.facts import Host, IoUsage, Server
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unobserved
from checks.registry import check
from checks.settings import setting_fix, setting_subject

CLIENT = "client backend"
# What a cache is for, the setting that sizes it since 17, and what asks much of it.
_CACHES = {
    "subtransaction": ("subtransaction_buffers", "savepoints and exception blocks, many in one transaction"),
    "multixact_offset": ("multixact_offset_buffers", "rows that several transactions lock at once (foreign keys)"),
    "multixact_member": ("multixact_member_buffers", "rows that several transactions lock at once (foreign keys)"),
}


@check("observability.io-profile", catalogue="O64", severity=Severity.LOW, needs=[Host, Server], window="window_days")
def io_profile(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Sessions do input and output that others should do for them.

    A session that needs room in shared_buffers and finds only changed pages has to write one first, and its statement waits.
    One that cannot hand over an fsync does that itself, which stops it for long. And when states of subtransactions or of
    shared row locks no longer fit their small caches, all sessions wait for the same pages: throughput breaks
    down within minutes.

    Fix: Let the background writer and checkpoints keep ahead, more shared_buffers; fewer savepoints, or larger caches (17).

    Example: pg_stat_io: client backends wrote 4 million of 5 million blocks themselves; with bgwriter_lru_maxpages = 1000 the
    background writer is ahead of them.

    Source: PostgreSQL manual, "pg_stat_io"; "pg_stat_slru"; "subtransaction_buffers"

    Observed: share, writes_by_sessions, fsyncs_by_sessions, cache, reads, reads_per_day
    """
    host, server = evidence.get(Host), evidence.get(Server)
    resets = [*(entry.since for entry in host.io or ()), *(entry.since for entry in host.slru)]
    since = max((moment for moment in resets if moment), default=None)
    days = evidence.require_window("window_days", since=since)
    gap = Unobserved(Reason.SERVER_VERSION, "PostgreSQL 16 and later count input and output by process")
    kinds = len(_CACHES)
    yield Examined(kinds + (host.io is not None), kinds + 1, "kinds of input and output",
                   gap=gap if host.io is None else None)  # fmt: skip
    if host.io is not None:
        yield from _of_sessions(evidence, server, host.io, days)
    for entry in host.slru:
        if entry.name not in _CACHES or entry.reads / max(days, 1) < evidence.limit("slru_reads_per_day"):
            continue
        setting, cause = _CACHES[entry.name]
        words = entry.name.replace("_", " ")
        advice = f"Find what asks for it: {cause}."
        yield Finding(
            setting_subject(setting),
            f"The cache of {words} states is read from disk {entry.reads / max(days, 1):,.0f} times a day",
            setting_fix(server, f"{advice} A larger cache gives time.", {setting: "1024"}, restart=True)
            if server.major >= 17
            else Fix(f"{advice} From 17 on the cache can be enlarged ({setting})."),
            severity=Severity.MEDIUM,
            observed={"cache": entry.name, "reads": entry.reads, "reads_per_day": round(entry.reads / max(days, 1))},
            discriminator=entry.name,
        )


def _of_sessions(evidence: Evidence, server: Server, io: Iterable[IoUsage], days: float) -> Iterator[Finding]:
    ordinary = [entry for entry in io if entry.object == "relation" and entry.context == "normal"]
    written = sum(entry.writes for entry in ordinary)
    by_sessions = sum(entry.writes for entry in ordinary if entry.backend == CLIENT)
    fsyncs = sum(entry.fsyncs for entry in ordinary if entry.backend == CLIENT)
    observed = {
        "share": round(by_sessions / max(written, 1), 4),
        "writes_by_sessions": by_sessions,
        "fsyncs_by_sessions": fsyncs,
    }
    if fsyncs / max(days, 1) >= 1:
        yield Finding(
            Subject("node", (server.role,)),
            f"Sessions had to fsync files themselves, {fsyncs:,} times",
            Fix(
                "The queue of the checkpointer was full: a larger shared_buffers enlarges it; look whether the disk keeps up."
            ),
            severity=Severity.MEDIUM,
            observed=observed,
            discriminator="fsync",
        )
    per_day = by_sessions / max(days, 1)
    if (
        per_day > evidence.limit("session_writes_per_day")
        and by_sessions > evidence.limit("session_writes_share") * written
    ):
        yield Finding(
            setting_subject("bgwriter_lru_maxpages"),
            f"Sessions write {by_sessions / max(written, 1):.0%} of changed pages themselves, {per_day:,.0f} a day",
            setting_fix(
                server,
                "Let the background writer clean more pages ahead of them; if that is not enough, give shared_buffers more.",
                {"bgwriter_lru_maxpages": "1000", "bgwriter_lru_multiplier": "4"},
            ),
            observed=observed,
        )
