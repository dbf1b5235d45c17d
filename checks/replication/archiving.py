"""Whether WAL reaches an archive, without which there is no recovery to a point in time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from checks.evidence.database.facts import Archiver, Replication, Server, Settings
from checks.evidence.database.shown import SET
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import bytes_in_words, seconds_in_words
from checks.model import Confidence, Examined, Finding, Fix, Location, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import grant
from checks.replication.standbys import RECEIVERS
from checks.settings import is_managed, milliseconds, server_locations, setting_fix, setting_subject

LATE_S = 3_600
# What an idle server writes all the same.
IDLE_BYTES = 1024 * 1024


@check("replication.archiving", catalogue="R09", severity=Severity.HIGH, needs=[Replication, Settings, Server])
def archiving(evidence: Evidence) -> Iterator[Finding | Examined]:
    """WAL is not archived, or the archive falls behind.

    A standby repeats a wrong DELETE within milliseconds, and a nightly dump loses the day. Only archived WAL on top of a base
    backup can bring back the state of five minutes ago; and an archiver that fails keeps WAL until the disk is full.

    Fix: pgBackRest, Barman or WAL-G with a tested restore; archive_mode on; an alert on pg_stat_archiver.

    Example: archive_mode = on with an archive_command that has failed since Tuesday: last_failed_wal moves on,
    last_archived_wal stands still, and pg_wal grows with each hour.

    Source: PostgreSQL manual, "Continuous Archiving and Point-in-Time Recovery (PITR)"; "pg_stat_archiver"

    Observed: archive_mode, archived, failed, seconds_since_archived, unarchived_bytes, receivers
    """
    server, settings, replication = evidence.get(Server), evidence.get(Settings), evidence.get(Replication)
    if server.is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: it is the one that archives")
    mode = settings.value("archive_mode")
    receivers = [standby.application_name for standby in replication.standbys if standby.application_name in RECEIVERS]
    if is_managed(server):
        raise Unknown(Reason.MANAGED_SERVICE_HIDES, "ask for the provider's point-in-time recovery and its retention")
    if mode is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    if mode == "off":
        if replication.standbys_hidden:
            raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
        yield Examined(1, 1, "archiver")
        if not receivers:
            yield _off(evidence)
        return
    yield Examined(1, 1, "archiver")
    if SET not in {settings.value("archive_command"), settings.value("archive_library")}:
        yield Finding(
            setting_subject("archive_command"),
            "archive_mode is on with neither archive_command nor archive_library: WAL piles up",
            Fix("Set archive_command to that of your backup tool: until then every segment is kept."),
            observed={"archive_mode": mode, **_figures(replication.archiver, server.observed_at)},
        )
    elif replication.archiver is not None:
        yield from _behind(evidence, replication.archiver, mode)


def _off(evidence: Evidence) -> Finding:
    repository = evidence.find(Repository)
    facts = [fact for fact in (repository.deployment if repository else ()) if fact.kind == "backup"]
    places: tuple[Location, ...] = tuple(fact.location for fact in facts)
    told = f"; the repository mentions {facts[0].detail}" if facts else ""
    return Finding(
        setting_subject("archive_mode"),
        f"archive_mode is off: no recovery to a point in time{told}",
        Fix(
            "Take a backup tool (pgBackRest, Barman, WAL-G), set archive_command as it says and archive_mode = on together "
            "(a restart; archive_mode alone would only pile up WAL), make a base backup, and test a restore.",
            undo="Set archive_mode = off and restart.",
        ),
        observed={"archive_mode": "off", "receivers": [], "backup_evidence": [fact.detail for fact in facts]},
        locations=(*places, *server_locations(evidence)),
    )


def _behind(evidence: Evidence, archiver: Archiver, mode: str) -> Iterator[Finding]:
    """An archiver whose last attempt failed, or that leaves much WAL waiting."""
    server = evidence.get(Server)
    now = server.observed_at
    observed = {"archive_mode": mode, **_figures(archiver, now)}
    success = archiver.last_archived or _counting_since(server)
    waited = (now - success).total_seconds() if success else 0.0
    failing = archiver.last_failed is not None and (
        archiver.last_archived is None or archiver.last_failed > archiver.last_archived
    )
    if failing:
        red = waited > evidence.limit("archiver_failing_s")
        yield Finding(
            setting_subject("archive_command"),
            f"Archiving fails: {archiver.failed:,} failures, no segment archived for {seconds_in_words(waited)}",
            Fix("Read the server's log for the command's error (permission, disk full, credentials) and correct it; WAL is "
                "kept until it works."),
            severity=Severity.CRITICAL if red else Severity.HIGH,
            observed=observed,
        )  # fmt: skip
    elif (archiver.unarchived_bytes or 0) > evidence.limit("unarchived_bytes"):
        yield Finding(
            setting_subject("archive_command"),
            f"The archiver leaves {bytes_in_words(archiver.unarchived_bytes or 0)} of WAL waiting, without an error",
            Fix("Make archiving faster: a parallel or asynchronous tool, compression, a nearer archive."),
            observed=observed,
        )
    elif (archiver.unarchived_bytes or 0) > IDLE_BYTES and waited > LATE_S and not _has_timeout(evidence):
        yield Finding(
            setting_subject("archive_timeout"),
            f"WAL written since {seconds_in_words(waited)} is in no archive: archive_timeout is not set",
            setting_fix(server, "Bound what can be lost on a quiet server.", {"archive_timeout": "5min"}),
            severity=Severity.MEDIUM,
            confidence=Confidence.MEASURED,
            observed=observed,
        )


def _has_timeout(evidence: Evidence) -> bool:
    return (milliseconds(evidence.get(Settings), "archive_timeout") or 0) > 0


def _figures(archiver: Archiver | None, now: dt.datetime) -> dict[str, int | None]:
    if archiver is None:
        return {}
    since = (now - archiver.last_archived).total_seconds() if archiver.last_archived else None
    return {
        "archived": archiver.archived,
        "failed": archiver.failed,
        "seconds_since_archived": None if since is None else round(since),
        "unarchived_bytes": archiver.unarchived_bytes,
    }


def _counting_since(server: Server) -> dt.datetime | None:
    moments = [moment for moment in (server.statistics_since, server.started_at) if moment]
    return max(moments) if moments else None
