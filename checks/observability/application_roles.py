"""Which login roles the application uses, as far as they can be seen at work."""

from __future__ import annotations

import re

from checks.evidence.database.facts import Activity, Server, Settings, Statements
from checks.evidence.evidence import Evidence

# Roles of providers, backup tools and metrics agents, by the names that they are created with.
SERVICE_ROLE = re.compile(
    r"rdsadmin|rds_.*|cloudsql.*|alloydb.*|azure_.*|azuresu|supabase_.*|authenticator|pgsodium_.*|neon_.*|crunchy_.*"
    r"|ccp_monitoring|pgbouncer.*|replicator|replication|repmgr|patroni|barman|streaming_barman|pgbackrest|backup|.*_backup"
    r"|datadog|.*monitor(ing)?|.*exporter|prometheus|grafana|newrelic|pganalyze|pgwatch.*|zabbix|telegraf|pgsurveyor"
)


def application_roles(evidence: Evidence) -> tuple[str, ...]:
    """Login roles that sent statements or are connected, without superusers, replication and monitoring.

    A superuser counts all the same if a statement of the application's code was sent by it: some applications connect so.
    """
    settings = evidence.find(Settings)
    privileged = privileged_roles(evidence)
    login = set(settings.login_roles) if settings else set()
    seen = _seen(evidence)
    of_code = _senders_of_code(evidence)
    return tuple(
        sorted(
            role
            for role in seen
            if role in of_code
            or (role not in privileged and not SERVICE_ROLE.fullmatch(role) and (not login or role in login))
        )
    )


def privileged_roles(evidence: Evidence) -> set[str]:
    """Superusers, replication and monitoring, as far as they are known; the reviewing role if it is a superuser."""
    settings, server = evidence.find(Settings), evidence.find(Server)
    found = {"postgres"} | (set(settings.privileged_roles) if settings else set())
    return found | {server.user} if server and server.user_sees == "superuser" else found


def _seen(evidence: Evidence) -> set[str]:
    statements, activity, server = evidence.find(Statements), evidence.find(Activity), evidence.find(Server)
    reviewer = server.user if server else ""
    database = server.database if server else ""
    roles = {user for entry in statements.entries for user in entry.users} if statements else set()
    connected = {session.user for session in activity.sessions if session.database == database} if activity else set()
    roles |= {role for role in connected if role and role != reviewer}
    if roles - {reviewer}:
        roles.discard(reviewer)
    return roles - {""}


def _senders_of_code(evidence: Evidence) -> set[str]:
    statements = evidence.find(Statements)
    if statements is None:
        return set()
    matched = (statements.by_id.get(query_id) for query_id in evidence.statement_locations)
    return {user for entry in matched if entry for user in entry.users}
