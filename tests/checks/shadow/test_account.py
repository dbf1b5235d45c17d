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

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs servers under its own account")


@pytest.mark.parametrize(("sudo_user", "expected"), [("daemon", "daemon"), ("root", "nobody"), ("no-such", "nobody")])
def test_root_runs_servers_as_whoever_called_sudo(
    monkeypatch: pytest.MonkeyPatch, sudo_user: str, expected: str
) -> None:
    monkeypatch.setenv("SUDO_USER", sudo_user)
    assert server_account().name == expected
    with start({"fsync": "off"}) as running:
        assert running.data.owner() == expected


def test_the_owner_of_existing_data_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    data = tmp_path / "server"
    data.mkdir()
    assert server_account(data).name == "nobody"
    os.chown(data, server_account().uid, -1)
    monkeypatch.setenv("SUDO_USER", "daemon")
    assert server_account(data).name == "nobody"


def test_as_root_an_ordinary_user_can_start_one_too() -> None:
    """From a process that becomes `nobody` after its imports, as the interpreter itself may lie in root's closed home."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as copy:
        Path(copy).chmod(0o755)
        run = subprocess.run(
            [sys.executable, "-c", ORDINARY_USER, str(copy), str(nobody.pw_uid), str(nobody.pw_gid)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert run.stdout.split() == ["streaming", str(nobody.pw_uid), "False"], run.stderr
