"""Connections: how many, how they come and go, how they end."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Activity, Server, Settings, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown, Unobserved
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, milliseconds, server_locations, setting_fix, setting_subject


def _counted(evidence: Evidence, *names: str) -> dict[str, float] | None:
    """Counters of pg_stat_database for this database; None if one of them is not there."""
    counters = evidence.get(Usage).database
    values = {name: counters.get(name) for name in names}
    if any(value is None for value in values.values()):
        return None
    return {name: float(value or 0) for name, value in values.items()}


def _database(evidence: Evidence) -> Subject:
    return Subject("database", (evidence.get(Server).database,))


@check("observability.idle-sessions", catalogue="O22", severity=Severity.LOW, needs=[Activity])
def idle_sessions(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Many connections are held open and not used.

    Each takes a process with its memory, and counts against max_connections: pools of many processes that were sized one by one
    keep hundreds of them for an hour that never comes, and the next deployment finds no room.

    Fix: Smaller pools with an idle time-out, and one pooler in transaction mode in front of all.

    Example: 12 processes with pool_size=20 of SQLAlchemy: 240 connections, of which 230 have been idle for an hour.

    Source: PostgreSQL manual, "pg_stat_activity"; PgBouncer documentation, "server_idle_timeout"

    Observed: idle_for_long, sessions, longest_idle_s, max_connections
    """
    activity = evidence.get(Activity)
    sessions = [session for session in activity.sessions if session.backend_type == "client backend"]
    visible = [session for session in sessions if session.state is not None]
    gap = Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor")) if len(visible) < len(sessions) else None
    yield Examined(len(visible), len(sessions), "sessions", gap=gap)
    idle = [
        session
        for session in visible
        if session.state == "idle" and (session.state_age_s or 0) >= evidence.limit("idle_session_s")
    ]
    if len(idle) > evidence.limit("idle_sessions"):
        longest = max(session.state_age_s or 0 for session in idle)
        yield Finding(
            setting_subject("max_connections"),
            f"{len(idle)} of {len(sessions)} connections have been idle for more than an hour",
            Fix("Give the pools an idle time-out and a size that fits what runs at once; put a pooler in front of them. "
                f"The longest has been idle for {seconds_in_words(longest)}."),
            observed={"idle_for_long": len(idle), "sessions": len(sessions), "longest_idle_s": round(longest),
                      "max_connections": activity.max_connections},
        )  # fmt: skip


@check(
    "observability.no-pooler", catalogue="O23", severity=Severity.MEDIUM, needs=[Usage, Server], window="window_days"
)
def no_pooler(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The application opens a connection for each request.

    A connection costs a process, several round trips and an authentication: milliseconds and much CPU, often more than the
    statement that it is opened for. Serverless functions do this by nature, and storm the server after every deployment.

    Fix: A pool in each process, or PgBouncer in transaction mode where processes are many or short-lived.

    Example: a function on AWS Lambda with psycopg.connect() in its handler: 300 requests a second open 300 connections a
    second.

    Source: PostgreSQL manual, "pg_stat_database" (sessions, session_time)

    Observed: sessions, sessions_per_s, mean_session_s
    """
    days = evidence.require_window("window_days")
    counted = _counted(evidence, "sessions", "session_time")
    if counted is None:
        raise Unknown(Reason.SERVER_VERSION, "PostgreSQL 14 and later count sessions")
    yield Examined(1, 1, "database")
    rate = counted["sessions"] / max(days * 86_400, 3_600)
    mean = counted["session_time"] / 1000 / max(counted["sessions"], 1)
    if rate <= evidence.limit("sessions_per_s"):
        return
    repository = evidence.find(Repository)
    poolers = [fact for fact in (repository.deployment if repository else ()) if fact.kind == "pooler"]
    yield Finding(
        _database(evidence),
        f"{rate:.1f} connections are opened a second, and kept for {seconds_in_words(mean)} on average",
        Fix(
            "The repository has a pooler: see who connects past it, and whether it runs in session mode."
            if poolers
            else "Keep connections in a pool, or put PgBouncer in transaction mode in front of the database."
        ),
        observed={
            "sessions": int(counted["sessions"]),
            "sessions_per_s": round(rate, 2),
            "mean_session_s": round(mean, 2),
        },
        locations=tuple(fact.location for fact in poolers),
    )


@check("observability.max-connections-high", catalogue="O24", severity=Severity.LOW, needs=[Settings, Server])
def max_connections_high(evidence: Evidence) -> Iterator[Finding | Examined]:
    """max_connections is far beyond what a server can work on at once.

    A few sessions per core is all that makes progress; the others only wait, and take memory for it. A high limit moves the
    point where the server slows down for all from "refused" to "everything hangs".

    Fix: A pooler whose pool is a few times the cores, and max_connections a little above what it opens.

    Example: max_connections = 2000 on 8 cores: after a deployment 1,400 sessions become active at once, and a statement of 5 ms
    takes 900 ms.

    Source: PostgreSQL manual, "max_connections"

    Observed: max_connections, sessions
    """
    value, server, activity = (
        evidence.get(Settings).value("max_connections"),
        evidence.get(Server),
        evidence.find(Activity),
    )
    if value is None or not value.isdigit():
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "setting")
    entry = evidence.get(Settings).by_name["max_connections"]
    if int(value) > evidence.limit("max_connections") and not (is_managed(server) and entry.source != "user"):
        yield Finding(
            setting_subject("max_connections"),
            f"max_connections is {int(value):,}",
            Fix("Put a pooler in front and lower it; a restart, and on standbys afterwards only."),
            observed={"max_connections": int(value), "sessions": len(activity.sessions) if activity else None},
            locations=server_locations(evidence),
        )


@check(
    "observability.sessions-abandoned",
    catalogue="O25",
    severity=Severity.LOW,
    needs=[Usage, Server],
    window="window_days",
)
def sessions_abandoned(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Many sessions end by a lost client, an error or a kill.

    A client that vanishes leaves its transaction open until the server notices. Behind it are functions that are frozen with
    open connections, processes killed for their memory, or a load balancer that drops what is idle.

    Fix: Look at the client's end: close connections when a process ends, TCP keepalives shorter than the balancer's time-out.

    Example: sessions_abandoned grows by 4,000 a day in pg_stat_database: a load balancer drops connections that are idle for
    350 seconds, and the pool does not know.

    Source: PostgreSQL manual, "pg_stat_database" (sessions_abandoned, sessions_fatal, sessions_killed)

    Observed: sessions, abandoned, fatal, killed, share
    """
    evidence.require_window("window_days")
    names = ("sessions", "sessions_abandoned", "sessions_fatal", "sessions_killed")
    counted = _counted(evidence, *names)
    if counted is None:
        raise Unknown(Reason.SERVER_VERSION, "PostgreSQL 14 and later count how sessions end")
    yield Examined(int(counted["sessions"]), int(counted["sessions"]), "sessions")
    broken = sum(counted[name] for name in names[1:])
    share = broken / max(counted["sessions"], 1)
    if broken >= 100 and share > evidence.limit("broken_session_share"):
        parts = {name.removeprefix("sessions_"): int(counted[name]) for name in names[1:]}
        most = max(parts, key=lambda name: parts[name])
        words = {
            "abandoned": "because the client was gone",
            "fatal": "by an error",
            "killed": "because they were terminated",
        }
        yield Finding(
            _database(evidence),
            f"{share:.0%} of sessions do not end in order, most of them {words[most]}",
            Fix("See which clients these are: log_disconnections tells role, host and duration of each."),
            observed={"sessions": int(counted["sessions"]), **parts, "share": round(share, 4)},
        )


@check("observability.connection-limits", catalogue="O27", severity=Severity.LOW, needs=[Settings, Server])
def connection_limits(evidence: Evidence) -> Iterator[Finding | Examined]:
    """No connection is kept for the administrator.

    When the application has taken every connection, whoever wants to end some of them cannot connect either: the only way left
    is a restart.

    Fix: superuser_reserved_connections = 3, the default; reserved_connections for the role of the monitoring (16 and later).

    Example: superuser_reserved_connections = 0 and max_connections = 100: with a hundred sessions of the application psql is
    refused with "sorry, too many clients already", for the superuser too.

    Source: PostgreSQL manual, "superuser_reserved_connections"; "reserved_connections"

    Observed: superuser_reserved_connections
    """
    value, server = evidence.get(Settings).value("superuser_reserved_connections"), evidence.get(Server)
    if value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "setting")
    if value == "0":
        yield Finding(
            setting_subject("superuser_reserved_connections"),
            "No connection is reserved for superusers",
            setting_fix(server, "Keep a few.", {"superuser_reserved_connections": "3"}, restart=True),
            observed={"superuser_reserved_connections": 0},
            locations=server_locations(evidence),
        )


@check("observability.dead-client-detection", catalogue="O29", severity=Severity.NOTE, needs=[Settings, Server])
def dead_client_detection(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server works on for clients that are gone.

    A statement whose client has given up runs to its end, and holds its locks. With client_connection_check_interval the server
    looks meanwhile; with TCP keepalives at the system's default it takes two hours to notice a client that vanished.

    Fix: client_connection_check_interval = 10s (Linux), tcp_keepalives_idle = 60.

    Example: tcp_keepalives_idle = 0 and client_connection_check_interval = 0: the web server gave a report up after 30 seconds,
    and the SELECT runs for 20 minutes more.

    Source: PostgreSQL manual, "client_connection_check_interval"; "tcp_keepalives_idle"

    Observed: client_connection_check_interval_ms, tcp_keepalives_idle, tcp_user_timeout
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    names = ("client_connection_check_interval", "tcp_keepalives_idle", "tcp_user_timeout")
    interval, idle, timeout = (milliseconds(settings, name) for name in names)
    if interval is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(len(names), len(names), "settings")
    # Through a socket of the machine itself 0 is all that can be seen, so that only the first of them tells for certain.
    if interval == 0 and not idle and not timeout:
        yield Finding(
            setting_subject(names[0]),
            "A client that vanished is noticed after two hours, and its statement runs to the end",
            setting_fix(server, "Look for the client meanwhile.", {names[0]: "10s", names[1]: "60"}),
            observed={f"{names[0]}_ms": interval, names[1]: idle, names[2]: timeout},
            locations=server_locations(evidence),
        )


@check(
    "observability.deadlocks", catalogue="O30", severity=Severity.MEDIUM, needs=[Usage, Server], window="window_days"
)
def deadlocks(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Transactions deadlock, and one of each pair is cancelled.

    Each is an error that a user may see, after a second of waiting. Nearly always two places in the code lock the same rows in
    another order; an upsert of many rows in whatever order they came is enough.

    Fix: Sort rows by their key before writing them, lock parents before children; retry the cancelled transaction.

    Example: 31 deadlocks a day in pg_stat_database: INSERT INTO tags VALUES ... ON CONFLICT DO UPDATE with the same tags in
    different orders; sorted by name before they are sent, there is none.

    Source: PostgreSQL manual, "Deadlocks"

    Observed: deadlocks, per_day
    """
    days = evidence.require_window("window_days")
    counted = _counted(evidence, "deadlocks")
    if counted is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    yield Examined(1, 1, "database")
    per_day = counted["deadlocks"] / max(days, 1)
    if per_day > evidence.limit("deadlocks_per_day"):
        yield Finding(
            _database(evidence),
            f"{per_day:,.0f} deadlocks a day",
            Fix("The log names both statements of each: find the two places, and let both lock in the same order."),
            observed={"deadlocks": int(counted["deadlocks"]), "per_day": round(per_day, 1)},
        )


@check(
    "observability.rollback-ratio", catalogue="O31", severity=Severity.LOW, needs=[Usage, Server], window="window_days"
)
def rollback_ratio(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large share of transactions is rolled back.

    Each did its work for nothing, and leaves dead rows behind. Errors that the code swallows (unique violations taken for a
    lookup), time-outs, and pools that roll back on return to be safe are where they come from.

    Fix: INSERT ... ON CONFLICT instead of insert and catch; read what the log says of the errors.

    Example: 38 % of all transactions roll back: the code inserts first and catches UniqueViolation; INSERT ... ON CONFLICT DO
    NOTHING commits.

    Source: PostgreSQL manual, "pg_stat_database" (xact_rollback)

    Observed: committed, rolled_back, share
    """
    days = evidence.require_window("window_days")
    counted = _counted(evidence, "xact_commit", "xact_rollback")
    if counted is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    total = counted["xact_commit"] + counted["xact_rollback"]
    if not total:
        raise NotApplicable("no transaction ended")
    yield Examined(int(total), int(total), "transactions")
    share = counted["xact_rollback"] / total
    # Reviews count too: plans of statements that the server does not understand are rolled back.
    many = counted["xact_rollback"] / max(days, 1) >= evidence.limit("rollbacks_per_day")
    if share > evidence.limit("rollback_share") and many:
        yield Finding(
            _database(evidence),
            f"{share:.0%} of transactions are rolled back",
            Fix("Find out which: log_min_error_statement = error names the statements that failed; a pool that always rolls back "
                "read-only transactions is harmless."),
            observed={"committed": int(counted["xact_commit"]), "rolled_back": int(counted["xact_rollback"]),
                      "share": round(share, 4)},
        )  # fmt: skip


@check(
    "observability.unencrypted-connections",
    catalogue="O32",
    severity=Severity.MEDIUM,
    needs=[Activity, Settings, Server],
)
def unencrypted_connections(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Clients on other machines connect without TLS.

    Everything that is read and written, and with md5 or plain passwords the way in, can be read along the way. A client falls
    back to it silently with sslmode=prefer, the default, as soon as the server does not offer TLS.

    Fix: ssl = on with a certificate, hostssl lines in pg_hba.conf, and sslmode=verify-full in the clients.

    Example: pg_stat_ssl says ssl = f for 14 sessions of role app from 10.0.3.0/24: their statements, with the values in them,
    cross the network as text.

    Source: PostgreSQL manual, "Secure TCP/IP Connections with SSL"

    Observed: ssl, unencrypted, clients
    """
    activity, settings, server = evidence.get(Activity), evidence.get(Settings), evidence.get(Server)
    remote = [session for session in activity.sessions if session.encrypted is not None]
    if not remote:
        raise NotApplicable("no client of another machine is connected, as far as this role sees")
    yield Examined(len(remote), len(remote), "sessions of other machines")
    plain = [session for session in remote if session.encrypted is False]
    if plain:
        clients = sorted({session.application_name or session.user or "unnamed" for session in plain})
        on = is_on(settings.value("ssl"))
        advice = (
            "Let pg_hba.conf take hostssl lines only, and clients verify the server."
            if on
            else ("Give the server a certificate, then let pg_hba.conf take hostssl lines only.")
        )
        yield Finding(
            setting_subject("ssl"),
            f"{len(plain)} of {len(remote)} sessions from other machines are not encrypted",
            Fix(advice) if on else setting_fix(server, advice, {"ssl": "on"}),
            observed={"ssl": settings.value("ssl"), "unencrypted": len(plain), "clients": clients[:5]},
            locations=server_locations(evidence),
        )


@check("observability.weak-passwords", catalogue="O34", severity=Severity.LOW, needs=[Settings, Server])
def weak_passwords(evidence: Evidence) -> Iterator[Finding | Examined]:
    """New passwords are stored as MD5.

    An MD5 hash is as good as the password itself to whoever gets hold of it, from a backup for instance, and is broken in hours.
    It is deprecated since 18.

    Fix: password_encryption = scram-sha-256, then set each password anew; scram-sha-256 in pg_hba.conf.

    Example: password_encryption = md5: ALTER ROLE app PASSWORD '...' stores an MD5 hash, which a copy of pg_authid gives away.
    Set it to scram-sha-256, then each password anew.

    Source: PostgreSQL manual, "Password Authentication"

    Observed: password_encryption
    """
    value, server = evidence.get(Settings).value("password_encryption"), evidence.get(Server)
    if value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "setting")
    if value == "md5":
        yield Finding(
            setting_subject("password_encryption"),
            "password_encryption is md5",
            setting_fix(
                server, "Store new passwords by SCRAM, then set each anew.", {"password_encryption": "scram-sha-256"}
            ),
            observed={"password_encryption": value},
            locations=server_locations(evidence),
        )
