"""The node that answers: version, role, flavour, and what this login may see of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.errors import TargetError
from checks.evidence.database.facts import Extension, Server
from checks.evidence.database.flavours import flavour
from checks.evidence.database.host import Permitted
from checks.evidence.database.query import query
from checks.evidence.database.session import Session

OLDEST_MAJOR = 14


class Sight(NamedTuple):
    """What the login may read besides the catalogs, and how many connections there may be."""

    all_data: bool
    all_settings: bool
    all_stats: bool
    max_connections: int
    reserved_connections: int
    host: Permitted = Permitted()


def check_version(session: Session) -> None:
    """Raises TargetError where the other end is no PostgreSQL of a major that can be read."""
    if session.version_num < 90000:
        raise TargetError(
            f"{session.dsn.display} does not tell a PostgreSQL version",
            "it may be the console of a pooler, or another database that speaks the same protocol",
        )
    if session.major < OLDEST_MAJOR:
        shown = (
            session.major if session.version_num >= 100000 else f"{session.major}.{session.version_num // 100 % 100}"
        )
        raise TargetError(
            f"{session.dsn.display} runs PostgreSQL {shown}; {OLDEST_MAJOR} is the oldest that can be read",
            "upgrade the server first: its major gets no fixes any more",
        )


def observe_server(session: Session) -> tuple[Server, Sight]:
    """Size and system identifier stay None: see `with_identity`."""
    row = session.rows(query("server", session.major))[0]
    extensions = tuple(
        Extension(x.name, x.schema, x.version, x.default_version, x.loaded_version)
        for x in session.rows(query("extensions", session.major))
    )
    server = Server(
        database=row.database,
        version=row.version.split(" ")[0],
        version_num=row.version_num,
        role="standby" if row.in_recovery else "primary",
        flavour=flavour(
            row.telling_roles, row.setting_prefixes, row.telling_functions, (entry.name for entry in extensions)
        ),
        user=row.user_name,
        user_sees=_user_sees(row),
        observed_at=row.observed_at,
        started_at=row.started_at,
        statistics_since=row.statistics_since,
        size_bytes=None,
        through_pooler=session.dsn.transaction_pooling or row.backend_pid != session.backend_pid,
        encoding=row.encoding,
        extensions=extensions,
    )
    return server, Sight(
        row.reads_all_data,
        row.reads_all_settings,
        row.reads_all_stats,
        row.max_connections,
        row.reserved_connections,
        Permitted(bool(row.reads_rules), bool(row.lists_wal), bool(row.lists_log)),
    )


def with_identity(server: Server, session: Session) -> Server:
    """Fills in the system identifier and the size, each where the server tells it."""
    for name in ("identity", "identity_without_control"):
        try:
            with session.transaction(one_snapshot=True):
                row = session.rows(query(name, session.major))[0]
        except psycopg.Error:
            continue
        return msgspec.structs.replace(server, system_identifier=row.system_identifier, size_bytes=row.size_bytes)
    return server


def _user_sees(row: Any) -> str:
    if row.superuser:
        return "superuser"
    if row.monitor:
        return "full" if row.reads_all_data else "monitor"
    return "plain"
