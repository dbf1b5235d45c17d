"""Starts the demo: the sample application's database on an embedded server with a standby, and its repository.

The first start builds it, later ones go on with what is there. Two processes at once each get a demo of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import platformdirs
import psycopg

from checks.errors import TargetError
from checks.evidence.database.session import MARKER
from checks.shadow.folders import LOCK_NAME, lock
from checks.shadow.server import EmbeddedServer, find_binaries, start, vector_supported
from tui.demo.build import DATABASE, SURVEYOR, build
from tui.demo.repository import make_repository
from tui.demo.workload import wait_for_the_model

SETTINGS = {"wal_level": "logical"}
COMPLETE = "complete"
NO_VECTORS = "This processor cannot run the embedded pgvector: the demo has no vectors, and no findings about them."

Progress = Callable[[str], None]


class Demo:
    """The running demo. `dsn` and `replica_dsns` are for a role that may see everything and change nothing; `notice` says what
    is left out and why, if anything is."""

    def __init__(
        self,
        server: EmbeddedServer,
        standby: EmbeddedServer,
        repository: Path,
        vectors: bool,
        waiting: psycopg.Connection[Any],
        held: int,
    ) -> None:
        self.server = server
        self.dsn = server.dsn(DATABASE, SURVEYOR)
        self.replica_dsns = (standby.dsn(DATABASE, SURVEYOR),)
        self.repository = repository
        self.vectors = vectors
        self.notice = "" if vectors else NO_VECTORS
        self._lock: int | None = held
        self._waiting = waiting

    def stop(self) -> None:
        """Ends the server and its standby; their data stay for the next start. Does nothing if it was done."""
        if self._lock is None:
            return
        self._waiting.close()
        self.server.stop()
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_demo(folder: Path | None = None, progress: Progress | None = None) -> Demo:
    """The demo, ready to be reviewed. `folder` defaults to one in the user's cache; `progress` is told what is being done.

    Raises TargetError if no server can be started, or if the demo cannot be built.
    """
    tell = progress or (lambda _: None)
    folder = folder or platformdirs.user_cache_path("pgsurveyor") / "demo"
    vectors = vector_supported()
    version = _version(vectors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_others(folder, version)
        home, held = _free_home(folder / version)
    except OSError as error:
        raise _not_usable(error) from error
    try:
        return _start(home, held, vectors, tell)
    except BaseException as error:
        os.close(held)
        if isinstance(error, OSError):
            raise _not_usable(error) from error
        if isinstance(error, psycopg.Error):
            raise TargetError(f"the demo cannot be built: {error}", f"remove {home} and try again") from error
        raise


def _start(home: Path, held: int, vectors: bool, tell: Progress) -> Demo:
    server, waiting = None, None
    complete = home / COMPLETE
    try:
        if complete.exists():
            tell("Starting the demo's server")
            server = start(SETTINGS, folder=home / "postgres")
            if not _has_statistics(server):
                server.stop()
                server = None
        if server is None:
            _clear(home)
            tell("Making the demo's server")
            server = start(SETTINGS, folder=home / "postgres")
            build(server, vectors=vectors, progress=tell)
            make_repository(home / "deskhand")
        waiting = wait_for_the_model(server.dsn(DATABASE, "assistant_api"))
        tell("Starting the standby")
        standby = server.standby()
        complete.touch()
        _forget_reviews(server)
        return Demo(server, standby, home / "deskhand", vectors, waiting, held)
    except BaseException:
        if waiting is not None:
            waiting.close()
        if server is not None:
            server.stop()
        raise


def _version(vectors: bool) -> str:
    """Names what the demo is made of: our files, the server's programs, and whether it has vectors."""
    digest = hashlib.sha256(f"{find_binaries()} {vectors}".encode())
    here = Path(__file__).parent
    for path in sorted(here.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"\0{path.relative_to(here).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _free_home(base: Path) -> tuple[Path, int]:
    """The first home of this version that no other process uses, and the lock on it."""
    for number in count():
        home = base.with_name(f"{base.name}-{number}")
        home.mkdir(exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        held = lock(home)
        if held is not None:
            return home, held
    raise AssertionError("count() does not end")


def _has_statistics(server: EmbeddedServer) -> bool:
    """Whether the server still knows how it was used; a crash makes it forget."""
    try:
        with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
            row = connection.execute(
                """
                SELECT (SELECT sum(calls) FROM pg_stat_statements WHERE userid = 'assistant_api'::regrole) > 1000
                   AND (SELECT sum(idx_scan) FROM pg_catalog.pg_stat_user_tables) > 1000
                """
            ).fetchone()
    except psycopg.Error:
        return False
    return row is not None and row[0] is True


def _forget_reviews(server: EmbeddedServer) -> None:
    """Drops what building the demo and pg_dump left among the statements: the demo shows the application's use. What is marked as
    a review's own stays: it tells which scans of indexes reviews made."""
    with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
        connection.execute(
            """
            SELECT pg_stat_statements_reset(s.userid, s.dbid, s.queryid)
            FROM pg_stat_statements AS s
            JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid AND r.rolname IN (%s, %s)
            WHERE s.queryid IS NOT NULL AND strpos(s.query, %s) = 0
            """,
            [SURVEYOR, server.superuser, MARKER],
        )


def _remove_others(folder: Path, version: str) -> None:
    """Removes demos of other versions that nobody uses."""
    for home in _homes(folder):
        if home.name.startswith(f"{version}-"):
            continue
        held = lock(home)
        if held is None:
            continue
        with suppress(OSError):
            _clear(home)
            shutil.rmtree(home)
        os.close(held)


def _homes(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("????????????-*")) if path.is_dir() and not path.is_symlink())


def _clear(home: Path) -> None:
    """Empties a home but for its lock."""
    (home / COMPLETE).unlink(missing_ok=True)
    data = home / "postgres" / "server"
    if data.is_symlink() and data.is_dir():
        shutil.rmtree(data.resolve())
    for path in home.iterdir():
        if path.name == LOCK_NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _not_usable(error: OSError) -> TargetError:
    place = f"{error.filename}: " if error.filename else ""
    return TargetError(
        f"the demo's folder cannot be used: {place}{error.strerror}", "see the rights and the room of that folder"
    )
