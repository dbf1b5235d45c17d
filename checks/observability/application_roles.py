"""Which login roles the application uses, as far as they can be seen at work."""

from __future__ import annotations

import re

from checks.evidence.database.facts import Activity, Server, Settings, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload

_REPEATED = 5

# Roles of providers, backup tools and metrics agents, by the names that they are created with.
SERVICE_ROLE = re.compile(
    r"rdsadmin|rds_.*|cloudsql.*|alloydb.*|azure_.*|azuresu|supabase_.*|authenticator|pgsodium_.*|neon_.*|crunchy_.*"
    r"|ccp_monitoring|pgbouncer.*|replicator|replication|repmgr|patroni|barman|streaming_barman|pgbackrest|backup|.*_backup"
    r"|datadog|.*monitor(ing)?|.*exporter|prometheus|grafana|newrelic|pganalyze|pgwatch.*|zabbix|telegraf|pgsurveyor"
)


def application_roles(evidence: Evidence) -> tuple[str, ...]:
    """Login roles that sent statements or are connected, without superusers, replication and monitoring.

    A superuser counts all the same if a statement of the application's code was sent by it: some applications connect so.
    The reviewing role counts if it is the only one at work. Empty if this role may not see who is at work.
    """
    settings, server = evidence.find(Settings), evidence.find(Server)
    login = set(settings.login_roles) if settings else set()
    seen, of_code = _seen(evidence), _senders_of_code(evidence)
    own = {role for role in seen if _is_own(role, evidence) and (not login or role in login)} | of_code
    reviewer = {server.user} if server else set()
    others = own - reviewer
    if others or reviewer & of_code:
        return tuple(sorted(others | (reviewer & of_code)))
    statements = evidence.find(Statements)
    return tuple(sorted(own)) if statements is not None and not statements.hidden else ()


def possible_roles(evidence: Evidence) -> tuple[str, ...]:
    """Login roles that the application may use, where it was not seen at work; the reviewing role if there is no other."""
    settings, server = evidence.find(Settings), evidence.find(Server)
    found = {role for role in settings.login_roles if _is_own(role, evidence)} if settings else set()
    return tuple(sorted(found - ({server.user} if server else set()) or found))


def _is_own(role: str, evidence: Evidence) -> bool:
    return role not in privileged_roles(evidence) and not SERVICE_ROLE.fullmatch(role)


def privileged_roles(evidence: Evidence) -> set[str]:
    """Superusers, replication and monitoring, as far as they are known; the reviewing role if it is a superuser."""
    settings, server = evidence.find(Settings), evidence.find(Server)
    found = {"postgres"} | (set(settings.privileged_roles) if settings else set())
    return found | {server.user} if server and server.user_sees == "superuser" else found


def _seen(evidence: Evidence) -> set[str]:
    statements, activity, server = evidence.find(Statements), evidence.find(Activity), evidence.find(Server)
    database = server.database if server else ""
    roles = {user for entry in statements.entries for user in entry.users} if statements else set()
    roles |= {session.user for session in activity.sessions if session.database == database} if activity else set()
    return roles - {""}


def _senders_of_code(evidence: Evidence) -> set[str]:
    """Who sent statements of the code again and again. One that names no table is anybody's, and one that ran a few times may
    be a migration's, or of somebody who tried it by hand."""
    statements = evidence.find(Statements)
    if statements is None:
        return set()
    of_tables = {pattern.query_id for pattern in workload(evidence) if pattern.tables}
    matched = (statements.by_id.get(query_id) for query_id in evidence.statement_locations.keys() & of_tables)
    return {user for entry in matched if entry and entry.calls >= _REPEATED for user in entry.users}
