"""Server processes: started so that they end with us, stopped in three steps, and recognised when left over."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from checks.errors import TargetError
from checks.shadow.account import Account

STOP_STEPS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
PR_SET_PDEATHSIG = 1

# Linux sends the parent-death signal when the starting thread ends, so one thread that lives as long as we do starts all.
_launcher = ThreadPoolExecutor(1, "server-launcher")
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class PostmasterFile(msgspec.Struct, frozen=True):
    """postmaster.pid of a data folder; `status` is empty until the server has written it."""

    pid: int
    status: str


def read_postmaster_file(data: Path) -> PostmasterFile | None:
    """None while there is none, or only part of it."""
    try:
        lines = (data / "postmaster.pid").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdigit():
        return None
    return PostmasterFile(int(lines[0]), lines[7].strip() if len(lines) > 7 else "")


def launch(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    log: Path,
    account: Account,
    memory_bytes: int | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a server in a session of its own, so that Ctrl-C in a terminal is ours alone; its output goes to `log`. Each of its
    processes can have `memory_bytes` of address space at most."""

    def start() -> subprocess.Popen[bytes]:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(os.getpid(), memory_bytes),
                **account.process_arguments(),
            )
        finally:
            os.close(handle)

    return _launcher.submit(start).result()


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Fast, then immediate shutdown, then SIGKILL; returns when the process is gone."""
    for step, patience_s in STOP_STEPS:
        if process.poll() is not None:
            return
        process.send_signal(step)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
        return


def stop_left_over(data: Path) -> None:
    """Stops the server that a crashed owner left on `data`, if there is one, and removes a stale postmaster.pid, which
    would keep the next server from starting once its number belongs to some other process. Needs the folder's lock."""
    found = read_postmaster_file(data)
    if found is not None:
        for step, patience_s in STOP_STEPS:
            if not _serves(found.pid, data):
                break
            os.kill(found.pid, step)
            deadline = time.monotonic() + patience_s
            while _serves(found.pid, data) and time.monotonic() < deadline:
                time.sleep(0.02)
        if _serves(found.pid, data):
            raise TargetError(f"the server left over in {data} (process {found.pid}) does not stop", "end that process")
    (data / "postmaster.pid").unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is alive, of the owner of `data`, and was started on it."""
    owner = data.stat().st_uid
    process = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            if process.stat().st_uid != owner:
                return False
            return os.fsencode(data) in (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
    shown = subprocess.run(["ps", "-o", "uid=,args=", "-p", str(pid)], capture_output=True, text=True)
    uid, _, arguments = shown.stdout.strip().partition(" ")
    return uid == str(owner) and f" {data} " in f"{arguments} "


def end_with_parent(parent: int, memory_bytes: int | None = None) -> Callable[[], None] | None:
    """What a child does before it becomes a program: it asks to be interrupted when the thread that started it ends, and takes
    its limit of memory. None where there is no such request."""
    libc = _libc
    if libc is None:
        return None

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT))
        if os.getppid() != parent:
            os._exit(1)
        if memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))

    return prepare
