from __future__ import annotations

import time
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.shadow.server import EmbeddedServer, start
from tests.checks.shadow.helpers import QUICK, alive, ask
from tests.servers import Database, PrimaryAndStandby


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
