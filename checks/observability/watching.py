"""Whether somebody watches: metrics agents, alert rules, names on connections, pools that add up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Activity, Server, Session, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    Unobserved,
)
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, server_locations, setting_subject

# What an incident of a database is mostly about, and must not be learnt from users.
TOPICS = ("saturation", "disk", "wraparound", "slots", "lag", "backup age", "long transactions")
NEEDED_OF_ALL = ("saturation", "disk", "long transactions")
_AGENT = re.compile(
    r"exporter|datadog|pganalyze|pgwatch|telegraf|zabbix|newrelic|prometheus|grafana|alloy|netdata|check_postgres|pgmonitor"
    r"|pghero|percona|pmm|otel|collector|dd-agent",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(\d+) \((.*)\)")
UNNAMED_SHARE = 0.5
MINIMUM_SESSIONS = 5


def _facts(evidence: Evidence, kind: str) -> list[DeploymentFact]:
    repository = evidence.find(Repository)
    return [fact for fact in (repository.deployment if repository else ()) if fact.kind == kind]


def _clients(evidence: Evidence) -> list[Session]:
    activity = evidence.find(Activity)
    return [session for session in (activity.sessions if activity else ()) if session.backend_type == "client backend"]


@check("observability.no-metrics-agent", catalogue="O14", severity=Severity.LOW, needs=[Activity, Server])
def no_metrics_agent(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nothing collects metrics of the database.

    The server keeps counters, not history: what was slow last Tuesday can only be seen if somebody wrote the counters down. No
    agent is connected, no role is named for one, and the repository deploys none.

    Fix: postgres_exporter with Prometheus, the provider's insights, or a service; before the incident, not during it.

    Example: docker-compose.yml has postgres and the application alone: what the number of connections was at last night's
    failure, nobody knows.

    Source: PostgreSQL manual, "Monitoring Database Activity"

    Observed: roles, clients
    """
    server, settings = evidence.get(Server), evidence.find(Settings)
    agents = _facts(evidence, "metrics_agent")
    clients = sorted({session.application_name for session in _clients(evidence)} - {""})
    roles = [role for role in (settings.login_roles if settings else ()) if _AGENT.search(role)]
    connected = [name for name in clients if _AGENT.search(name)]
    if agents or roles or connected:
        yield Examined(1, 1, "server")
        return
    if is_managed(server):
        raise Unknown(
            Reason.MANAGED_SERVICE_HIDES, "ask whether the provider's insights are switched on, and how long they last"
        )
    if evidence.find(Repository) is None:
        raise Unknown(Reason.REPO_NOT_GIVEN, "give the repository that deploys the database")
    yield Examined(1, 1, "server")
    yield Finding(
        Subject("node", (server.role,)),
        "No metrics agent is connected, and the repository deploys none",
        Fix("Deploy postgres_exporter (or an agent of the service that watches the application already) with a role that is a "
            "member of pg_monitor."),
        confidence=Confidence.INFERRED,
        observed={"roles": roles, "clients": clients[:10]},
        locations=server_locations(evidence),
    )  # fmt: skip


@check("observability.no-alert-rules", catalogue="N29", severity=Severity.MEDIUM, needs=[Repository])
def no_alert_rules(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Alert rules in the repository leave out what stops a database.

    A database rarely breaks: it runs out, of connections, disk, transaction ids, WAL that a slot keeps. Each of these shows for
    hours or weeks before, if anybody is told. A rule that is not there cannot fire.

    Fix: One alert for each of these, with a threshold that leaves time to act, and somebody who gets it.

    Example: rules.yml of Prometheus has alerts for CPU and for pg_up == 0: nothing fires while an inactive slot fills the disk
    over four days.

    Source: GitLab, "Alerting on PostgreSQL"; postgres_exporter and CloudNativePG sample rules

    Observed: covered, missing
    """
    repository = evidence.get(Repository)
    topics, rules = _facts(evidence, "alert_topic"), _facts(evidence, "alert_rules")
    if not topics and not rules:
        raise Unknown(
            Reason.NEEDS_ANSWER, "no alert rules stand in the repository: tell where they are, and what they cover"
        )
    covered = {fact.detail for fact in topics}
    wanted = [topic for topic in TOPICS if topic in NEEDED_OF_ALL or _concerns(evidence, topic)]
    missing = [topic for topic in wanted if topic not in covered]
    yield Examined(len(wanted), len(wanted), "kinds of alerts", unmet=len(missing))
    if missing:
        places = tuple(dict.fromkeys(fact.location for fact in (*topics, *rules)))
        yield Finding(
            Subject("file", (places[0].path,)),
            f"No alert rule tells of {_listed(missing)}",
            Fix("Add a rule for each: connections near max_connections, disk, age(datfrozenxid), WAL held by slots, lag in bytes "
                "and time, the age of the last backup, transactions open for minutes."),
            severity=Severity.MEDIUM if set(missing) & set(NEEDED_OF_ALL) else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={"covered": sorted(covered), "missing": missing, "repository": repository.name},
            locations=places[:5],
        )  # fmt: skip


def _concerns(evidence: Evidence, topic: str) -> bool:
    """Whether there is anything here that such an alert would be about; a provider sees to some of it."""
    server, activity = evidence.find(Server), evidence.find(Activity)
    if topic == "backup age":
        return server is None or not is_managed(server)
    if topic in {"slots", "lag"}:
        return bool(evidence.replicas) or bool(
            activity and any(holder.kind.endswith("slot") for holder in activity.horizon)
        )
    return True


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


@check("observability.no-query-tags", catalogue="O13", severity=Severity.LOW, needs=[Activity])
def no_query_tags(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Sessions do not say which program they belong to.

    When one of them blocks the others, or takes all connections, nobody knows whom to call: api, worker and somebody's script
    look the same. application_name costs nothing, and stands in pg_stat_activity and in the log.

    Fix: application_name in each service's connection string; sqlcommenter or query tags for the request behind a statement.

    Example: 40 sessions of role app with an empty application_name: which of web, worker and cron holds the lock?
    postgresql://app@db/app?application_name=worker tells.

    Source: PostgreSQL manual, "application_name"; sqlcommenter specification

    Observed: sessions, unnamed, roles
    """
    sessions = _clients(evidence)
    seen = [session for session in sessions if session.state is not None]
    gap = Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor")) if len(seen) < len(sessions) else None
    if len(seen) < MINIMUM_SESSIONS and gap is None:
        raise NotApplicable(f"fewer than {MINIMUM_SESSIONS} sessions were connected")
    yield Examined(len(seen), len(sessions), "sessions", gap=gap)
    unnamed = [
        session
        for session in seen
        if session.application_name in {"", "psycopg", "node-postgres", "PostgreSQL JDBC Driver"}
    ]
    if seen and len(unnamed) >= MINIMUM_SESSIONS and len(unnamed) / len(seen) > UNNAMED_SHARE:
        yield Finding(
            setting_subject("application_name"),
            f"{len(unnamed)} of {len(seen)} sessions do not say which program they belong to",
            Fix("Set application_name in the connection string of each service, with its name."),
            observed={
                "sessions": len(seen),
                "unnamed": len(unnamed),
                "roles": sorted({session.user for session in unnamed})[:5],
            },
            locations=tuple(fact.location for fact in _facts(evidence, "pool_size"))[:5],
        )


@check(
    "observability.pools-exceed-connections",
    catalogue="N25",
    severity=Severity.MEDIUM,
    needs=[Repository, Activity, Server],
)
def pools_exceed_connections(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The pools of all processes together want more connections than the server has.

    Each pool was sized by itself. It goes well until all are busy at once: the next process that starts gets "too many clients
    already", mostly during a deployment, when old and new run side by side.

    Fix: Pool size times processes, of all services and twice for the deployment, below max_connections; or a pooler between.

    Example: pool_size=20 and max_overflow=10 of SQLAlchemy in 4 workers of 3 replicas: 360 connections, and max_connections =
    100.

    Source: SQLAlchemy documentation, "Connection Pooling"; PgBouncer documentation

    Observed: pools, processes, wanted, available
    """
    activity = evidence.get(Activity)
    if activity.max_connections <= 0:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    pools = [
        (number, fact)
        for fact in _facts(evidence, "pool_size")
        if (number := _numbered(fact)) and not _tests(fact.location)
    ]
    if not pools:
        raise NotApplicable("the repository sizes no pool")
    if evidence.get(Server).through_pooler or _facts(evidence, "pooler"):
        raise NotApplicable("a pooler stands between")
    yield Examined(len(pools), len(pools), "pools")
    overflow = sum(number for number, fact in pools if "overflow" in fact.detail.lower())
    sizes = [number for number, fact in pools if "overflow" not in fact.detail.lower()]
    processes = process_count(evidence) or 1
    wanted = (max(sizes, default=5) + overflow) * processes
    available = activity.max_connections - activity.reserved_connections
    if wanted > available:
        places = tuple(fact.location for _, fact in sorted(pools, key=lambda entry: -entry[0]))
        yield Finding(
            setting_subject("max_connections"),
            f"{'One process' if processes == 1 else f'The {processes} processes of one service'} may open {wanted} connections, "
            f"and the server has {available}",
            Fix(
                "Make pool size times processes fit (few connections per process are enough), or put PgBouncer between."
            ),
            confidence=Confidence.INFERRED,
            observed={
                "pools": [fact.detail for _, fact in pools],
                "processes": processes,
                "wanted": wanted,
                "available": available,
            },
            locations=places,
        )


def process_count(evidence: Evidence) -> int | None:
    """Worker processes of a copy times copies, of the service with most of each; None where the repository does not say."""
    facts = [fact for fact in _facts(evidence, "processes") if not _tests(fact.location)]
    if not facts:
        return None
    copies = max((_numbered(fact) for fact in facts if "replicas" in fact.detail), default=1)
    workers = max((_numbered(fact) for fact in facts if "replicas" not in fact.detail), default=1)
    return max(1, copies) * max(1, workers)


def _numbered(fact: DeploymentFact) -> int:
    match = _NUMBER.match(fact.detail)
    return int(match[1]) if match else 0


def _tests(location: Location) -> bool:
    """Or a script that runs once."""
    return bool(re.search(r"(?:^|/)(?:tests?|examples?|__tests__|e2e|docs|scripts?|tools|migrations?)/", location.path))
