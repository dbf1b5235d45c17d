"""The folders of embedded servers: temporary ones, kept ones, and the sweep of those whose owner is gone.

Whoever holds the lock file of a folder owns it; the system lets go of the lock when its holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from checks.errors import TargetError
from checks.shadow.account import Account
from checks.shadow.process import stop_left_over

PREFIX = "pgsurveyor-"
LOCK_NAME = "lock"
SOCKET_PATH_BYTES = 103
LONGEST_SOCKET_NAME = "/server/socket-standby99/.s.PGSQL.5432"
ROOT_STATE = Path("/var/lib/pgsurveyor")
ORIGIN_SUFFIX = ".origin"
UNLOCKED_GRACE_S = 60.0
# A new server takes half of it.
LEAST_ROOM = 96 << 20


def lock(folder: Path, *, wait_s: float = 0.0) -> int | None:
    """Takes the lock of `folder`. Returns the open descriptor that holds it, or None while another process does."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor


def temporary_folder(account: Account) -> tuple[Path, int]:
    """A new folder with a short path that `account` can pass through, and its lock. Left-over ones are swept first.
    Raises TargetError if there is no place for it."""
    for base in _bases():
        sweep(base)
    roomy = [base for base in _bases() if _room(base) >= LEAST_ROOM]
    for base in roomy:
        if len(str(base)) + len(f"/{PREFIX}12345678{LONGEST_SOCKET_NAME}") > SOCKET_PATH_BYTES:
            continue
        if not account.reaches(base):
            continue
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        descriptor = _locked_from_the_start(folder)
        folder.chmod(0o711 if account.switch else 0o700)
        return folder, descriptor
    raise TargetError(
        f"there is no temporary folder with a short path and {LEAST_ROOM >> 20} MB of room for the embedded server",
        "set TMPDIR to one",
    )


def _room(base: Path) -> int:
    found = os.statvfs(base)
    return found.f_bavail * found.f_frsize


def sweep(base: Path) -> list[Path]:
    """Removes the temporary folders in `base` that crashed runs of this user left, and stops servers that still run
    there. Returns what was removed."""
    removed = []
    for folder in base.glob(PREFIX + "*"):
        try:
            if not _abandoned(folder):
                continue
            descriptor = lock(folder)
            if descriptor is None:
                continue
            for data in sorted(folder.glob("server/*/postmaster.pid"), reverse=True):
                stop_left_over(data.parent)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
            removed.append(folder)
        except FileNotFoundError:
            continue
    return removed


def kept_server_folder(folder: Path, account: Account) -> Path:
    """The folder inside `folder` that belongs to `account` and holds the server's files; made if it is not there.

    Where the account cannot pass through `folder` (as root: a closed home), it is a link to one under /var/lib. Raises
    TargetError where the account can no longer pass to what it has there.
    """
    inside = folder / "server"
    if inside.is_symlink():
        elsewhere = inside.resolve()
        if elsewhere.is_dir() and account.reaches(elsewhere):
            return elsewhere
        inside.unlink()
    if not account.switch or account.reaches(folder):
        _make_owned(inside, account)
        return inside
    if inside.exists():
        raise TargetError(
            f"the account {account.name!r}, which runs the server, no longer reaches {folder}",
            "open the folders above it for other accounts, or remove it to start afresh",
        )
    ROOT_STATE.mkdir(parents=True, exist_ok=True)
    ROOT_STATE.chmod(0o711)
    _sweep_root_state()
    elsewhere = ROOT_STATE / hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    if elsewhere.exists():
        shutil.rmtree(elsewhere)
    inside.symlink_to(elsewhere)
    elsewhere.with_suffix(ORIGIN_SUFFIX).write_bytes(os.fsencode(folder.resolve()))
    _make_owned(elsewhere, account)
    return elsewhere


def _sweep_root_state() -> None:
    """Removes what is there for folders that are gone, or that no longer lead to it."""
    for record in ROOT_STATE.glob(f"*{ORIGIN_SUFFIX}"):
        with suppress(FileNotFoundError):
            link, files = Path(os.fsdecode(record.read_bytes())) / "server", record.with_suffix("")
            if link.is_symlink() and link.readlink() == files:
                continue
            if (files / "data").is_dir():
                stop_left_over(files / "data")
            shutil.rmtree(files, ignore_errors=True)
            record.unlink()


def _make_owned(folder: Path, account: Account) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700)
        account.own(folder)


def _bases() -> list[Path]:
    """Where temporary folders may be: TMPDIR first, then places that every account can reach by a short path."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return [base for base in dict.fromkeys(candidates) if base.is_dir() and os.access(base, os.W_OK)]


def _locked_from_the_start(folder: Path) -> int:
    """A lock file that never stands there unlocked: a sweep in between would take it for a left-over."""
    descriptor = os.open(folder / "lock.new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / "lock.new").rename(folder / LOCK_NAME)
    return descriptor


def _abandoned(folder: Path) -> bool:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    return (folder / LOCK_NAME).exists() or time.time() - status.st_mtime > UNLOCKED_GRACE_S
