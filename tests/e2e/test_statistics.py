"""Evidence with statistics: asked for, kept to its owner, enough for a shadow, and in no review."""

from __future__ import annotations

import gzip
import json
import stat
from pathlib import Path

from checks.evidence import store
from tests.e2e.conftest import Run
from tests.servers import Database, cache_folder

SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE passengers (id int PRIMARY KEY, nickname text, booked date)",
    "INSERT INTO passengers SELECT i, CASE WHEN i % 3 = 0 THEN 'zeppelina' ELSE 'n' || i END, now() "
    "FROM generate_series(1, 30000) AS i",
    "VACUUM ANALYZE",
    "SELECT pg_stat_reset()",
    "SELECT pg_stat_statements_reset()",
    *["SELECT id FROM passengers WHERE nickname = 'n7'"] * 40,
)  # fmt: skip


def test_fixes_are_tried_from_a_file(pgsurveyor: Run, database: Database, home: Path, tmp_path: Path) -> None:
    database.execute(*SCHEMA)
    saved = tmp_path / "evidence.json.gz"
    collect = ("collect", database.dsn, "--no-repo", "--with-statistics", "-o", str(saved))
    pg_bin = () if database.major == 18 else ("--pg-bin", str(programs_of(database)))

    unasked = pgsurveyor(*collect, *pg_bin)
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    assert not saved.exists()

    done = pgsurveyor(*collect, *pg_bin, "--yes")
    assert done.returncode == 0, done.stderr
    assert "hold values" in done.stderr
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert b"zeppelina" in gzip.decompress(saved.read_bytes())
    assert b"zeppelina" not in store.encode(store.load(saved))

    outputs = [
        pgsurveyor("run", "--evidence", str(saved), "--index-budget", "2MB", "--format", "json", *pg_bin) for _ in "12"
    ]
    assert [run.returncode for run in outputs] == [0, 0], outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout
    card = json.loads(outputs[0].stdout)
    assert [index["table"] for index in card["advice"]["indexes"]] == ["public.passengers"]
    assert {finding["proof"]["verdict"] for finding in card["findings"] if finding["proof"]} == {"helps"}
    kept = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size]
    assert any(path.name == "evidence.json.gz" for path in kept)
    assert not [path for path in kept if b"zeppelina" in contents(path)]


def test_what_has_no_shadow_has_no_budget(pgsurveyor: Run, database: Database, tmp_path: Path) -> None:
    saved = tmp_path / "evidence.json.gz"
    assert pgsurveyor("collect", database.dsn, "--no-repo", "--no-shadow", "-o", str(saved)).returncode == 0
    for words in (
        ("run", "--evidence", str(saved), "--index-budget", "1GB"),
        ("run", database.dsn, "--no-repo", "--no-shadow", "--index-budget", "1GB"),
        ("run", database.dsn, "--no-repo", "--index-budget", "many"),
        ("collect", database.dsn, "--no-repo", "--redact-names", "--with-statistics", "--yes", "-o", str(saved)),
        ("collect", "--evidence", str(saved), "--with-statistics", "--yes", "-o", str(saved)),
    ):
        refused = pgsurveyor(*words)
        assert refused.returncode == 2, words
        assert refused.stderr.count("\n") <= 2, words


def programs_of(database: Database) -> Path:
    return cache_folder() / str(database.major) / "bin"


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
