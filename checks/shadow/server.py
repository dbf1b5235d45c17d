"""An embedded PostgreSQL server, with standbys: for the demo, the shadow and the tests.

It listens on a socket in a folder that only its own account can enter, and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from checks.errors import TargetError
from checks.shadow.binaries import find_binaries, vector_supported
from checks.shadow.home import Home
from checks.shadow.process import read_postmaster_file, stop_left_over, stop_process

__all__ = ["EmbeddedServer", "find_binaries", "start", "vector_supported"]

DEFAULTS = {"listen_addresses": "", "shared_preload_libraries": "pg_stat_statements", "wal_level": "replica"}
SETTINGS_FILE = "pgsurveyor.conf"
PORT = 5432
READY_S = 60.0
STREAMING_S = 10.0
SHARED_MEMORY_WAIT_S = 5.0


class EmbeddedServer:
    """A running server; `start` makes one. As a context manager it is stopped at the end.

    `folder` holds its files, `socket_folder` its socket, `pid` is that of the postmaster.
    """

    superuser = "postgres"
    port = PORT

    def __init__(self, home: Home, data: Path, settings: Mapping[str, str]) -> None:
        self.folder = home.folder
        self.data = data
        self.socket_folder = home.run / "server" / f"socket-{data.name}"
        self._home = home
        self._settings = dict(settings)
        self._standbys: list[EmbeddedServer] = []
        self._is_primary = True
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Raises RuntimeError once the server is stopped."""
        if self._process is None:
            raise RuntimeError("the server is stopped")
        return self._process.pid

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """A libpq connection string over the socket."""
        return psycopg.conninfo.make_conninfo(host=str(self.socket_folder), port=PORT, user=user, dbname=database)

    @property
    def major(self) -> int:
        return self._home.major

    def restart(self, while_stopped: Callable[[], None]) -> None:
        """Stops the server, calls `while_stopped`, which may change its files, and starts it again. Raises TargetError."""
        if self._process is not None:
            stop_process(self._process)
            self._process = None
        while_stopped()
        self._run({})

    def own(self, path: Path) -> None:
        """Gives a file to the account that the server runs as."""
        self._home.account.own(path)

    def standby(self, name: str = "standby1") -> EmbeddedServer:
        """A hot standby that streams from this server over the replication slot `name`; it stops with this server. One
        that a kept folder already has is used again. Raises TargetError if it cannot be made."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", name):
            raise ValueError(f"{name!r} cannot name a standby")
        standby = EmbeddedServer(self._home, self.data.parent / name, self._settings)
        standby._is_primary = False
        try:
            if not standby._goes_on(self, name):
                self._copy_for(standby, name)
                standby._run_as_standby(self, name)
        except BaseException as error:
            standby.stop()
            if isinstance(error, psycopg.Error):
                raise TargetError(f"the standby {name} cannot be made: {error}", "see the primary's log") from error
            raise
        self._standbys.append(standby)
        return standby

    def stop(self) -> None:
        """Stops the standbys and the server: fast, then immediately, then by SIGKILL. Temporary files are removed, those of a
        kept folder stay. Does nothing if it is stopped already."""
        for standby in self._standbys:
            standby.stop()
        self._standbys.clear()
        if self._process is not None:
            stop_process(self._process)
            self._process = None
        if self._is_primary:
            self._home.leave()
            atexit.unregister(self.stop)
        elif not self._home.kept:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, settings: Mapping[str, str]) -> None:
        """Starts the server and waits until it takes connections. `settings` beat those in its files."""
        stop_left_over(self.data)
        self._home.write(self.data / SETTINGS_FILE, _configuration(self._settings))
        if not self.socket_folder.exists():
            self.socket_folder.mkdir(mode=0o700)
            self._home.account.own(self.socket_folder)
        command = [str(self._home.binaries / "postgres"), "-D", str(self.data)]
        for key, value in {"unix_socket_directories": str(self.socket_folder), "port": str(PORT), **settings}.items():
            command += ["-c", f"{key}={value}"]
        deadline = time.monotonic() + SHARED_MEMORY_WAIT_S
        while True:
            self._process = self._home.launch(command, self._log)
            ended = self._wait_until_ready(self._process)
            if ended is None:
                return
            self._process = None
            # The backends of a killed postmaster take a moment to end and to let go of its shared memory.
            if "shared memory block" not in ended or time.monotonic() > deadline:
                raise TargetError(f"the embedded server does not start: {ended}", "remove its folder to start afresh")
            time.sleep(0.1)

    @property
    def _log(self) -> Path:
        return self._home.run / f"{self.data.name}.log"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str | None:
        """None when it is ready, else the last words of its log."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return _last_words(self._log)
            found = read_postmaster_file(self.data)
            if found is not None and found.pid == process.pid and found.status in ("ready", "standby"):
                return None
            time.sleep(0.01)
        stop_process(process)
        return f"not ready after {READY_S:.0f} s"

    def _goes_on(self, primary: EmbeddedServer, name: str) -> bool:
        """Whether the data of an earlier run are there and stream again."""
        if not (self.data / "standby.signal").exists():
            return False
        try:
            self._run_as_standby(primary, name)
        except TargetError:
            self.stop()
            return False
        return True

    def _run_as_standby(self, primary: EmbeddedServer, name: str) -> None:
        source = psycopg.conninfo.make_conninfo(
            host=str(primary.socket_folder), port=PORT, user=self.superuser, application_name=name
        )
        self._run({"primary_conninfo": source, "primary_slot_name": name})
        deadline = time.monotonic() + STREAMING_S
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(
                    "SELECT state FROM pg_catalog.pg_stat_replication WHERE application_name = %s", [name]
                ).fetchone()
                if row is not None and row[0] == "streaming":
                    return
                time.sleep(0.02)
        raise TargetError(f"the standby {name} does not stream: {_last_words(self._log)}")

    def _copy_for(self, standby: EmbeddedServer, name: str) -> None:
        shutil.rmtree(standby.data, ignore_errors=True)
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = %s",
                [name],
            )
        options = ["-X", "stream", "-c", "fast", "-R", "-C", "-S", name, "--no-sync"]
        self._home.execute("pg_basebackup", "-d", self.dsn(), "-D", str(standby.data), *options)


def start(
    settings: Mapping[str, str] = {},
    *,
    folder: Path | None = None,
    binaries: Path | None = None,
    initdb: Callable[[int], Sequence[str]] = lambda _: (),
    guarded: bool = False,
    memory_bytes: int | None = None,
) -> EmbeddedServer:
    """A server that is ready, with `settings` over the defaults. `initdb` are further options of that program, by major;
    `guarded` temporary files are removed at once when this process ends, however it ends; `memory_bytes` of address space are the
    most that each of its processes can have.

    Without `folder` its files are temporary: removed when it stops, and by the next start after a crash. A given folder
    is kept, and a second start goes on with its data. Raises TargetError, also while another process uses the folder.
    """
    try:
        home = Home(folder, binaries, memory_bytes)
    except OSError as error:
        raise _not_usable(error) from error
    server = EmbeddedServer(home, home.files / "data", {**DEFAULTS, **settings})
    try:
        if guarded:
            home.guard()
        _make_cluster(home, server.data, initdb(home.major))
        server._run({})
    except BaseException as error:
        with suppress(OSError, TargetError):
            stop_left_over(server.data)
        server.stop()
        if isinstance(error, OSError):
            raise _not_usable(error) from error
        raise
    atexit.register(server.stop)
    return server


def _make_cluster(home: Home, data: Path, further: Sequence[str]) -> None:
    """initdb, unless a kept folder has been through it. An interrupted one is begun again."""
    version = data / "PG_VERSION"
    if version.exists():
        major = version.read_text("ascii").strip()
        if major != str(home.major):
            raise TargetError(
                f"the data in {home.folder} are of PostgreSQL {major}, the programs of {home.major}",
                "remove the folder to start afresh, or give the other programs with --pg-bin",
            )
        return
    unfinished = data.with_name("initdb")
    for path in (data, unfinished):
        if path.exists():
            shutil.rmtree(path)
    options = [
        "-U",
        EmbeddedServer.superuser,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--wal-segsize=4",
        *further,
    ]
    home.execute("initdb", "-D", str(unfinished), *options)
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(f"include = '{SETTINGS_FILE}'\n")
    unfinished.rename(data)


def _configuration(settings: Mapping[str, str]) -> str:
    quoted = (
        (key, str(value).replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n"))
        for key, value in settings.items()
    )
    return "".join(f"{key} = '{value}'\n" for key, value in quoted)


def _last_words(log: Path) -> str:
    """The line of a server's log that says why it ended. Mistakes in a configuration file stand before the last line."""
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    for pattern in (r"LOG:  (.* in file .* line \d+)", r"(?:FATAL|PANIC|ERROR):  (.*)", r"(.+)"):
        for line in reversed(lines):
            found = re.search(pattern, line)
            if found is not None:
                return found[1].strip()
    return "it says nothing"


def _not_usable(error: OSError) -> TargetError:
    place = f"{error.filename}: " if error.filename else ""
    return TargetError(
        f"the embedded server cannot be started: {place}{error.strerror}", "see the rights and the room of that folder"
    )
