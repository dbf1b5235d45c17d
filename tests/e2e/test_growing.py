"""`pgsurveyor grow` over a live target, over a file with statistics, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Run
from tests.e2e.test_statistics import programs_of
from tests.servers import Database

SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE orders (id int PRIMARY KEY, note text)",
    "INSERT INTO orders SELECT i, repeat('n', 100) || i FROM generate_series(1, 30000) AS i",
    "VACUUM ANALYZE",
    "SELECT pg_stat_statements_reset()",
    *["SELECT id FROM orders WHERE note = 'n7'"] * 20,
    *["SELECT note FROM orders WHERE id = 7"] * 20,
)  # fmt: skip


def test_what_breaks_first_is_told(pgsurveyor: Run, database: Database, tmp_path: Path) -> None:
    database.execute(*SCHEMA)
    pg_bin = () if database.major == 18 else ("--pg-bin", str(programs_of(database)))
    budget = ("--budget", "20")

    live = pgsurveyor("grow", database.dsn, "--no-repo", *budget, *pg_bin)
    assert live.returncode == 0, live.stderr
    [first] = [line for line in live.stdout.splitlines() if line.startswith("| 1 |")]
    assert "WHERE note = $1" in first
    assert "WHERE id = $1" not in first

    saved = tmp_path / "evidence.json.gz"
    collected = pgsurveyor(
        "collect", database.dsn, "--no-repo", "--with-statistics", "--yes", "-o", str(saved), *pg_bin
    )
    assert collected.returncode == 0, collected.stderr
    again = pgsurveyor("grow", "--evidence", str(saved), *budget, "--grow", "orders=50", *pg_bin)
    assert again.returncode == 0, again.stderr
    assert "WHERE note = $1" in again.stdout
    assert "\N{MULTIPLICATION SIGN} 50" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grow", "orders"), "is not TABLE=K"),
        (("--factors", "1,x"), "is no number"),
        (("--factors", "0.5"), "tables grow"),
        (("--grow", "nothing=10"), "there is no such table"),
    ],
)
def test_what_it_refuses(pgsurveyor: Run, database: Database, arguments: tuple[str, str], words: str) -> None:
    pg_bin = () if database.major == 18 else ("--pg-bin", str(programs_of(database)))
    refused = pgsurveyor("grow", database.dsn, "--no-repo", *arguments, *pg_bin)
    assert refused.returncode == 2
    assert words in refused.stderr
