"""What a server's log, given as a file, tells of trouble."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.database.facts import GivenPlans, Server
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Examined, Finding, Fix, Reason, Severity, Subject, Unknown
from checks.registry import check

# Of a shorter log no rate is known: what it holds is taken for a day's.
_SHORTEST_DAYS = 1.0


class _Kind(NamedTuple):
    """`limit` names how many a day are no finding; empty where one is too many."""

    says: str
    fix: str
    severity: Severity
    limit: str = ""


_PER_DAY = "log_events_per_day"
_KINDS = {
    "corruption": _Kind(
        "{} damaged pages or files were read",
        "Stop writing to what is damaged, take a copy of the files, and restore from a backup of before; then look for the disk.",
        Severity.CRITICAL,
    ),
    "crashes": _Kind(
        "a process of the server was killed {} times, and all sessions with it",
        "Read the lines before it: the kernel's OOM killer (signal 9) asks for less memory, signals 6 and 11 for a newer "
        "minor release, or fewer extensions.",
        Severity.HIGH,
    ),
    "disk-full": _Kind(
        "the disk was full {} times",
        "Find what grew (WAL, temporary files, log), and raise an alarm at 80 %.",
        Severity.HIGH,
    ),
    "out-of-memory": _Kind(
        "{} statements got no memory",
        "Lower work_mem or max_connections, or give the server more memory.",
        Severity.HIGH,
    ),
    "too-many-connections": _Kind(
        "{} clients found no connection free",
        "Put a pooler before the server, or make the pools of the application smaller.",
        Severity.HIGH,
    ),
    "deadlocks": _Kind(
        "{} transactions were cancelled for a deadlock",
        "The log names both statements of each: lock their rows in one order, and repeat what was cancelled.",
        Severity.MEDIUM,
        _PER_DAY,
    ),
    "statement-timeouts": _Kind(
        "{} statements ran into statement_timeout",
        "Their texts stand beside them in the log: make them quicker, or give the role that needs it more time.",
        Severity.MEDIUM,
        _PER_DAY,
    ),
    "lock-timeouts": _Kind(
        "{} statements ran into lock_timeout",
        "Find who held the lock (log_lock_waits): long transactions, or migrations in busy hours.",
        Severity.LOW,
        _PER_DAY,
    ),
    "failed-logins": _Kind(
        "{} logins failed",
        "See whose they are and where they come from: a service with an old password, or a stranger who tries.",
        Severity.MEDIUM,
        _PER_DAY,
    ),
    "unknown-names": _Kind(
        "{} statements named what the database does not have",
        "See which release sent them: code that is ahead of its migrations, or behind them.",
        Severity.LOW,
        _PER_DAY,
    ),
    "denials": _Kind(
        "{} statements were denied for want of a privilege",
        "See which role sent them: a grant that a migration forgot, or somebody who looks where he should not.",
        Severity.LOW,
        _PER_DAY,
    ),
    "unique-violations": _Kind(
        "{} rows clashed with a unique key",
        "Where code counts on the error, ON CONFLICT says the same without a rollback and a line in the log.",
        Severity.LOW,
        "unique_violations_per_day",
    ),
}


@check("observability.log-events", catalogue="O12", severity=Severity.MEDIUM, needs=[])
def log_events(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server's log tells of crashes, refused connections, deadlocks, time-outs or failed logins.

    No counter of the server keeps them apart, and most leave no other trace: the log is where they stand. It is read where
    somebody gives it as a file, in stderr's format, as CSV or as JSON; entries are counted by kind, and no text of them is kept.

    Fix: By the kind of entry.

    Example: 40 entries "remaining connection slots are reserved" in one day: for minutes nobody could log in.

    Source: PostgreSQL manual, "Error Reporting and Logging"; appendix "PostgreSQL Error Codes"

    Observed: kind, entries, days, log_entries
    """
    given = evidence.find(GivenPlans)
    log = given.log if given is not None else None
    if log is None:
        raise Unknown(Reason.NOT_OPTED_IN, "give the server's log (stderr, CSV or JSON) with --plan FILE")
    server = evidence.find(Server)
    days = max(log.days or 0.0, _SHORTEST_DAYS)
    unmet = 0
    for kind, about in _KINDS.items():
        number = log.counts.get(kind, 0)
        if not number or (about.limit and number / days < evidence.limit(about.limit)):
            continue
        unmet += number
        yield Finding(
            Subject("node", (server.role if server is not None else "primary",)),
            f"By its log, {about.says.format(f'{number:,}')}",
            Fix(about.fix),
            severity=about.severity,
            confidence=Confidence.MEASURED,
            observed={
                "kind": kind,
                "entries": number,
                "days": None if log.days is None else round(log.days, 2),
                "log_entries": log.entries,
            },
            discriminator=kind,
        )
    yield Examined(log.entries, log.entries, "log entries", unmet=unmet)
