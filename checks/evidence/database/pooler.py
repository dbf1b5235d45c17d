"""PgBouncer's console: who has a server connection, who waits for one, and by what settings. It only SHOWs."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from checks.errors import TargetError
from checks.evidence.database.dsn import Dsn
from checks.evidence.database.facts import Pool, Pooler
from checks.evidence.database.session import APPLICATION_NAME, CONNECT_TIMEOUT_S
from checks.evidence.database.unreachable import unreachable

CONSOLE = "pgbouncer"
# The first transactions of all wait until a connection is made.
_ENOUGH = 1_000
_SETTINGS = frozenset(
    """
    pool_mode default_pool_size min_pool_size reserve_pool_size reserve_pool_timeout max_client_conn max_db_connections
    max_user_connections max_prepared_statements query_timeout query_wait_timeout client_idle_timeout server_idle_timeout
    server_lifetime idle_transaction_timeout transaction_timeout client_tls_sslmode server_tls_sslmode
    """.split()
)


def observe_pooler(dsn: Dsn) -> Pooler:
    """One look. Raises TargetError where the console cannot be reached or does not let this user in."""
    target = make_conninfo(
        dsn.conninfo,
        dbname=dsn.parameters.get("dbname") or CONSOLE,
        application_name=APPLICATION_NAME,
        connect_timeout=dsn.value("connect_timeout") or CONNECT_TIMEOUT_S,
    )
    try:
        with psycopg.connect(target, autocommit=True, prepare_threshold=None) as connection:
            version = _show(connection, "VERSION")
            pools = _show(connection, "POOLS")
            config = _show(connection, "CONFIG")
            stats = _show(connection, "STATS")
    except psycopg.OperationalError as error:
        raise unreachable(dsn, error) from None
    except psycopg.Error as error:
        raise TargetError(
            f"{dsn.display} does not answer as PgBouncer's console (SQLSTATE {error.sqlstate or 'unknown'})",
            f"give its database {CONSOLE}, and a user of admin_users or stats_users",
        ) from None
    return Pooler(
        name=dsn.display,
        version=str(next(iter(version[0].values()))).split(" ")[-1] if version else "",
        pools=tuple(_pool(row) for row in pools if row["database"] != CONSOLE),
        settings={row["key"]: str(row["value"]) for row in config if row["key"] in _SETTINGS},
        mean_wait_ms={
            row["database"]: round(int(row["avg_wait_time"]) / 1000, 3)
            for row in stats
            if row["database"] != CONSOLE and int(row["total_xact_count"]) >= _ENOUGH
        },
    )


def _show(connection: psycopg.Connection[Any], what: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SHOW {what}".encode()).fetchall()


def _pool(row: dict[str, Any]) -> Pool:
    def count(*names: str) -> int:
        return sum(int(row.get(name) or 0) for name in names)

    return Pool(
        database=row["database"],
        user=row["user"],
        mode=row["pool_mode"],
        clients=count("cl_active", "cl_waiting"),
        waiting=count("cl_waiting"),
        servers_busy=count("sv_active", "sv_tested", "sv_login"),
        servers_idle=count("sv_idle", "sv_used"),
        longest_wait_s=round(count("maxwait") + count("maxwait_us") / 1_000_000, 3),
    )
