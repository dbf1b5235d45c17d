"""Whether anything says that the database is backed up."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.deployment import COPY_OF_FILES
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.replication.standbys import RECEIVERS
from checks.settings import is_managed, server_locations


@check(
    "replication.no-backup-evidence", catalogue="R10", severity=Severity.MEDIUM, needs=[Replication, Settings, Server]
)
def no_backup_evidence(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nothing speaks of a backup: no archive, no receiver, no file of the deployment.

    A standby is no backup: it repeats every mistake. Backups that exist leave traces, in the server's settings or in the
    repository that deploys it. Where there are none, either there is no backup, or nobody who reads the code can know of it.

    Fix: A backup tool with point-in-time recovery, its schedule and retention in the repository, and a restore that is rehearsed.

    Example: archive_mode = off, nobody connects for pg_basebackup, and docker-compose.yml has a postgres service with one
    volume: when the volume is gone, so is the database.

    Source: PostgreSQL manual, "Backup and Restore"

    Observed: archive_mode, receivers, deployment_files
    """
    server, settings, replication = evidence.get(Server), evidence.get(Settings), evidence.get(Replication)
    repository = evidence.find(Repository)
    found = [fact for fact in (repository.deployment if repository else ()) if fact.kind == "backup"]
    told = [fact for fact in found if fact.detail != COPY_OF_FILES]
    receivers = [entry.application_name for entry in replication.standbys if entry.application_name in RECEIVERS]
    archives = settings.value("archive_mode") not in {None, "off"}
    if told or receivers or archives:
        yield Examined(1, 1, "server")
        return
    if server.is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: it is the one that archives")
    if is_managed(server):
        raise Unknown(
            Reason.MANAGED_SERVICE_HIDES, "ask for the provider's backups, their retention and the last restore"
        )
    if repository is None:
        raise Unknown(
            Reason.REPO_NOT_GIVEN, "give the repository that deploys the database, or answer the backup questions"
        )
    yield Examined(1, 1, "server")
    yield Finding(
        Subject("node", ("primary",)),
        "The only backup that is told of is a copy of the server's files, which only a stopped server can start from"
        if found
        else "Neither the server nor the repository tells of a backup",
        Fix("Make it by pg_basebackup or pg_dump instead, or stop the server meanwhile; then restore one on another machine."
            if found
            else "If there is one, write down in the repository what makes it, how long it is kept and how it is restored. If "
            "there is none, begin today: pgBackRest, Barman or WAL-G, and a restore to another machine."),
        confidence=Confidence.INFERRED,
        observed={"archive_mode": settings.value("archive_mode"), "receivers": receivers,
                  "deployment_files": [fact.location.path for fact in found]},
        locations=(*(fact.location for fact in found), *server_locations(evidence)),
    )  # fmt: skip
