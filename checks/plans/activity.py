"""What runs and waits at the moment of the look."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Activity, Server, Session
from checks.evidence.evidence import Evidence
from checks.figures import seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unobserved
from checks.registry import check
from checks.relations import grant

# Several sessions must wait for the same before it is more than chance.
MINIMUM_WAITING = 3


def _name(session: Session) -> str:
    return session.application_name or session.user or "unnamed"


def _seen(evidence: Evidence) -> tuple[list[Session], Examined]:
    """The client sessions whose state this role sees, and how many that is of all."""
    activity = evidence.get(Activity)
    sessions = [session for session in activity.sessions if session.backend_type == "client backend"]
    seen = [session for session in sessions if session.state is not None]
    gap = Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor")) if len(seen) < len(sessions) else None
    return seen, Examined(len(seen), len(sessions), "sessions", gap=gap)


@check("plans.long-running-statement", catalogue="P12", severity=Severity.LOW, needs=[Activity])
def long_running_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement of a client has been running for long.

    It keeps its snapshot, and with it every row that died meanwhile, and its locks. A report may take long knowingly; in a
    service that answers people it is a missing index or a missing time-out.

    Fix: See its plan; a statement_timeout for the role; reports on a standby.

    Example: SELECT count(*) FROM events JOIN sessions ..., active for 3 hours, from somebody's notebook with the application's
    role: statement_timeout = '60s' for that role would have ended it.

    Source: PostgreSQL manual, "pg_stat_activity"; "statement_timeout"

    Observed: sessions, longest_s, roles
    """
    seen, examined = _seen(evidence)
    yield examined
    groups: dict[str, list[Session]] = {}
    for session in seen:
        running = session.state == "active" and not session.blocked
        if running and (session.state_age_s or 0) >= evidence.limit("long_statement_s"):
            groups.setdefault(_name(session), []).append(session)
    for name, found in groups.items():
        longest = max(session.state_age_s or 0 for session in found)
        count = "A statement" if len(found) == 1 else f"{len(found)} statements"
        yield Finding(
            Subject("session", (name,)),
            f"{count} of {name} {'has' if len(found) == 1 else 'have'} been running for {seconds_in_words(longest)}",
            Fix(
                "Look what it is (pg_stat_activity.query), and whether it may take so long; bound it by statement_timeout."
            ),
            severity=Severity.MEDIUM if longest >= 12 * evidence.limit("long_statement_s") else Severity.LOW,
            observed={
                "sessions": len(found),
                "longest_s": round(longest),
                "roles": sorted({entry.user for entry in found}),
            },
        )


@check("plans.blocked-sessions", catalogue="P13", severity=Severity.MEDIUM, needs=[Activity])
def blocked_sessions(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Sessions wait for a lock that another one holds.

    Behind one open transaction a queue forms: every later statement that needs the lock waits behind those that wait already,
    until all connections are taken. What holds it is mostly a transaction that waits for something else: a model, a person, a
    migration.

    Fix: End what holds it; lock_timeout for migrations, short transactions everywhere.

    Example: ALTER TABLE orders ADD COLUMN note text waits for a transaction that has been open for an hour, and 60 SELECTs on
    orders wait behind the ALTER TABLE.

    Source: PostgreSQL manual, "pg_blocking_pids"; "Explicit Locking"

    Observed: waiting, longest_wait_s, holders, waiters
    """
    seen, examined = _seen(evidence)
    yield examined
    waiting = [session for session in seen if session.blocked]
    holders = sorted((session for session in seen if session.blocks), key=lambda session: -session.blocks)
    longest = max((session.state_age_s or 0 for session in waiting), default=0)
    if not waiting or (longest < evidence.limit("lock_wait_s") and len(waiting) < MINIMUM_WAITING):
        return
    roots = [session for session in holders if not session.blocked] or holders
    name = _name(roots[0]) if roots else "a session that this role does not see"
    state = f" ({roots[0].state})" if roots and roots[0].state else ""
    yield Finding(
        Subject("session", (name,)),
        f"{len(waiting)} session{'s wait' if len(waiting) > 1 else ' waits'} for a lock of {name}{state}, for up to "
        f"{seconds_in_words(longest)}",
        Fix("Find what it does in that transaction; pg_terminate_backend() ends it. Give migrations a lock_timeout, and do not "
            "call out within a transaction."),
        severity=Severity.HIGH if longest >= 6 * evidence.limit("lock_wait_s") or len(waiting) >= 10 else Severity.MEDIUM,
        observed={"waiting": len(waiting), "longest_wait_s": round(longest, 1),
                  "holders": sorted({_name(entry) for entry in roots}), "waiters": sorted({_name(entry) for entry in waiting})},
    )  # fmt: skip


@check("plans.wait-profile", catalogue="P14", severity=Severity.NOTE, needs=[Activity, Server])
def wait_profile(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Many active sessions wait for the same thing.

    What they wait for says where the server is short: IO of the disk, LWLock of memory structures that all want at once, Lock of
    rows, Client of the application itself. One look is one moment; --watch takes more of them.

    Fix: By the kind of wait: statements that read less, fewer sessions at once, shorter transactions.

    Example: 18 of 24 active sessions wait for LWLock:LockManager: a statement over 200 partitions without the partition key
    takes 400 locks a call.

    Source: PostgreSQL manual, "Wait Events"

    Observed: waits, active
    """
    activity = evidence.get(Activity)
    active = sum(entry.sessions for entry in activity.waits)
    if not active:
        raise NotApplicable("no session was active")
    yield Examined(active, active, "active sessions")
    for entry in activity.waits:
        crowded = entry.sessions >= MINIMUM_WAITING and entry.sessions > active / 2
        if crowded and entry.type not in {"", "Client", "Timeout", "Lock", "Activity", "Extension"}:
            yield Finding(
                Subject("node", (evidence.get(Server).role,)),
                f"{entry.sessions} of {active} active sessions wait for {entry.type}: {entry.event}",
                Fix("Look at it over a longer time before acting: which statements wait, and since when."),
                observed={
                    "waits": {f"{wait.type}:{wait.event}": wait.sessions for wait in activity.waits},
                    "active": active,
                },
                discriminator=entry.type,
            )
