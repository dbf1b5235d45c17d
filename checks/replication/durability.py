"""Whether what was committed survives a crash, and whether a damaged page is noticed."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings, Usage
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unknown, Unobserved
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, keeps_pages_itself, server_locations, setting_fix, setting_subject

# What each of them costs when the machine stops or a page is damaged, worst first.
_MUST_BE_ON = {
    "fsync": (Severity.CRITICAL, "a crash of the machine can leave the whole cluster corrupt"),
    "full_page_writes": (Severity.HIGH, "a page half written at a crash stays damaged, unless the file system writes "
                                        "whole pages (ZFS)"),
}  # fmt: skip
_MUST_BE_OFF = {
    "zero_damaged_pages": (Severity.CRITICAL, "a damaged page is silently emptied, its rows with it"),
    "ignore_checksum_failure": (Severity.HIGH, "rows of damaged pages are returned as if they were right"),
    "ignore_invalid_pages": (Severity.HIGH, "recovery goes on over WAL that refers to pages which are not there"),
}


@check("replication.unsafe-durability", catalogue="R13", severity=Severity.HIGH, needs=[Settings, Server])
def unsafe_durability(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A setting gives up the safety of committed data.

    These settings make a server faster, or let it go on over damage. They are meant for a load that can be repeated or for
    rescuing what is left, and are often forgotten afterwards: the next power cut then costs the cluster.

    Fix: Give each its default; the time that a commit waits for the disk is shortened by synchronous_commit, per transaction.

    Example: fsync = off in the postgresql.conf that was made for the first import: after the next power cut the cluster does
    not start, or starts with damaged tables.

    Source: PostgreSQL manual, "Reliability and the Write-Ahead Log"; "Developer Options"

    Observed: value, source
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    # A provider with a storage layer of its own switches off what that layer does better.
    on = () if keeps_pages_itself(server) else _MUST_BE_ON
    wanted = {**dict.fromkeys(on, True), **dict.fromkeys(_MUST_BE_OFF, False)}
    seen = {name: settings.by_name[name] for name in wanted if name in settings.by_name}
    yield Examined(len(seen), len(wanted), "settings",
                   gap=None if len(seen) == len(wanted) else _hidden(evidence))  # fmt: skip
    for name, entry in seen.items():
        if is_on(entry.value) == wanted[name]:
            continue
        severity, consequence = {**_MUST_BE_ON, **_MUST_BE_OFF}[name]
        yield Finding(
            setting_subject(name),
            f"{name} is {entry.value}: {consequence}",
            setting_fix(
                server, f"Switch {name} {'on' if wanted[name] else 'off'}.", {name: "on" if wanted[name] else "off"}
            ),
            severity=severity,
            observed={"value": entry.value, "source": entry.source},
            locations=server_locations(evidence),
        )


def _hidden(evidence: Evidence) -> Unobserved:
    return Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))


@check("replication.no-checksums", catalogue="R14", severity=Severity.MEDIUM, needs=[Settings, Server])
def no_checksums(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Data pages carry no checksums, or checksums have failed.

    Without them a disk or a controller that returns wrong bytes is not noticed: the damage is copied to standbys and backups
    until no good copy is left. From 18 on they are on by default. Where a checksum has failed, a page is damaged now.

    Fix: pg_checksums --enable while the server is stopped, on the standby first; then promote it.

    Example: SHOW data_checksums says off: a block that the disk returned wrong is copied by pg_basebackup as it is, and found
    months later by a failing query.

    Source: PostgreSQL manual, "Data Checksums"; "pg_checksums"; "pg_stat_database"

    Observed: data_checksums, checksum_failures, checksum_last_failure
    """
    settings, server, usage = evidence.get(Settings), evidence.get(Server), evidence.find(Usage)
    value = settings.value("data_checksums")
    if value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    failures = int((usage.database.get("checksum_failures") or 0) if usage else 0)
    observed = {"data_checksums": value, "checksum_failures": failures,
                "checksum_last_failure": usage.database.get("checksum_last_failure") if usage else None}  # fmt: skip
    yield Examined(1, 1, "server")
    if failures:
        yield Finding(
            Subject("database", (server.database,)),
            f"{failures:,} checksum failure{'s' if failures > 1 else ''} in database {server.database}: pages are damaged",
            Fix("Stop writing to the disk if it is failing. Find the pages (the log names them; pg_amcheck), fail over to a "
                "standby whose copy is whole, or restore; then replace the hardware."),
            severity=Severity.CRITICAL,
            observed=observed,
        )  # fmt: skip
    if not is_on(value) and not is_managed(server):
        yield Finding(
            setting_subject("data_checksums"),
            "Data checksums are off: damaged pages go unnoticed",
            Fix("Stop a standby, run pg_checksums --enable on it, start it, let it catch up, switch over, and do the same with "
                "the other. The time is that of reading every page once.",
                undo="pg_checksums --disable, while the server is stopped."),
            observed=observed,
            locations=server_locations(evidence),
        )  # fmt: skip
