"""The server's settings, as they are before any role, database or client says otherwise; those sayings apart."""

from __future__ import annotations

from typing import Any

import psycopg

from checks.evidence.database.facts import RoleSetting, Setting, Settings
from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.database.shown import DISABLED, EMPTY, SET, hidden_value, is_command, keeps_value

# What a value came from, if it is not the server's own but our login's, database's or connection's.
_OF_OUR_SESSION = frozenset({"client", "user", "database", "database user", "session", "interactive"})
_OURS = "lock_timeout"
_OF_THE_TRANSACTION = frozenset({"transaction_deferrable", "transaction_isolation", "transaction_read_only"})


def observe_settings(session: Session, *, user: str, database: str, sees_all: bool) -> tuple[Settings, tuple[str, ...]]:
    """The settings, and the names of those whose server-wide value cannot be seen, because this login or database has another.

    In transactions of its own: pg_settings is read before anything but lock_timeout is set in one.
    """
    with session.transaction({}):
        rows = [_undone(row) for row in session.rows(query("settings", session.major))]
    with session.transaction():
        roles = session.rows(query("roles", session.major))
    overridden = {row.name: row for row in rows if row.source in _OF_OUR_SESSION}
    if any(row.name == _OURS and row.role in {user, ""} and row.database in {database, ""} for row in roles):
        overridden |= {row.name: row for row in rows if row.name == _OURS}
    hiding = {name for name, row in overridden.items() if row.source != "client"} - _OF_THE_TRANSACTION
    in_files = _in_files(session, hiding) if hiding and sees_all else {}
    kinds = {row.name: row.kind for row in rows}
    archiving = next((row.reset_value for row in rows if row.name == "archive_mode"), None) not in {None, "off"}
    entries = [
        _setting(row, row.reset_value, row.source, archiving)
        for row in rows
        if row.name not in overridden and row.name not in _OF_THE_TRANSACTION
    ]
    entries += [_setting(overridden[name], value, "configuration file", archiving) for name, value in in_files.items()]
    logins = [row for row in roles if row.kind == "login"]
    settings = Settings(
        entries=tuple(sorted(entries, key=lambda entry: entry.name)),
        role_settings=tuple(
            RoleSetting(
                row.role,
                row.database,
                row.name,
                row.value if keeps_value(row.name, kinds.get(row.name)) else _hidden(row),
            )
            for row in roles
            if row.kind == "setting"
        ),
        login_roles=tuple(row.role for row in logins),
        privileged_roles=tuple(row.role for row in logins if row.privileged),
        hidden=not sees_all,
    )
    return settings, tuple(sorted(hiding - in_files.keys()))


def _undone(row: Any) -> Any:
    """Without a trace of what this transaction has set itself."""
    if row.name != _OURS:
        return row
    return row._replace(source="default" if row.reset_value == row.boot_value else "configuration file")


def _hidden(row: Any) -> str:
    return SET if row.value else EMPTY


def _in_files(session: Session, names: set[str]) -> dict[str, str]:
    """What postgresql.conf and ALTER SYSTEM say of these settings, in their units: the server converts what it is told for one
    transaction. {} for those who may not ask: superusers may."""
    try:
        with session.transaction():
            if not session.rows(query("file_settings_allowed", session.major))[0].allowed:
                return {}
            rows = session.rows(query("file_settings", session.major))
        written = {row.name.lower(): row.value for row in rows}
        asked = {name: written[name.lower()] for name in names if name.lower() in written}
        with session.transaction(asked, ends=True, may_fail=True):
            rows = session.rows(query("current_settings", session.major), {"names": list(asked)})
    except psycopg.Error:
        return {}
    return {row.name: row.value for row in rows}


def _setting(row: Any, value: str | None, source: str, archiving: bool) -> Setting:
    kept = keeps_value(row.name, row.kind)
    if is_command(row.name):
        value = EMPTY if not value else SET
        if row.name.startswith("archive_") and row.name != "archive_cleanup_command" and not archiving:
            value = DISABLED
    elif not kept:
        value = hidden_value(value, row.boot_value)
    return Setting(
        name=row.name,
        value=value or "",
        unit=row.unit,
        source=source,
        boot_value=row.boot_value if kept else None,
        pending_restart=row.pending_restart,
    )
