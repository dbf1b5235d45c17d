"""What becomes of the old primary after a failover."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.model import Examined, Finding, NotApplicable, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, server_locations, setting_fix, setting_subject

_FRAMEWORKS = frozenset({"Patroni", "repmgr", "pg_auto_failover", "Stolon"})


@check("replication.failover-tooling", catalogue="R32", severity=Severity.NOTE, needs=[Settings, Replication, Server])
def failover_tooling(evidence: Evidence) -> Iterator[Finding | Examined]:
    """After a failover the old primary must be copied anew.

    The one that was primary has written WAL that nobody else has. pg_rewind takes it back in minutes, but only where pages have
    checksums or wal_log_hints is on; otherwise it is copied whole, and until then there is one node less.

    Fix: wal_log_hints = on, or data checksums, before the failover; then let the framework use pg_rewind.

    Example: a cluster of Patroni without data checksums and with wal_log_hints = off: after a failover pg_rewind refuses, and
    800 GB are copied for a new standby.

    Source: PostgreSQL manual, "pg_rewind"; Patroni documentation, "use_pg_rewind"

    Observed: data_checksums, wal_log_hints, standbys, framework
    """
    settings, replication, server = evidence.get(Settings), evidence.get(Replication), evidence.get(Server)
    if is_managed(server):
        raise NotApplicable("failover is the provider's")
    framework = sorted({fact.detail for fact in _frameworks(evidence)})
    standbys = [entry.application_name for entry in replication.standbys if not entry.logical]
    if not (standbys or framework or server.is_standby or evidence.replicas):
        raise NotApplicable("there is no standby to fail over to")
    values = {name: settings.value(name) for name in ("data_checksums", "wal_log_hints")}
    if None in values.values():
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "server")
    if not any(is_on(value) for value in values.values()):
        yield Finding(
            setting_subject("wal_log_hints"),
            "After a failover the old primary must be copied anew: pg_rewind needs checksums or wal_log_hints",
            setting_fix(server, "Let pg_rewind tell which pages differ.", {"wal_log_hints": "on"}, restart=True),
            observed={**values, "standbys": standbys, "framework": framework},
            locations=tuple(fact.location for fact in _frameworks(evidence))[:5] or server_locations(evidence),
        )


def _frameworks(evidence: Evidence) -> list[DeploymentFact]:
    repository = evidence.find(Repository)
    facts = repository.deployment if repository else ()
    return [fact for fact in facts if fact.kind == "high_availability" and fact.detail in _FRAMEWORKS]
