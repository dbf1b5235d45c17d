"""An embedded PostgreSQL server, with standbys: for the demo, the shadow and the tests.

It listens on a socket in a folder that only its own account can enter, and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from checks.errors import TargetError
from checks.shadow.account import server_account
from checks.shadow.binaries import copy_for_everyone, find_binaries, library_folder, server_major, vector_supported
from checks.shadow.folders import kept_server_folder, lock, temporary_folder
from checks.shadow.process import launch, read_postmaster_file, stop_left_over, stop_process

__all__ = ["EmbeddedServer", "find_binaries", "start", "vector_supported"]

DEFAULTS = {"listen_addresses": "", "shared_preload_libraries": "pg_stat_statements", "wal_level": "replica"}
SETTINGS_FILE = "pgsurveyor.conf"
PORT = 5432
READY_S = 60.0
STREAMING_S = 10.0
LOCK_WAIT_S = 10.0
SHARED_MEMORY_WAIT_S = 5.0


class EmbeddedServer:
    """A running server; `start` makes one. As a context manager it is stopped at the end.

    `folder` holds its files, `socket_folder` its socket, `pid` is that of the postmaster.
    """

    superuser = "postgres"
    port = PORT

    def __init__(self, home: _Home, data: Path, settings: Mapping[str, str]) -> None:
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

    def standby(self, name: str = "standby1") -> EmbeddedServer:
        """A hot standby that streams from this server over the replication slot `name`; it stops with this server. One
        that a kept folder already has is used again. Raises TargetError if it cannot be made."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", name):
            raise ValueError(f"{name!r} cannot name a standby")
        data = self.data.parent / name
        standby = EmbeddedServer(self._home, data, self._settings)
        standby._is_primary = False
        if (data / "standby.signal").exists():
            try:
                standby._run_as_standby(self, name)
            except TargetError:
                standby.stop()
        if standby._process is None:
            self._copy_for(standby, name)
            try:
                standby._run_as_standby(self, name)
            except BaseException:
                standby.stop()
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


class _Home:
    """Where a server lives: the folder with its data, the temporary one with its socket and log, and its programs."""

    def __init__(self, folder: Path | None, binaries: Path | None) -> None:
        found = find_binaries(binaries)
        self.kept = folder is not None
        self._locks: list[int] = []
        if folder is not None:
            folder = folder.absolute()
            _make_folder(folder)
            descriptor = lock(folder, wait_s=LOCK_WAIT_S)
            if descriptor is None:
                raise TargetError(f"another process is using {folder}", "end it, or wait until it has ended")
            self._locks.append(descriptor)
        try:
            self.account = server_account(folder / "server" if folder is not None else None)
            self.run, descriptor = temporary_folder(self.account)
            self._locks.append(descriptor)
            sockets = self.run / "server"
            sockets.mkdir(mode=0o700)
            self.account.own(sockets)
            self.folder = self.run if folder is None else folder
            self.files = sockets if folder is None else kept_server_folder(folder, self.account)
            self.binaries, self.major = self._reachable(found)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Removes what is temporary and lets go of the folders."""
        if hasattr(self, "run"):
            shutil.rmtree(self.run, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    def launch(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        return launch(
            command, environment=self._environment(self.binaries), cwd=self.files, log=log, account=self.account
        )

    def execute(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs to its end. Raises TargetError with its last words if it fails."""
        run = subprocess.run(
            [str(self.binaries / program), *arguments],
            env=self._environment(self.binaries),
            cwd=self.files,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            start_new_session=True,
            **self.account.process_arguments(),
        )
        if run.returncode:
            words = re.search(r"(?:error|FATAL|PANIC): +(.+)", run.stderr)
            why = words[1] if words else f"exit status {run.returncode}"
            raise TargetError(f"{program} failed: {why}", "see that there are room on the disk and memory")

    def write(self, path: Path, text: str) -> None:
        """Writes a file of the server's account, never through a link that this account may have put there."""
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        self.account.own(path)

    def _reachable(self, binaries: Path) -> tuple[Path, int]:
        """The programs as the server's account can run them: copied if they lie in a closed folder."""
        if self.account.switch and not self.account.reaches(binaries / "postgres"):
            binaries = copy_for_everyone(binaries, self.run)
        return binaries, server_major(binaries, self._environment(binaries), self.account)

    def _environment(self, binaries: Path) -> dict[str, str]:
        """Ours without what would direct libpq or the server elsewhere."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
        environment |= {"LC_ALL": "C", "LANG": "C"}
        libraries = library_folder(binaries)
        if libraries is not None:
            environment["LD_LIBRARY_PATH"] = str(libraries)
        return environment


def start(
    settings: Mapping[str, str] = {}, *, folder: Path | None = None, binaries: Path | None = None
) -> EmbeddedServer:
    """A server that is ready, with `settings` over the defaults.

    Without `folder` its files are temporary: removed when it stops, and by the next start after a crash. A given folder
    is kept, and a second start goes on with its data. Raises TargetError, also while another process uses the folder.
    """
    try:
        home = _Home(folder, binaries)
    except OSError as error:
        raise _not_usable(error) from error
    server = EmbeddedServer(home, home.files / "data", {**DEFAULTS, **settings})
    try:
        _make_cluster(home, server.data)
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


def _make_cluster(home: _Home, data: Path) -> None:
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
    ]
    home.execute("initdb", "-D", str(unfinished), *options)
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(f"include = '{SETTINGS_FILE}'\n")
    unfinished.rename(data)


def _make_folder(folder: Path) -> None:
    """A new one lets the server's account pass where that is not our own."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


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
