from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.shadow.account import server_account
from checks.shadow.folders import sweep
from checks.shadow.process import read_postmaster_file, stop_process
from checks.shadow.server import EmbeddedServer, start
from tests.checks.shadow.helpers import QUICK, Owner, ask, make_a_row, wait_until_gone


def test_a_kept_folder_is_used_again_with_its_standby(kept: Path) -> None:
    with start(QUICK, folder=kept) as first:
        first.standby()
        make_a_row(first.dsn())
    with start({**QUICK, "work_mem": "9MB"}, folder=kept) as second:
        standby = second.standby()
        assert ask(second.dsn(), "SELECT n FROM kept") == 7
        assert ask(second.dsn(), "SHOW work_mem") == "9MB"
        assert ask(standby.dsn(), "SELECT n FROM kept") == 7


def test_a_kept_standby_that_no_longer_streams_is_made_anew(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.shadow.server.STREAMING_S", 2.0)
    with start(QUICK, folder=kept) as first:
        first.standby()
    with start(QUICK, folder=kept) as second:
        ask(second.dsn(), "SELECT pg_drop_replication_slot('standby1')")
        make_a_row(second.dsn())
        assert ask(second.standby().dsn(), "SELECT n FROM kept") == 7


def test_a_kept_folder_survives_kill_9_of_server_and_owner(kept: Path) -> None:
    owner = Owner(str(kept))
    make_a_row(owner.dsn)
    os.kill(owner.pid, signal.SIGKILL)
    owner.kill()
    assert (owner.data / "postmaster.pid").exists()
    with start(QUICK, folder=kept) as running:
        assert ask(running.dsn(), "SELECT n FROM kept") == 7


def test_a_postmaster_file_with_the_number_of_another_process_is_stale(kept: Path) -> None:
    with start(QUICK, folder=kept) as first:
        data = first.data
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    with start(QUICK, folder=kept) as second:
        assert ask(second.dsn(), "SELECT 1") == 1


def test_a_server_that_outlived_its_owner_is_replaced(kept: Path) -> None:
    """Where there is no parent-death signal, the server goes on; here one is started by hand on the same data."""
    with start(QUICK, folder=kept) as first:
        data, account = first.data, server_account(first.data)
    survivor = subprocess.Popen(
        [str(first._home.binaries / "postgres"), "-D", str(data), "-c", f"unix_socket_directories={data}"],
        cwd="/",
        stderr=subprocess.DEVNULL,
        **account.process_arguments(),
    )
    try:
        deadline = time.monotonic() + 20
        while (found := read_postmaster_file(data)) is None or found.status != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with start(QUICK, folder=kept) as second:
            assert second.pid != survivor.pid
            assert ask(second.dsn(), "SELECT 1") == 1
        assert survivor.wait(1) == 0
    finally:
        stop_process(survivor)


def test_a_kept_folder_is_one_process_at_a_time(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.shadow.home.LOCK_WAIT_S", 0.2)
    owner = Owner(str(kept))
    try:
        with pytest.raises(TargetError, match="another process is using"):
            start(QUICK, folder=kept)
        assert ask(owner.dsn, "SELECT 1") == 1
    finally:
        owner.kill()
    monkeypatch.setattr("checks.shadow.home.LOCK_WAIT_S", 10.0)
    start(QUICK, folder=kept).stop()


def test_a_kept_folder_in_a_closed_home_works_too(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root its files are then elsewhere, and go when the folder is gone."""
    monkeypatch.setattr("checks.shadow.folders.ROOT_STATE", kept)
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    with start(QUICK, folder=closed / "kept") as first:
        make_a_row(first.dsn())
    with start(QUICK, folder=closed / "kept") as second:
        assert ask(second.dsn(), "SELECT n FROM kept") == 7
    shutil.rmtree(closed / "kept")
    with start(QUICK, folder=closed / "kept") as third:
        assert ask(third.dsn(), "SELECT to_regclass('kept')") is None
    shutil.rmtree(closed / "kept")
    start(QUICK, folder=closed / "other").stop()
    if os.geteuid() == 0:
        linked = (closed / "other" / "server").readlink()
        assert sorted(path.name for path in kept.iterdir()) == [linked.name, f"{linked.name}.origin"]


def test_an_interrupted_initdb_is_begun_again(kept: Path) -> None:
    with start(QUICK, folder=kept) as first:
        data = first.data
    data.rename(data.with_name("initdb"))
    with start(QUICK, folder=kept) as second:
        assert ask(second.dsn(), "SELECT 1") == 1


def test_data_of_another_major_are_refused(kept: Path) -> None:
    with start(QUICK, folder=kept) as first:
        data = first.data
    (data / "PG_VERSION").write_text("13\n")
    with pytest.raises(TargetError, match="are of PostgreSQL 13, the programs of 18"):
        start(QUICK, folder=kept)


def test_the_server_ends_with_its_owner_and_the_next_start_sweeps(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(kept.parent))
    monkeypatch.setattr(tempfile, "tempdir", str(kept.parent))
    owner = Owner()
    assert owner.folder.parent == kept.parent
    owner.kill()
    wait_until_gone(owner.pid)
    assert owner.folder.exists()
    with start(QUICK) as running:
        assert not owner.folder.exists()
        assert running.folder.exists()


def test_the_sweep_leaves_servers_in_use_and_what_is_not_ours(server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "pgsurveyor-new").mkdir()
    (tmp_path / "pgsurveyor-file").write_text("")
    (tmp_path / "pgsurveyor-link").symlink_to(tmp_path / "pgsurveyor-new")
    (tmp_path / "other").mkdir()
    abandoned = tmp_path / "pgsurveyor-old"
    abandoned.mkdir()
    (abandoned / "lock").write_text("")
    assert sweep(tmp_path) == [abandoned]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other",
        "pgsurveyor-file",
        "pgsurveyor-link",
        "pgsurveyor-new",
    ]
    sweep(server.folder.parent)
    assert ask(server.dsn(), "SELECT 1") == 1


def test_a_folder_that_cannot_be_made_is_a_target_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="cannot be started") as caught:
        start(QUICK, folder=tmp_path / "file" / "kept")
    assert caught.value.hint
