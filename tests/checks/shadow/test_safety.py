"""A shadow leaves nothing behind, however it ends, and a hostile schema keeps neither the processor nor the disk."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psycopg
import pytest

from checks.errors import TargetError
from checks.evidence import store
from checks.model import Reason
from checks.shadow import clone
from checks.shadow.blueprint import Blueprint, RelationSize
from checks.shadow.clone import Shadow
from checks.shadow.disk import DiskWatch
from checks.shadow.planning import NotPlanned
from checks.shadow.reading import read_blueprint
from tests.checks.shadow.helpers import ROOT, wait_until_gone
from tests.servers import Database
from tests.tui.findings import make_evidence

HOLDER = """
import os, sys, time
from pathlib import Path
from checks.shadow.clone import Shadow
shadow = Shadow.of_target(sys.argv[1], programs=Path(sys.argv[2]) if sys.argv[2] else None)
print(shadow.folder, shadow._server.pid, shadow._server._home._guardian._process.pid, flush=True)
if sys.argv[3] == "raise":
    raise ValueError
time.sleep(600)
"""


def held(database: Database, programs: Path | None, end: str) -> tuple[subprocess.Popen[str], Path, int, int]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, database.dsn, str(programs or ""), end],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    with holder.stdout:
        folder, server, guardian = holder.stdout.readline().split()
    return holder, Path(folder), int(server), int(guardian)


def wait_until_removed(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while folder.exists():
        assert time.monotonic() < deadline, f"{folder} is still there"
        time.sleep(0.05)


@pytest.mark.parametrize("end", ["kill", "raise"])
def test_nothing_is_left_behind(database: Database, programs: Path | None, end: str) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    holder, folder, server, _ = held(database, programs, end)
    if end == "kill":
        holder.kill()
    holder.wait(20)
    wait_until_gone(server)
    wait_until_removed(folder)


def test_where_its_guardian_is_killed_too_the_next_start_sweeps(database: Database, programs: Path | None) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    holder, folder, server, guardian = held(database, programs, "kill")
    subprocess.run(["kill", "-9", str(guardian), str(holder.pid)], check=True)
    holder.wait(20)
    wait_until_gone(server)
    with Shadow.of_target(database.dsn, programs=programs):
        assert not folder.exists()


def test_planning_ends_and_no_session_of_a_strangers_is_a_superusers(
    database: Database, programs: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(
        "CREATE FUNCTION forever() RETURNS int LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN LOOP BEGIN PERFORM pg_sleep(1); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$",
        "CREATE TABLE notes (id int PRIMARY KEY)",
    )
    monkeypatch.setitem(clone.Planning.__init__.__globals__["_MANNERS"], "statement_timeout", "1s")
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        begun = time.monotonic()
        plan = shadow.explain("SELECT * FROM notes WHERE id = forever()")
        assert time.monotonic() - begun < 10
        for role in ("shadow_owner", "shadow_planner"):
            with shadow.owner() as owner, psycopg.connect(owner.info.dsn, user=role, autocommit=True) as connection:
                for statement in (
                    "COPY pg_class TO PROGRAM 'true'",
                    "SELECT pg_read_file('/etc/passwd')",
                    "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'int84'",
                    "CREATE EXTENSION dblink",
                    "ALTER SYSTEM SET archive_command = 'true'",
                    "SET ROLE postgres",
                ):
                    with pytest.raises(psycopg.Error):
                        connection.execute(statement.encode())
    assert isinstance(plan, NotPlanned)
    assert plan.reason is Reason.TIMED_OUT


def test_a_hostile_file_cannot_fill_the_disk(
    database: Database, programs: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    honest = read_blueprint(database.dsn, programs=programs)
    greedy = msgspec.structs.replace(
        honest,
        ddl=f"{honest.ddl};\nCREATE TABLE public.much AS SELECT repeat('x', 1000) "
        "FROM generate_series(1, 10000) AS i, generate_series(1, 10000) AS j;",
    )
    monkeypatch.setattr(DiskWatch.__init__, "__defaults__", (150 << 20,))
    begun = time.monotonic()
    with pytest.raises(TargetError, match="of disk"):
        Shadow.of_blueprint(kept_and_read(greedy, tmp_path), programs=programs)
    assert time.monotonic() - begun < 30
    endless = (*honest.relations, RelationSize("public", "notes", "r", 2**40, 1, 1.0))
    with pytest.raises(TargetError, match="too large"):
        Shadow.of_blueprint(msgspec.structs.replace(honest, relations=endless), programs=programs)


def kept_and_read(blueprint: Blueprint, folder: Path) -> Blueprint:
    store.save(make_evidence(), folder / "evidence.json.gz", blueprint)
    found = store.load_blueprint(folder / "evidence.json.gz")
    assert found is not None
    return found
