"""What the fixtures hand to tests: databases on an embedded server, and servers of older majors."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from checks.shadow.server import EmbeddedServer, start

OLDER_MAJORS = (14, 15, 16, 17)

# Analyzing and vacuuming is left to the tests, so that what they see does not depend on the minute. Statements are many: each
# database has its own, and a server that drops the least used ones would forget those a test has just run.
TEST_SETTINGS = {
    "fsync": "off",
    "track_io_timing": "on",
    "autovacuum_naptime": "1d",
    "pg_stat_statements.max": "30000",
}


# Counters of tables are written out, and this is not among the statements of the application.
_COUNT = (
    "SELECT pg_catalog.set_config('pg_stat_statements.track', 'none', false), pg_catalog.pg_stat_force_next_flush()"
)


class PrimaryAndStandby(NamedTuple):
    primary: EmbeddedServer
    standby: EmbeddedServer


class Database:
    """A database of its own for one test. Connections made with `connect` are closed when it is dropped."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.name = f"t_{uuid.uuid4().hex[:12]}"
        self.dsn = server.dsn(self.name)
        self._connections: list[psycopg.Connection[Any]] = []
        self._maintain("CREATE DATABASE {}")

    def connect(self, **parameters: Any) -> psycopg.Connection[Any]:
        """A connection as superuser in autocommit; `parameters` are those of psycopg.connect (user=, row_factory=, ...)."""
        connection = psycopg.connect(self.dsn, **{"autocommit": True, **parameters})
        self._connections.append(connection)
        return connection

    def execute(self, *statements: str) -> None:
        """Runs statements, each of which may hold several, on a connection of their own; what they count is counted then."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
            connection.execute(_COUNT)

    def wait_until(self, question: str) -> None:
        """Until the answer to a query of one boolean is true, however slow the machine; fails after a minute."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET pg_stat_statements.track = 'none'")
            deadline = time.monotonic() + 60
            while connection.execute(question.encode()).fetchone() != (True,):
                assert time.monotonic() < deadline, question
                time.sleep(0.02)

    @property
    def major(self) -> int:
        with psycopg.connect(self.dsn) as connection:
            return connection.info.server_version // 10000

    def offers(self, extension: str) -> bool:
        """Whether that extension can be created here."""
        with psycopg.connect(self.dsn) as connection:
            query = "SELECT 1 FROM pg_available_extensions WHERE name = %s"
            return connection.execute(query, [extension]).fetchone() is not None

    def drop(self) -> None:
        for connection in self._connections:
            connection.close()
        self._maintain("DROP DATABASE {} WITH (FORCE)")

    def _maintain(self, statement: str) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.name)))


def wait_until_set(dsn: str, name: str, value: str) -> None:
    """Until new sessions have that setting, after pg_reload_conf(); fails after a minute."""
    deadline = time.monotonic() + 60
    while True:
        with psycopg.connect(dsn, autocommit=True) as connection:
            if connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,):
                return
        assert time.monotonic() < deadline, name
        time.sleep(0.02)


def cache_folder() -> Path:
    """Where scripts/fetch-servers keeps the servers of older majors."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgsurveyor" / "servers"


def start_major(major: int, settings: Mapping[str, str] = {}, *, folder: Path | None = None) -> EmbeddedServer:
    """A server of an older major. Raises TargetError if scripts/fetch-servers has not brought its programs.

    14 has no pg_stat_force_next_flush(): new databases get one that takes as long as a session keeps its counters to itself.
    """
    server = start({**TEST_SETTINGS, **settings}, folder=folder, binaries=cache_folder() / str(major) / "bin")
    if major < 15:
        with psycopg.connect(server.dsn("template1"), autocommit=True) as connection:
            connection.execute("SET allow_system_table_mods = on")
            connection.execute(
                "CREATE OR REPLACE FUNCTION pg_catalog.pg_stat_force_next_flush() RETURNS void LANGUAGE sql "
                "AS 'SELECT pg_catalog.pg_sleep(0.6)'"
            )
    return server


def start_chosen(config: pytest.Config, settings: Mapping[str, str] = {}) -> EmbeddedServer:
    """A server of the major that --major says, else the embedded one."""
    major: int | None = config.getoption("major")
    return start({**TEST_SETTINGS, **settings}) if major is None else start_major(major, settings)


def pgvector_version(major: int) -> tuple[int, ...] | None:
    """The version of pgvector that the server of that older major has; scripts/fetch-servers finds none for 14."""
    control = next((cache_folder() / str(major)).rglob("vector.control"), None)
    if control is None:
        return None
    version = control.read_text("utf-8").partition("default_version = '")[2].partition("'")[0]
    return tuple(int(part) for part in version.split("."))
