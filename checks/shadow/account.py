"""The account an embedded server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from checks.errors import TargetError

NO_ACCOUNT_HINT = "run pgsurveyor as an ordinary user, or give your own database instead of the embedded one"


class Account(msgspec.Struct, frozen=True):
    """`switch` says whether a process has to be started under these ids, or runs under them anyway."""

    name: str
    uid: int
    gid: int
    switch: bool

    def process_arguments(self) -> dict[str, Any]:
        """What subprocess needs to start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def own(self, path: Path) -> None:
        """Gives `path` to the account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, path: Path) -> bool:
        """Whether the account may enter the folder `path`."""
        if not self.switch:
            return os.access(path, os.X_OK)
        found = subprocess.run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)], cwd="/", **self.process_arguments())
        return found.returncode == 0


def server_account(data_folder: Path | None = None) -> Account:
    """The account for a server whose files are, or will be, in `data_folder`: the owner of existing files, else
    SUDO_USER, else nobody; for an ordinary user that user. Raises TargetError where there is none, as in containers that
    have root only."""
    if os.geteuid() != 0:
        return Account("", os.geteuid(), os.getegid(), switch=False)
    account = _unprivileged_account(data_folder)
    try:
        subprocess.run(["/bin/sh", "-c", ":"], cwd="/", check=True, **account.process_arguments())
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(
            f"PostgreSQL does not run as root, and root cannot become {account.name!r} in this container",
            NO_ACCOUNT_HINT,
        ) from error
    return account


def _unprivileged_account(data_folder: Path | None) -> Account:
    owner = data_folder.stat().st_uid if data_folder is not None and data_folder.exists() else 0
    if owner:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            raise TargetError(
                f"{data_folder} belongs to user id {owner}, which has no account here",
                "remove the folder; it is made anew",
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    for name in (os.environ.get("SUDO_USER", ""), "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise TargetError("PostgreSQL does not run as root, and there is no account 'nobody'", NO_ACCOUNT_HINT)
