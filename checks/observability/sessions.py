"""Who is connected: sessions that hold a transaction open, and how many connections are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.evidence.database.facts import Activity, Server, Session
from checks.evidence.evidence import Evidence
from checks.figures import seconds_in_words
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unknown, Unobserved
from checks.registry import check
from checks.relations import grant
from checks.settings import role_fix, setting_subject

SHOWN = 5


@check("observability.idle-in-transaction", catalogue="O21", severity=Severity.MEDIUM, needs=[Activity])
def idle_in_transaction(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Sessions sit in an open transaction and do nothing.

    Such a session keeps its locks and the oldest row versions that anybody may still need: vacuum removes nothing newer, and
    a migration that waits for it stops everybody behind it. It is mostly code that calls something slow (a model, an HTTP
    service) between two statements, or that forgot to commit.

    Fix: Commit before calling out; idle_in_transaction_session_timeout as the safety net.

    Example: BEGIN; SELECT ... FOR UPDATE; and then a call of a model that takes 40 seconds: the session is idle in transaction
    and holds the row for all of them.

    Source: PostgreSQL manual, "idle_in_transaction_session_timeout"; "Routine Vacuuming"

    Observed: sessions, longest_idle_s, oldest_transaction_s, roles, aborted
    """
    activity = evidence.get(Activity)
    sessions = [session for session in activity.sessions if session.backend_type == "client backend"]
    visible = [session for session in sessions if session.state is not None]
    hidden = activity.states_hidden and len(visible) < len(sessions)
    gap = Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    yield Examined(len(visible), len(sessions), "sessions", gap=gap if hidden else None)
    groups: dict[str, list[Session]] = {}
    for session in visible:
        idle = (session.state or "").startswith("idle in transaction")
        if idle and (session.state_age_s or 0) >= evidence.limit("idle_in_transaction_s"):
            groups.setdefault(session.application_name or session.user or "unnamed", []).append(session)
    for name, found in groups.items():
        yield _idle(evidence, name, found)


def _idle(evidence: Evidence, name: str, found: list[Session]) -> Finding:
    longest = max(session.state_age_s or 0 for session in found)
    oldest = max(session.transaction_age_s or 0 for session in found)
    roles = sorted({session.user for session in found})
    count = "A session" if len(found) == 1 else f"{len(found)} sessions"
    advice = (
        f"Find in {name} what it does between two statements of a transaction, and commit before. Until then end such "
        "sessions by a timeout of the role."
    )
    red = evidence.limit("idle_in_transaction_red_s")
    return Finding(
        Subject("session", (name,)),
        f"{count} of {name} idle in transaction for {seconds_in_words(longest)}",
        role_fix(advice, roles[0], {"idle_in_transaction_session_timeout": "60s"}) if roles[0] else Fix(advice),
        severity=Severity.CRITICAL if longest >= red else Severity.HIGH if longest >= red / 6 else Severity.MEDIUM,
        observed={
            "sessions": len(found),
            "longest_idle_s": round(longest),
            "oldest_transaction_s": round(oldest),
            "roles": roles,
            "aborted": sum("aborted" in (session.state or "") for session in found),
            "oldest_xmin_age": max((session.xmin_age or 0 for session in found), default=0),
        },
    )


@check("observability.connection-saturation", catalogue="O20", severity=Severity.CRITICAL, needs=[Activity, Server])
def connection_saturation(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Almost all connections are taken.

    The next connection is refused: to users the application is down, though the database is well. The last few are kept for
    superusers, so that it happens before max_connections is reached.

    Fix: A pooler in front (PgBouncer), pools whose sum fits, and idle connections closed; not a higher max_connections.

    Example: 94 of 97 connections taken, 71 of them idle: four processes more, and users read "remaining connection slots are
    reserved".

    Source: PostgreSQL manual, "max_connections"; "superuser_reserved_connections"

    Observed: connections, max_connections, reserved_connections, used, idle, by_client
    """
    activity = evidence.get(Activity)
    if activity.max_connections <= 0:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    clients = [session for session in activity.sessions if session.backend_type == "client backend"]
    available = max(1, activity.max_connections - activity.reserved_connections)
    used = len(clients) / available
    yield Examined(1, 1, "server")
    if used < evidence.limit("connections_used"):
        return
    idle = sum(session.state == "idle" for session in clients)
    by_client = Counter(session.application_name or session.user or "unnamed" for session in clients)
    most, count = by_client.most_common(1)[0]
    yield Finding(
        setting_subject("max_connections"),
        f"{len(clients)} of {available} connections are in use, {count} of them by {most}",
        Fix(
            "Put a pooler in front of the database, or make the pools of all processes together fit; close idle "
            "connections. More connections cost memory and make the server slower, not faster."
        ),
        observed={
            "connections": len(clients),
            "max_connections": activity.max_connections,
            "reserved_connections": activity.reserved_connections,
            "used": round(used, 4),
            "idle": None if activity.states_hidden else idle,
            "by_client": dict(by_client.most_common(SHOWN)),
        },
    )
