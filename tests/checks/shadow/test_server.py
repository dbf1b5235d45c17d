from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from checks.errors import TargetError
from checks.shadow.account import server_account
from checks.shadow.binaries import copy_for_everyone
from checks.shadow.folders import sweep
from checks.shadow.process import stop_process
from checks.shadow.server import EmbeddedServer, find_binaries, start, vector_supported
from tests.servers import Database, PrimaryAndStandby

QUICK = {"fsync": "off"}
ROOT = Path(__file__).parents[3]

OWNER = """
import sys, time
from pathlib import Path
from checks.shadow.server import start
running = start({"fsync": "off"}, folder=Path(sys.argv[1]) if len(sys.argv) > 1 else None)
print(running.folder, running.pid, running.data, running.dsn(), sep="|", flush=True)
time.sleep(600)
"""


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


class Owner:
    """A process that has started a server and holds it until it is killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        folder, pid, data, self.dsn = self.process.stdout.readline().strip().split("|")
        self.folder, self.pid, self.data = Path(folder), int(pid), Path(data)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def make_a_row(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.fixture
def kept() -> Iterator[Path]:
    """A folder to keep a server in, at a place that every account can reach."""
    with tempfile.TemporaryDirectory(prefix="kept-", dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "kept"


def test_a_server_has_the_defaults_and_the_given_settings(server: EmbeddedServer) -> None:
    assert ask(server.dsn(), "SHOW listen_addresses") == ""
    assert ask(server.dsn(), "SHOW shared_preload_libraries") == "pg_stat_statements"
    assert ask(server.dsn(), "SHOW wal_level") == "replica"
    assert ask(server.dsn(), "SHOW track_io_timing") == "on"
    assert ask(server.dsn(), "SELECT source FROM pg_settings WHERE name = 'track_io_timing'") == "configuration file"


def test_settings_with_quotes_and_backslashes_arrive_as_they_are() -> None:
    with start({**QUICK, "cluster_name": "it's", "log_line_prefix": r"%m \n 'x' "}) as running:
        assert ask(running.dsn(), "SHOW cluster_name") == "it's"
        assert ask(running.dsn(), "SHOW log_line_prefix") == r"%m \n 'x' "


def test_a_setting_that_the_server_refuses_is_named_and_nothing_is_left(kept: Path) -> None:
    with pytest.raises(TargetError, match="no_such_setting"):
        start({"no_such_setting": "1"}, folder=kept)
    start(QUICK, folder=kept).stop()


def test_a_temporary_server_is_removed_when_it_stops() -> None:
    running = start(QUICK)
    pid, folder = running.pid, running.folder
    assert folder.stat().st_mode & 0o066 == 0
    running.stop()
    running.stop()
    assert not alive(pid)
    assert not folder.exists()
    with pytest.raises(RuntimeError):
        _ = running.pid


def test_a_server_never_runs_as_root(server: EmbeddedServer) -> None:
    owner = server.data.stat().st_uid
    assert owner != 0
    assert server.data.stat().st_mode & 0o077 == 0
    assert Path(f"/proc/{server.pid}").stat().st_uid == owner


def test_libpq_variables_of_the_caller_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nonexistent", "PGOPTIONS": "-c geqo=off", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    with start(QUICK) as running:
        monkeypatch.delenv("PGOPTIONS")
        assert ask(running.dsn(), "SHOW lc_messages") == "C"


def test_the_standby_streams(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    assert ask(standby.dsn(), "SELECT pg_is_in_recovery()") is True
    assert (
        ask(primary.dsn(), "SELECT state FROM pg_stat_replication WHERE application_name = 'standby1'") == "streaming"
    )
    assert ask(primary.dsn(), "SELECT active FROM pg_replication_slots WHERE slot_name = 'standby1'") is True


def test_what_is_written_on_the_primary_is_read_on_the_standby(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    fresh = Database(primary)
    try:
        fresh.execute("CREATE TABLE seen (id bigint PRIMARY KEY); INSERT INTO seen VALUES (42)")
        target = ask(primary.dsn(), "SELECT pg_current_wal_flush_lsn()::text")
        deadline = time.monotonic() + 10
        while not ask(standby.dsn(), f"SELECT pg_last_wal_replay_lsn() >= '{target}'"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ask(standby.dsn(fresh.name), "SELECT id FROM seen") == 42
    finally:
        fresh.drop()


def test_stopping_the_primary_stops_its_standby() -> None:
    with start(QUICK) as primary:
        standby = primary.standby("replica_a")
        pids = primary.pid, standby.pid
    assert not any(alive(pid) for pid in pids)
    assert not primary.folder.exists()


def test_a_stopped_standby_leaves_its_slot_inactive_and_can_come_back() -> None:
    with start(QUICK) as primary:
        primary.standby().stop()
        assert ask(primary.dsn(), "SELECT active FROM pg_replication_slots") is False
        again = primary.standby()
        assert ask(again.dsn(), "SELECT pg_is_in_recovery()") is True


@pytest.mark.parametrize("name", ["", "Upper", "with-dash", "a" * 17, "../x"])
def test_a_standby_needs_a_plain_name(server: EmbeddedServer, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a standby"):
        server.standby(name)


def test_a_kept_folder_is_used_again_with_its_standby(kept: Path) -> None:
    with start(QUICK, folder=kept) as first:
        first.standby()
        make_a_row(first.dsn())
    with start({**QUICK, "work_mem": "9MB"}, folder=kept) as second:
        standby = second.standby()
        assert ask(second.dsn(), "SELECT n FROM kept") == 7
        assert ask(second.dsn(), "SHOW work_mem") == "9MB"
        assert ask(standby.dsn(), "SELECT n FROM kept") == 7


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
        [str(first._home.binaries / "postgres"), "-D", str(data), "-c", "unix_socket_directories="],
        cwd="/",
        stderr=subprocess.DEVNULL,
        **account.process_arguments(),
    )
    try:
        deadline = time.monotonic() + 20
        while not (data / "postmaster.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with start(QUICK, folder=kept) as second:
            assert second.pid != survivor.pid
            assert ask(second.dsn(), "SELECT 1") == 1
        assert survivor.wait(1) is not None
    finally:
        stop_process(survivor)


def test_a_kept_folder_is_one_process_at_a_time(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.shadow.server.LOCK_WAIT_S", 0.2)
    owner = Owner(str(kept))
    try:
        with pytest.raises(TargetError, match="another process is using"):
            start(QUICK, folder=kept)
        assert ask(owner.dsn, "SELECT 1") == 1
    finally:
        owner.kill()
    monkeypatch.setattr("checks.shadow.server.LOCK_WAIT_S", 10.0)
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


def test_programs_in_a_closed_folder_are_copied(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    copied = copy_for_everyone(find_binaries(), closed)
    for path in closed.rglob("*"):
        path.chmod(0o700)
    closed.chmod(0o700)
    with start(QUICK, binaries=copied) as running:
        assert ask(running.dsn(), "SELECT 1") == 1
        assert ask(running.standby().dsn(), "SELECT 1") == 1


def test_a_folder_without_a_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="has no postgres, initdb, pg_basebackup"):
        find_binaries(tmp_path)


def test_the_bin_folder_may_be_given_by_its_parent() -> None:
    assert find_binaries(find_binaries().parent) == find_binaries()


def test_a_folder_that_cannot_be_made_is_a_target_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="cannot be started") as caught:
        start(QUICK, folder=tmp_path / "file" / "kept")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("description", "supported"),
    [
        ("flags\t\t: fpu avx avx2 bmi1 bmi2 fma\nbugs\t:\n", True),
        ("flags\t\t: fpu avx bmi1 bmi2 fma\n", False),
        ("flags\t\t: fpu sse2\nother\t: avx2 fma bmi2\n", False),
        ("", False),
    ],
)
def test_pgvector_needs_what_its_build_machine_had(
    monkeypatch: pytest.MonkeyPatch, description: str, supported: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert vector_supported(description) is supported


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
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
