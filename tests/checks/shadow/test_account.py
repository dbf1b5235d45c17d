from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from checks.shadow.account import server_account
from checks.shadow.server import start
from tests.checks.shadow.helpers import ROOT

ORDINARY_USER = """
import os, sys
from pathlib import Path
import concurrent.futures.thread, encodings.idna, psycopg
from checks.shadow.binaries import copy_for_everyone, find_binaries
from checks.shadow.server import start
copy, uid, gid = sys.argv[1:]
binaries = copy_for_everyone(find_binaries(), Path(copy))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
with start({"fsync": "off"}, binaries=binaries) as running:
    running.standby()
    with psycopg.connect(running.dsn(), autocommit=True) as connection:
        print(connection.execute("SELECT state FROM pg_stat_replication").fetchone()[0])
    print(running.data.stat().st_uid)
print(running.folder.exists())
"""

ROOT_RUNS = os.geteuid() == 0


def owner(path: Path) -> int:
    return path.stat().st_uid


@pytest.mark.parametrize(("sudo_user", "expected"), [("daemon", "daemon"), ("root", "nobody"), ("no-such", "nobody")])
def test_servers_run_as_whoever_called_sudo_and_else_as_oneself(
    monkeypatch: pytest.MonkeyPatch, sudo_user: str, expected: str
) -> None:
    monkeypatch.setenv("SUDO_USER", sudo_user)
    account = server_account()
    assert account.switch == ROOT_RUNS
    assert account.uid == (pwd.getpwnam(expected).pw_uid if ROOT_RUNS else os.geteuid())
    with start({"fsync": "off"}) as running:
        assert owner(running.data) == account.uid


def test_the_owner_of_existing_data_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    data = tmp_path / "server"
    data.mkdir()
    first = server_account(data)
    assert first.uid == (pwd.getpwnam("nobody").pw_uid if ROOT_RUNS else os.geteuid())
    first.own(data)
    monkeypatch.setenv("SUDO_USER", "daemon")
    assert server_account(data) == first


def test_an_ordinary_user_can_start_one_too() -> None:
    """As root, from a process that becomes `nobody` after its imports: the interpreter itself may lie in root's closed home."""
    user = pwd.getpwnam("nobody") if ROOT_RUNS else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as copy:
        Path(copy).chmod(0o755)
        run = subprocess.run(
            [sys.executable, "-c", ORDINARY_USER, str(copy), str(user.pw_uid), str(user.pw_gid)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert run.stdout.split() == ["streaming", str(user.pw_uid), "False"], run.stderr
