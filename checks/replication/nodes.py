"""Nodes beside each other: settings that differ, roles that replicate, servers that came back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from checks.evidence.database.facts import Access, Activity, Replica, Role, Server, Settings, Statements, Usage
from checks.evidence.evidence import Evidence
from checks.figures import instant
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    quote_identifier,
)
from checks.registry import check
from checks.settings import setting_fix

# A standby stops replaying, or does not start, with less of these than its primary has.
_AT_LEAST_PRIMARY = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
)  # fmt: skip
# What makes the same statement run another way there, above all after a failover.
_ALIKE = (
    "shared_buffers", "work_mem", "maintenance_work_mem", "effective_cache_size", "random_page_cost", "seq_page_cost",
    "effective_io_concurrency", "default_statistics_target", "jit", "max_parallel_workers_per_gather", "statement_timeout",
    "idle_in_transaction_session_timeout", "lock_timeout", "shared_preload_libraries", "max_wal_size", "checkpoint_timeout",
    "autovacuum", "wal_level", "max_slot_wal_keep_size", "archive_mode", "huge_pages", "max_replication_slots",
    "hnsw.ef_search", "hnsw.iterative_scan", "ivfflat.probes", "synchronous_commit", "log_min_duration_statement",
)  # fmt: skip
# initdb starts the server once or twice within its first minutes.
_FRESH = dt.timedelta(hours=1)
_SAME_MOMENT_S = 60


@check("replication.other-cluster", catalogue="R27", severity=Severity.NOTE, needs=[Server])
def other_cluster(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A node that was given as a replica belongs to another cluster.

    Physical standbys have the system identifier of their primary. One with another was made anew from somewhere else, or feeds by
    logical replication: what is read there is not counted as read here, and a failover does not lead to it.

    Fix: Give the DSN of the standby that was meant; a subscriber is reviewed by itself.

    Example: --replica leads to the old primary, which was set up again with initdb.

    Source: PostgreSQL manual, "pg_control_system()"

    Observed: system_identifier, of_replica
    """
    server = evidence.get(Server)
    known = [replica for replica in evidence.replicas if replica.server.system_identifier is not None]
    if not evidence.replicas:
        raise NotApplicable("no other node was given")
    if server.system_identifier is None or not known:
        raise Unknown(
            Reason.NOT_PERMITTED, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO the reviewing role"
        )
    for replica in known:
        if replica.server.system_identifier != server.system_identifier:
            yield Finding(
                Subject("node", (replica.name,)),
                f"{replica.name} is no standby of this server, but another cluster",
                Fix("Give the DSN of the standby that was meant; review a subscriber by itself."),
                observed={
                    "system_identifier": str(server.system_identifier),
                    "of_replica": str(replica.server.system_identifier),
                },
            )
    yield Examined(len(known), len(evidence.replicas), "other nodes")


@check("replication.settings-differ", catalogue="R29", severity=Severity.MEDIUM, needs=[Settings, Server])
def settings_differ(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A standby runs with other settings than its primary.

    Nobody notices until the failover: then the new primary has less memory, plans otherwise, archives nothing or lets sessions
    idle for ever. A few settings must not even be smaller on the standby: it stops replaying when the primary raises them.

    Fix: The same configuration on every node, from one source, but for what belongs to the node.

    Example: work_mem = 64MB on the primary and 4MB on the standby: after the failover each report sorts on disk. With
    max_connections = 300 there and 100 here the standby would not even replay.

    Source: PostgreSQL manual, "Hot Standby: Administrator's Overview"

    Observed: differing, too_small
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    standbys = [replica for replica in evidence.replicas if replica.server.is_standby != server.is_standby]
    if not standbys:
        raise NotApplicable("no other node was given")
    yield Examined(len(standbys), len(standbys), "other nodes")
    for replica in standbys:
        primary, standby = (replica.settings, settings) if server.is_standby else (settings, replica.settings)
        small = {name: pair for name in _AT_LEAST_PRIMARY if (pair := _smaller(primary, standby, name))}
        differing = {
            name: [primary.value(name), standby.value(name)] for name in _ALIKE if _differs(primary, standby, name)
        }
        if replica.server.version_num != server.version_num:
            differing["server_version"] = [server.version, replica.server.version]
        if small or differing:
            yield _differ(replica, small, differing)


def _smaller(primary: Settings, standby: Settings, name: str) -> list[str | None] | None:
    ours, theirs = primary.value(name), standby.value(name)
    if ours is None or theirs is None or not (ours.isdigit() and theirs.isdigit()) or int(theirs) >= int(ours):
        return None
    return [ours, theirs]


def _differs(primary: Settings, standby: Settings, name: str) -> bool:
    ours, theirs = primary.value(name), standby.value(name)
    return ours is not None and theirs is not None and ours != theirs


def _differ(replica: Replica, small: dict[str, list[str | None]], differing: dict[str, list[str | None]]) -> Finding:
    names = [*small, *differing]
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    wanted = {name: str(values[0]) for name, values in small.items()}
    return Finding(
        Subject("node", (replica.name,)),
        f"{replica.name} differs from its primary in {listed}" + (": some are too small there" if small else ""),
        setting_fix(replica.server, "On the standby, give what is too small there at least the primary's value.",
                    wanted, restart=True)
        if small
        else Fix("Bring the configuration of both from one source; where a difference is meant (a node for reports), waive "
                 "this with the reason."),
        severity=Severity.HIGH if small else Severity.MEDIUM if len(differing) > 2 else Severity.LOW,
        observed={"differing": differing, "too_small": small},
    )  # fmt: skip


@check("replication.replication-role", catalogue="R23", severity=Severity.MEDIUM, needs=[Access, Server])
def replication_role(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A role of the application may replicate.

    REPLICATION lets it copy the whole cluster, every database and every password hash, past all privileges and row security. Only
    the standby's and the backup's own roles need it.

    Fix: ALTER ROLE ... NOREPLICATION; a role of its own for each standby and each change-data-capture reader.

    Example: CREATE ROLE app LOGIN REPLICATION for the web application: whoever has its password runs pg_basebackup and takes
    the whole cluster away.

    Source: PostgreSQL manual, "Role Attributes"

    Observed: bypasses_row_security
    """
    access, statements, activity = evidence.get(Access), evidence.find(Statements), evidence.find(Activity)
    database = evidence.get(Server).database
    names = {user for entry in statements.entries for user in entry.users} if statements else set()
    names |= {
        session.user
        for session in (activity.sessions if activity else ())
        if session.database == database and session.backend_type == "client backend"
    }
    used = [access.role_by_name[name] for name in sorted(names) if name in access.role_by_name]
    server = evidence.get(Server)
    used = [role for role in used if not (role.superuser or _made_by_the_provider(server, role))]
    if not used:
        raise NotApplicable("no role of the application was seen")
    yield Examined(len(used), len(used), "roles of the application")
    for role in used:
        if role.replicates:
            name = quote_identifier(role.name)
            yield Finding(
                Subject("role", (role.name,)),
                f"Role {name} of the application has REPLICATION",
                Fix("Take it away; give replication a role of its own.", sql=f"ALTER ROLE {name} NOREPLICATION;",
                    undo=f"ALTER ROLE {name} REPLICATION;"),
                observed={"bypasses_row_security": role.bypasses_row_security},
            )  # fmt: skip


def _made_by_the_provider(server: Server, role: Role) -> bool:
    """Supabase gives REPLICATION to the role that it hands out, Neon to every role made in its console."""
    if server.flavour == "supabase":
        return role.name == "postgres" or role.name.startswith("supabase_")
    return server.flavour == "neon" and "neon_superuser" in role.member_of


@check("replication.restarts", catalogue="R22", severity=Severity.LOW, needs=[Usage, Server])
def restarts(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server came back from a crash.

    A clean restart keeps the cumulative statistics from 15 on; recovery after a crash discards them all. So do a failover to this
    node, a restore and an upgrade: each is worth knowing, for autovacuum and every counter began anew then.

    Fix: Read the log before that moment (out of memory, a killed backend, a full disk); run ANALYZE after it.

    Example: the counters of all databases begin at 03:12, and nobody restarted the server then: the kernel had killed a backend
    for its memory.

    Source: PostgreSQL manual, "The Cumulative Statistics System"

    Observed: started_at, statistics_since, created_at
    """
    server, usage = evidence.get(Server), evidence.get(Usage)
    since = usage.checkpoints.since if usage.checkpoints else None
    if server.is_standby or server.major < 15:
        raise NotApplicable("before 15, and on a standby, statistics tell nothing of a crash")
    yield Examined(1, 1, "server")
    started, created = server.started_at, _created_at(server)
    if since is None or started is None or created is None:
        return
    if abs((since - started).total_seconds()) < _SAME_MOMENT_S and started - created > _FRESH:
        yield Finding(
            Subject("node", ("primary",)),
            f"Statistics began anew when the server started on {started:%Y-%m-%d %H:%M} UTC: a crash, failover or restore",
            Fix("Find out from the log which it was; run ANALYZE, for autovacuum knows nothing of what changed before."),
            confidence=Confidence.INFERRED,
            observed={"started_at": instant(started), "statistics_since": instant(since),
                      "created_at": instant(created)},
        )  # fmt: skip


def _created_at(server: Server) -> dt.datetime | None:
    """When initdb made the cluster: the upper half of its system identifier is that second."""
    if server.system_identifier is None or not server.system_identifier.lstrip("-").isdigit():
        return None
    identifier = int(server.system_identifier) % 2**64
    return dt.datetime.fromtimestamp(identifier >> 32, dt.UTC)
