"""A shadow leaves nothing behind, however it ends, and a hostile schema keeps neither the processor nor the disk."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest

from checks.errors import TargetError
from checks.evidence import store
from checks.evidence.database.facts import PlanNode
from checks.model import Reason
from checks.shadow import clone, folders, patience, planning
from checks.shadow.blueprint import Blueprint, RelationSize
from checks.shadow.clone import Shadow
from checks.shadow.disk import DiskWatch
from checks.shadow.mcv_lists import ColumnType, is_sound
from checks.shadow.patience import StrangersSession
from checks.shadow.planning import NotPlanned
from checks.shadow.reading import read_blueprint
from checks.shadow.statistics import DEPENDENCIES, NDISTINCT, renumbered
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


def test_a_server_that_fails_is_no_traceback(
    database: Database, programs: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")

    def failing(how: Callable[[Shadow], object]) -> None:
        with Shadow.of_target(database.dsn, programs=programs) as shadow:
            how(shadow)

    def killed(shadow: Shadow) -> None:
        os.kill(int((shadow.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        shadow.superuser()

    def out_of_room(shadow: Shadow) -> None:
        raise OSError(errno.ENOSPC, f"No space left on {shadow.folder}")

    for how, words in ((killed, "server or its files failed"), (out_of_room, r"the disk under .* is full")):
        with pytest.raises(TargetError, match=words):
            failing(how)
    monkeypatch.setattr(folders, "LEAST_ROOM", 1 << 60)
    with pytest.raises(TargetError, match="of room"):
        Shadow.of_target(database.dsn, programs=programs)


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


ENDLESS = """
    CREATE FUNCTION endless(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        WHILE current_database() = 'shadow' LOOP
            BEGIN PERFORM pg_sleep(0.05);
            EXCEPTION WHEN query_canceled THEN PERFORM set_config('statement_timeout', '0', false); END;
        END LOOP;
        RETURN n;
    END $$
"""


def test_what_catches_its_time_out_is_ended_from_outside(
    database: Database, programs: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an index that is restored, in a domain whose statistics are written, at planning."""
    database.execute(
        ENDLESS,
        "CREATE DOMAIN trap AS int CHECK (endless(VALUE) > 0)",
        "CREATE TABLE notes (id int PRIMARY KEY, bait trap, other int)",
        "CREATE INDEX tempting ON notes ((id + endless(1)))",
        "CREATE INDEX plain ON notes (other)",
        "INSERT INTO notes SELECT i, i, i FROM generate_series(1, 3000) AS i",
        "ANALYZE",
    )
    monkeypatch.setattr(StrangersSession.__init__, "__defaults__", (1.0,))
    for name in (patience, planning):
        monkeypatch.setattr(name, "GRACE_S", 0.2)
    monkeypatch.setattr(planning, "TIMEOUT_S", 1.0)
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        omitted = {entry.name for entry in shadow.omissions}
        plan = shadow.explain("SELECT * FROM notes WHERE id = endless(7)")
        other = shadow.explain("SELECT * FROM notes WHERE other = 8")
    assert {"tempting", "public.notes.bait"} >= omitted >= {"tempting"}
    assert isinstance(plan, NotPlanned)
    assert plan.reason is Reason.TIMED_OUT
    assert isinstance(other, PlanNode)
    assert "plain" in {node.index for node in other.walk()}


def test_what_planning_runs_has_little_memory(database: Database, programs: Path | None) -> None:
    database.execute(
        """
        CREATE FUNCTION greedy() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE parts text[] := '{}';
        BEGIN FOR i IN 1..99 LOOP parts := parts || repeat('x', 100000000); END LOOP; RETURN parts[1]; END $$
        """,
        "CREATE TABLE notes (id text PRIMARY KEY)",
    )
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        plan = shadow.explain("SELECT * FROM notes WHERE id = greedy()")
        assert isinstance(shadow.explain("SELECT * FROM notes"), PlanNode)
    assert isinstance(plan, NotPlanned)


def test_statistics_that_lead_astray_stay_behind(database: Database, programs: Path | None, tmp_path: Path) -> None:
    """The server follows lengths and positions in serialised statistics unseen: one that is not ANALYZE's is not written."""
    database.execute(
        "CREATE TABLE notes (kind text, amount numeric, day date)",
        "INSERT INTO notes SELECT 'k' || i % 5, i % 5, '2026-01-01'::date + i % 5 FROM generate_series(1, 3000) AS i",
        "CREATE STATISTICS lists (mcv, ndistinct, dependencies) ON kind, amount, day FROM notes",
        "ANALYZE",
    )
    honest = read_blueprint(database.dsn, programs=programs)
    (entry,) = honest.extended
    assert entry.mcv is not None
    assert entry.ndistinct is not None
    assert entry.dependencies is not None

    columns = [ColumnType(25, -1, False), ColumnType(1700, -1, False), ColumnType(1082, 4, True)]
    assert is_sound(entry.mcv, columns, honest.encoding)
    # A length of the stack's, not of a date; a position behind the values; a text that is none; one more byte.
    length = entry.mcv.index(struct.pack("=i?", 4, True))
    for crafted in (
        entry.mcv[:length] + struct.pack("=i", 4000) + entry.mcv[length + 4 :],
        entry.mcv[:-2] + b"\xff\xff",
        entry.mcv.replace(b"k1", b"k\xf7"),
        entry.mcv + b"x",
        entry.mcv[:100],
    ):
        assert not is_sound(crafted, columns, honest.encoding)
    assert not is_sound(entry.mcv, [columns[2], *columns[1:]], honest.encoding)
    numbers = {1: 1, 2: 2, 3: 3}
    assert renumbered(entry.ndistinct, numbers, NDISTINCT) == entry.ndistinct
    assert renumbered(entry.dependencies, numbers, DEPENDENCIES) == entry.dependencies
    for value, layout in (
        (entry.ndistinct[:20] + struct.pack("=i", 30_000) + entry.ndistinct[24:], NDISTINCT),
        (entry.dependencies[:20] + struct.pack("=h", -3) + entry.dependencies[22:], DEPENDENCIES),
        (entry.dependencies + b"x", DEPENDENCIES),
    ):
        with pytest.raises(struct.error):
            renumbered(value, numbers, layout)

    crafted = msgspec.structs.replace(entry, mcv=entry.mcv[:-2] + b"\xff\xff")
    file = kept_and_read(msgspec.structs.replace(honest, extended=(crafted,)), tmp_path)
    with Shadow.of_blueprint(file, programs=programs) as shadow:
        assert {entry.name for entry in shadow.omissions} == {"public.lists"}
        assert isinstance(shadow.explain("SELECT * FROM notes WHERE kind = 'k1' AND amount = 1"), PlanNode)


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
