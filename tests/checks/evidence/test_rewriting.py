"""A statement that is written otherwise gives the same rows."""

from __future__ import annotations

import pytest

from checks.evidence.rewriting import with_plain_column
from tests.servers import Database

SCHEMA = """
    CREATE TABLE visits (id uuid, at timestamptz, local timestamp, day date);
    INSERT INTO visits SELECT md5(i::text)::uuid, m, m, m FROM generate_series(1, 400) AS i,
        LATERAL (SELECT '2026-03-27 22:00+00'::timestamptz + i * interval '17 minutes') AS made (m);
    INSERT INTO visits VALUES (NULL, NULL, NULL, NULL), (NULL, '2026-03-29', '2026-03-29', '2026-03-29');
"""
SAME = [
    ("SELECT count(*) FROM visits WHERE at::date = '2026-03-29'", "at", "timestamptz"),
    ("SELECT count(*) FROM visits AS v WHERE date(v.at) <= '2026-03-29' AND id IS NOT NULL", "at", "timestamptz"),
    ("SELECT count(*) FROM visits WHERE '2026-03-29'::date < local::date", "local", "timestamp"),
    ("SELECT count(*) FROM visits WHERE NOT (CAST(local AS date) > '2026-03-28')", "local", "timestamp"),
    ("SELECT count(*) FROM visits WHERE at::date >= '2026-03-30' OR day IS NULL", "at", "timestamptz"),
    ("SELECT count(*) FROM visits WHERE at::date BETWEEN '2026-03-28' AND '2026-03-29'", "at", "timestamptz"),
    ("SELECT count(*) FROM visits WHERE id::text = 'c4ca4238-a0b9-2382-0dcc-509a6f75849b'", "id", "uuid"),
]
OTHERS = [
    ("SELECT count(*) FROM visits WHERE at::date = day", "at", "timestamptz"),
    ("SELECT count(*) FROM visits WHERE date_trunc($1, at) = $2", "at", "timestamptz"),
    ("SELECT count(*) FROM visits WHERE number + $1 > $2", "number", "int4"),
    ("SELECT count(*) FROM visits WHERE at::date = $1", "local", "timestamp"),
    ("SELECT FROM WHERE", "at", "timestamptz"),
]


def test_the_rows_are_the_same(database: Database) -> None:
    database.execute(SCHEMA)
    with database.connect() as connection:
        connection.execute("SET timezone = 'Europe/Berlin'")
        for text, column, kind in SAME:
            rewritten = with_plain_column(text, column, kind)
            assert rewritten is not None, text
            before, after = (connection.execute(one.encode()).fetchone() for one in (text, rewritten.text))
            assert before == after, rewritten.text
            assert before is not None
            assert before[0] > 0


@pytest.mark.parametrize(("text", "column", "kind"), OTHERS)
def test_what_is_left_alone(text: str, column: str, kind: str) -> None:
    assert with_plain_column(text, column, kind) is None
