"""The demo is built once, used, reused and rebuilt; two at once do not disturb each other."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from tests.demo_fixture import tell
from tui.demo import launch
from tui.demo.build import DATABASE
from tui.demo.launch import COMPLETE, Demo, start_demo
from tui.demo.repository import COMMITS, make_repository
from tui.demo.statements import APPLICATION


def _value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _rows(dsn: str) -> dict[str, int]:
    tables = """
        SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'billing') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Counting would make a table, or an index, one that is used.
        connection.execute("SET track_counts = off")
        names = [name for (name,) in connection.execute(tables).fetchall()]
        counts = [connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() for name in names]
    return {name: count[0] for name, count in zip(names, counts, strict=True) if count}


def test_it_has_the_rows_and_vectors_of_a_real_application(demo: Demo) -> None:
    rows = _rows(demo.server.dsn(DATABASE))
    tell(f"the demo has {sum(rows.values()):,} rows")
    assert sum(rows.values()) >= 300_000
    if demo.vectors:
        tables = ("chunks", "canned_replies", "intents", "memories", "ticket_embeddings")
        assert sum(rows[f"public.{name}"] for name in tables) >= 20_000


def test_the_surveyor_sees_everything_and_changes_nothing(demo: Demo) -> None:
    assert _value(demo.dsn, "SELECT current_user") == "surveyor"
    assert _value(demo.dsn, "SELECT count(*) FROM pg_stats WHERE tablename = 'messages'")
    with psycopg.connect(demo.dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM messages")


def test_the_standby_streams_and_answers(demo: Demo) -> None:
    assert _value(demo.replica_dsns[0], "SELECT pg_is_in_recovery()") is True
    assert _value(demo.dsn, "SELECT state FROM pg_stat_replication WHERE application_name = 'standby1'") == "streaming"


def test_a_request_waits_for_the_model_in_its_transaction(demo: Demo) -> None:
    states = "SELECT string_agg(state, ',') FROM pg_stat_activity WHERE application_name = 'deskhand-api'"
    assert _value(demo.dsn, states) == "idle in transaction"


def test_settings_are_those_of_a_server_that_nobody_tuned(demo: Demo) -> None:
    for name, value in {
        "fsync": "on",
        "track_io_timing": "off",
        "archive_mode": "off",
        "statement_timeout": "0",
    }.items():
        assert _value(demo.dsn, f"SHOW {name}") == value


def test_the_failed_build_left_an_invalid_index(demo: Demo) -> None:
    assert _value(
        demo.dsn, "SELECT string_agg(indexrelid::regclass::text, ',') FROM pg_index WHERE NOT indisvalid"
    ) == ("users_organization_email_key")


def test_one_table_was_never_analyzed(demo: Demo) -> None:
    never = "SELECT string_agg(relname, ',') FROM pg_stat_user_tables WHERE last_analyze IS NULL AND last_autoanalyze IS NULL"
    assert _value(demo.dsn, never) == "usage_records"


def test_the_repository_is_a_clean_copy_with_a_history(demo: Demo) -> None:
    log = subprocess.run(["git", "log", "--format=%s"], cwd=demo.repository, capture_output=True, text=True, check=True)
    status = subprocess.run(
        ["git", "status", "--short"], cwd=demo.repository, capture_output=True, text=True, check=True
    )
    assert log.stdout.splitlines() == [message for message, _, _ in reversed(COMMITS)]
    assert status.stdout == ""
    assert (demo.repository / ".env.example").is_file()


def test_the_history_is_the_same_everywhere(tmp_path: Path) -> None:
    commits = []
    for name in ("one", "two"):
        make_repository(tmp_path / name)
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=tmp_path / name, capture_output=True, text=True, check=True
        )
        commits.append(head.stdout)
    assert commits[0] == commits[1]


def test_the_application_has_the_size_of_a_small_one() -> None:
    files = [path for path in APPLICATION.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert 1500 <= sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 3000


def test_an_unfinished_build_is_not_used_and_a_finished_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor that cannot run pgvector, which is the quicker build."""
    monkeypatch.setattr(launch, "vector_supported", lambda: False)
    folder = tmp_path / "demo"
    folder.mkdir(mode=0o755)
    real = launch.build

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "build", broken)
    with pytest.raises(KeyboardInterrupt):
        start_demo(folder)
    assert not list(folder.glob(f"*/{COMPLETE}"))

    monkeypatch.setattr(launch, "build", real)
    begun = time.monotonic()
    with start_demo(folder) as first:
        tell(f"the demo was built in {time.monotonic() - begun:.1f} s")
        assert "pgvector" in first.notice
        assert _value(first.dsn, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0
        calls = _value(
            first.dsn, "SELECT sum(calls) FROM pg_stat_statements WHERE userid = 'assistant_worker'::regrole"
        )
        scans = _value(first.dsn, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'messages_pkey'")

        # While it runs, another start must not touch it, and old versions of the demo must not be in the way.
        old = folder / "0123456789ab-0"
        old.mkdir()
        (old / COMPLETE).touch()
        assert launch._free_home(folder / first.repository.parent.name.removesuffix("-0"))[0].name.endswith("-1")

    monkeypatch.setattr(launch, "build", broken)
    begun = time.monotonic()
    with start_demo(folder) as second:
        tell(f"the demo started again in {time.monotonic() - begun:.2f} s")
        assert not old.exists()
        again = _value(
            second.dsn, "SELECT sum(calls) FROM pg_stat_statements WHERE userid = 'assistant_worker'::regrole"
        )
        assert again == calls
        assert (
            _value(second.dsn, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'messages_pkey'")
            == scans
        )
    for home in folder.glob("*-0"):
        launch._clear(home)
