from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.shadow.account import server_account
from checks.shadow.server import start

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
