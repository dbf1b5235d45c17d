"""How to look, from the command line: twice, not at a busy server, and without keeping names."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.evidence import store
from checks.evidence.database.facts import Catalog, Rates, Recall, RowSamples
from checks.model import Reason
from tests.e2e.conftest import Run
from tests.servers import Database

SCHEMA = "CREATE TABLE zeppelins (zeppelinno int, ballast text); CREATE TABLE hangars (hangarno int PRIMARY KEY)"
FILES = {"schema/zeppelins.sql": "CREATE TABLE zeppelins (zeppelinno int, ballast text);\n"}


def test_two_looks_are_kept(pgsurveyor: Run, database: Database, tmp_path: Path) -> None:
    database.execute(SCHEMA)
    saved = tmp_path / "evidence.json.gz"
    done = pgsurveyor("collect", database.dsn, "--no-repo", "--watch", "0.5", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    rates = store.load(saved).find(Rates)
    assert rates is not None
    assert 0.4 < rates.seconds < 10
    again = pgsurveyor("run", "--evidence", str(saved), "--watch", "1")
    assert again.returncode == 2
    assert "--watch" in again.stderr


def test_a_busy_server_is_left_alone(pgsurveyor: Run, database: Database, home: Path, tmp_path: Path) -> None:
    own = home / ".config/pgsurveyor/pgsurveyor.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[limits]\nactive_sessions = 0\n")
    database.execute(SCHEMA)
    busy = database.connect()
    busy.pgconn.send_query(b"SELECT pg_sleep(600)")
    saved = tmp_path / "evidence.json.gz"
    done = pgsurveyor("collect", database.dsn, "--no-repo", "--max-load", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    evidence = store.load(saved)
    gap = evidence.gap(Catalog)
    assert gap is not None
    assert gap.reason == Reason.TARGET_BUSY
    assert any("stopped observing" in notice for notice in evidence.notices)


@pytest.mark.vector
def test_recall_is_measured_where_it_is_asked_for(pgsurveyor: Run, database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE EXTENSION vector; CREATE TABLE docs (id int PRIMARY KEY, v vector(3));"
        "INSERT INTO docs SELECT i, ARRAY[hashint4(i), hashint4(-i), i]::vector FROM generate_series(1, 300) i;"
        "CREATE INDEX docs_ann ON docs USING hnsw (v vector_l2_ops); ANALYZE"
    )
    saved = tmp_path / "evidence.json.gz"
    done = pgsurveyor("collect", database.dsn, "--no-repo", "--measure-recall", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    (measured,) = store.load(saved).get(Recall).measurements
    assert (measured.k, measured.at[0].breadth, measured.at[0].searches) == (10, 40, 200)
    again = pgsurveyor("run", "--evidence", str(saved), "--measure-recall")
    assert again.returncode == 2, again.stderr


def test_rows_are_looked_at_where_it_is_asked_for(pgsurveyor: Run, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE born (at text); INSERT INTO born SELECT '2026-01-02' FROM generate_series(1, 100)")
    saved, scorecard = tmp_path / "evidence.json.gz", tmp_path / "scorecard.json"
    done = pgsurveyor("collect", database.dsn, "--no-repo", "--read-rows", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    assert [sample.times for sample in store.load(saved).get(RowSamples).columns] == [100]
    done = pgsurveyor("run", "--evidence", str(saved), "--format", "json", "--output", str(scorecard))
    assert done.returncode == 0, done.stderr
    assert "Column public.born.at is text and holds dates or instants" in scorecard.read_text()
    assert "2026-01-02" not in scorecard.read_text()
    again = pgsurveyor("run", "--evidence", str(saved), "--read-rows")
    assert again.returncode == 2, again.stderr


def test_no_name_is_kept(
    pgsurveyor: Run, database: Database, repository: Callable[[dict[str, str]], Path], home: Path, tmp_path: Path
) -> None:
    database.execute(SCHEMA)
    root = repository(FILES)
    saved, scorecard = tmp_path / "evidence.json.gz", tmp_path / "scorecard.json"
    done = pgsurveyor("collect", database.dsn, str(root), "--redact-names", "-o", str(saved))
    assert done.returncode == 0, done.stderr
    [key] = home.rglob("names.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    done = pgsurveyor(
        *("run", database.dsn, str(root), "--redact-names", "--format", "json", "--output", str(scorecard))
    )
    assert done.returncode == 0, done.stderr
    texts = [store.encode(store.load(saved)).decode(), scorecard.read_text(), done.stderr]
    for saved_review in home.rglob("review.toml"):
        texts.append(saved_review.read_text())
    for word in ("zeppelin", "ballast", "hangar", database.name):
        assert [word in text for text in texts] == [False] * len(texts), word
    plain = pgsurveyor("run", database.dsn, str(root), "--format", "json")
    found = [
        [(one["check"], one["severity"]) for one in json.loads(text)["findings"]] for text in (plain.stdout, texts[1])
    ]
    assert sorted(found[0]) == sorted(found[1])
