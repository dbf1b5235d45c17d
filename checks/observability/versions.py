"""The server's release, and settings that wait for a restart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, server_locations

# postgresql.org, "Versioning Policy": the day of the last minor release of each major.
END_OF_LIFE = {
    12: dt.date(2024, 11, 14), 13: dt.date(2025, 11, 13), 14: dt.date(2026, 11, 12), 15: dt.date(2027, 11, 11),
    16: dt.date(2028, 11, 9), 17: dt.date(2029, 11, 8), 18: dt.date(2030, 11, 14),
}  # fmt: skip
# The newest minor releases that were out when this was written.
KNOWN_MINOR = {14: 23, 15: 19, 16: 15, 17: 11, 18: 6}
SOON = dt.timedelta(days=180)
FAR_BEHIND = 3


@check("observability.server-version", catalogue="O58", severity=Severity.MEDIUM, needs=[Server])
def server_version(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server's release is no longer maintained, or minor releases behind.

    A minor release has only corrections in it, of lost data, wrong results and security, and needs no more than a restart. After
    its end of life a major gets none, whatever is found.

    Fix: The newest minor release now; a plan for the next major a year before this one ends.

    Example: PostgreSQL 16.2, where 16.10 is out: a package update and a restart; 13 has had none since November 2025.

    Source: postgresql.org, "Versioning Policy"

    Observed: version, end_of_life, newest_known_minor
    """
    server = evidence.get(Server)
    minor, newest = server.version_num % 10_000, KNOWN_MINOR.get(server.major)
    end, today = END_OF_LIFE.get(server.major), server.observed_at.date()
    yield Examined(1, 1, "server")
    observed = {
        "version": server.version,
        "end_of_life": end.isoformat() if end else None,
        "newest_known_minor": newest,
    }
    subject = Subject("node", (server.role,))
    if (end is not None and today > end) or server.major < min(END_OF_LIFE):
        yield Finding(
            subject,
            f"PostgreSQL {server.major} is at its end of life" + (f" since {end:%Y-%m-%d}" if end else ""),
            Fix(
                "Upgrade to a current major: pg_upgrade on a copy first, or logical replication for a switch of seconds."
            ),
            severity=Severity.HIGH,
            observed=observed,
            locations=server_locations(evidence),
        )
    elif newest is not None and minor < newest:
        behind = newest - minor
        yield Finding(
            subject,
            f"PostgreSQL {server.version} is {behind} minor release{'s' if behind > 1 else ''} behind {server.major}.{newest}",
            Fix("Take the next maintenance window of the provider." if is_managed(server) else
                "Install the newest minor release and restart; standbys first."),
            severity=Severity.MEDIUM if behind >= FAR_BEHIND else Severity.LOW,
            observed=observed,
            locations=server_locations(evidence),
        )  # fmt: skip
    elif end is not None and end - today < SOON:
        yield Finding(
            subject,
            f"PostgreSQL {server.major} reaches its end of life on {end:%Y-%m-%d}",
            Fix("Plan the upgrade now."),
            severity=Severity.LOW,
            observed=observed,
            locations=server_locations(evidence),
        )


@check("observability.configuration-errors", catalogue="O57", severity=Severity.LOW, needs=[Settings, Server])
def configuration_errors(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Settings were changed and are not in force.

    They wait for a restart. Whoever reads the configuration believes that they hold; and whoever restarts the server, perhaps in
    an incident, gets all of them at once.

    Fix: Restart in a quiet hour, or take the change back.

    Example: ALTER SYSTEM SET shared_buffers = '16GB' without a restart: SHOW shared_buffers still says 128MB, and
    pending_restart in pg_settings is true.

    Source: PostgreSQL manual, "pg_settings" (pending_restart)

    Observed: pending_restart
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    if not settings.entries:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(len(settings.entries), len(settings.entries), "settings")
    pending = [entry.name for entry in settings.entries if entry.pending_restart]
    if pending:
        listed = ", ".join(pending[:3]) + (f" and {len(pending) - 3} more" if len(pending) > 3 else "")
        yield Finding(
            Subject("node", (server.role,)),
            f"{listed} {'wait' if len(pending) > 1 else 'waits'} for a restart to take effect",
            Fix("Restart in a quiet hour, standbys first where their limits must be larger; or take the change back."),
            observed={"pending_restart": pending},
        )
