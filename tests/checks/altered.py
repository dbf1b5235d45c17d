"""Evidence of a real server, as it would be if one thing were otherwise."""

from __future__ import annotations

import datetime as dt

import msgspec

from checks.evidence.database.facts import Activity, Server, Session, Settings, Usage
from checks.evidence.evidence import Evidence


def with_setting(evidence: Evidence, name: str, value: str) -> Evidence:
    settings = evidence.get(Settings)
    entries = tuple(
        msgspec.structs.replace(entry, value=value) if entry.name == name else entry for entry in settings.entries
    )
    return msgspec.structs.replace(evidence, settings=msgspec.structs.replace(settings, entries=entries))


def of_flavour(evidence: Evidence, flavour: str) -> Evidence:
    server = msgspec.structs.replace(evidence.get(Server), flavour=flavour)
    return msgspec.structs.replace(evidence, server=server)


def aged(evidence: Evidence, days: float) -> Evidence:
    """As if the server had counted for that long."""
    server = evidence.get(Server)
    begun = server.observed_at - dt.timedelta(days=days)
    older = msgspec.structs.replace(server, started_at=begun, statistics_since=begun)
    return msgspec.structs.replace(evidence, server=older)


def with_counters(evidence: Evidence, **counters: float) -> Evidence:
    """Counters of pg_stat_database."""
    usage = evidence.get(Usage)
    altered = msgspec.structs.replace(usage, database={**usage.database, **counters})
    return msgspec.structs.replace(evidence, usage=altered)


def with_sessions(evidence: Evidence, *sessions: Session) -> Evidence:
    activity = msgspec.structs.replace(evidence.get(Activity), sessions=sessions)
    return msgspec.structs.replace(evidence, activity=activity)
