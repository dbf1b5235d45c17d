"""pg_stat_statements, in whatever schema and version it is there."""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from typing import Any, NamedTuple

from psycopg import Error, errors

from checks.evidence.database.facts import Extension, Statement, Statements
from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.database.tools import reads_catalogs_only
from checks.evidence.sql import mask_literals
from checks.model import Reason, Unobserved, qualified_name

EXTENSION = "pg_stat_statements"
_OLDEST = (1, 8)
_WITH_INFO = (1, 9)

NOT_CREATED = Unobserved(
    Reason.EXTENSION_MISSING,
    "CREATE EXTENSION pg_stat_statements; in this database, with shared_preload_libraries = 'pg_stat_statements' and a restart",
)
NOT_LOADED = Unobserved(
    Reason.EXTENSION_MISSING,
    "shared_preload_libraries = 'pg_stat_statements' and a restart: the extension is created but its library is not loaded",
)
NOT_READABLE = Unobserved(
    Reason.NOT_PARSED,
    "SELECT pg_stat_statements_reset(0, OID) for the database, by its oid, whose statements are not in this one's encoding",
)
TOO_OLD = Unobserved(Reason.SERVER_VERSION, "ALTER EXTENSION pg_stat_statements UPDATE;")

# Texts of other commands can hold passwords and paths, and do not read or write tables.
_KEPT = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(select|insert|update|delete|merge|with|values)\b", re.IGNORECASE | re.DOTALL
)


class Seen(NamedTuple):
    """What pg_stat_statements holds: the workload, and those statements of ours that move usage counters, with their calls."""

    statements: Statements | Unobserved
    own: tuple[tuple[str, int], ...] = ()


def observe_statements(session: Session, extension: Extension | None, user: str, tables: Container[str] = ()) -> Seen:
    """Statements that read or write tables of this database, most expensive first, and ours apart; those of tools, that read
    the system's catalogs and none of `tables` (bare names), are only counted.

    Raises psycopg.Error where the view is there and cannot be read for another reason than privilege or library.
    """
    if extension is None:
        return Seen(NOT_CREATED)
    if extension.version_tuple < _OLDEST:
        return Seen(TOO_OLD)
    view = {EXTENSION: qualified_name(extension.schema, EXTENSION)}
    info_view = "(SELECT NULL::bigint AS dealloc, NULL::timestamptz AS stats_reset)"
    if extension.version_tuple >= _WITH_INFO:
        info_view = qualified_name(extension.schema, "pg_stat_statements_info")
    try:
        rows = session.rows(query("statements", session.major, **view))
        info = session.rows(query("statements_info", session.major, **view, pg_stat_statements_info=info_view))[0]
    except errors.ObjectNotInPrerequisiteState:
        return Seen(NOT_LOADED)
    except (errors.CharacterNotInRepertoire, errors.UntranslatableCharacter):
        return Seen(NOT_READABLE)
    except errors.InsufficientPrivilege:
        unlock = (
            f"GRANT USAGE ON SCHEMA {qualified_name(extension.schema)} TO {qualified_name(user)}; "
            f"GRANT SELECT ON {view[EXTENSION]} TO {qualified_name(user)};"
        )
        return Seen(Unobserved(Reason.NOT_PERMITTED, unlock))
    kept = [row for row in rows if not row.own and _KEPT.match(row.text)]
    of_tools = {row.queryid for row in kept if reads_catalogs_only(row.text, tables)}
    statements = Statements(
        extension_version=extension.version,
        since=info.since,
        evicted=info.evicted,
        hidden=info.hidden,
        entries=tuple(_statement(row) for row in kept if row.queryid not in of_tools),
        of_tools=len(of_tools),
        of_tools_ms=sum(row.total_ms for row in kept if row.queryid in of_tools),
    )
    return Seen(statements, tuple((row.text, row.calls) for row in rows if row.own))


def statement_texts(session: Session, extension: Extension | None, ids: Collection[str]) -> dict[str, str]:
    """The texts of those statements by their ids, without literals; of others than those that read or write tables only the first
    word. In a transaction of its own; {} where pg_stat_statements cannot be read."""
    if extension is None or not ids:
        return {}
    view = {EXTENSION: qualified_name(extension.schema, EXTENSION)}
    try:
        with session.transaction(ends=True):
            rows = session.rows(query("statement_texts", session.major, **view), {"ids": list(ids)})
    except Error:
        return {}
    return {row.query_id: mask_literals(row.text) if _KEPT.match(row.text) else _command(row.text) for row in rows}


def _command(text: str) -> str:
    first = re.match(r"\s*(\w{1,20})", text)
    return f"{first[1].upper()} ..." if first else "..."


def not_permitted(user: str) -> str:
    """What lets a role read the texts of others."""
    return f"GRANT pg_read_all_stats TO {qualified_name(user)};"


def _statement(row: Any) -> Statement:
    return Statement(
        query_id=str(row.queryid),
        text=mask_literals(row.text),
        calls=row.calls,
        total_ms=row.total_ms,
        mean_ms=row.total_ms / row.calls,
        rows=row.rows,
        stddev_ms=row.stddev_ms,
        max_ms=row.max_ms,
        shared_blocks_hit=row.shared_blocks_hit,
        shared_blocks_read=row.shared_blocks_read,
        temp_blocks_written=row.temp_blocks_written,
        wal_bytes=row.wal_bytes,
        planning_ms=row.planning_ms,
        read_ms=row.read_ms,
        write_ms=row.write_ms,
        jit_ms=row.jit_ms,
        users=tuple(row.users),
        toplevel=row.toplevel,
    )
