from __future__ import annotations

import pytest

from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE owners (id int PRIMARY KEY);
    INSERT INTO owners SELECT generate_series(1, 200);
    CREATE TABLE jobs (
        id int PRIMARY KEY, even boolean, state text, rare text, maybe int, asked int, owner int REFERENCES owners, many int
    );
    INSERT INTO jobs SELECT n, n % 2 = 0, CASE WHEN n % 50 = 0 THEN 'new' ELSE 'done' END, 'r' || n % 500,
        CASE WHEN n % 100 = 0 THEN n END, CASE WHEN n % 100 = 0 THEN n END, CASE WHEN n % 100 = 0 THEN n % 199 + 1 END, n
        FROM generate_series(1, 20000) n;
    CREATE INDEX jobs_even ON jobs (even);
    CREATE INDEX jobs_state ON jobs (state);
    CREATE INDEX jobs_rare ON jobs (rare);
    CREATE INDEX jobs_maybe ON jobs (maybe);
    CREATE INDEX jobs_maybe_partial ON jobs (maybe) WHERE maybe IS NOT NULL;
    CREATE INDEX jobs_asked ON jobs (asked);
    CREATE INDEX jobs_owner ON jobs (owner);
    CREATE INDEX jobs_even_many ON jobs (even, many);
    CREATE UNIQUE INDEX jobs_unique ON jobs (maybe) INCLUDE (many);
    CREATE TABLE small (even boolean);
    INSERT INTO small SELECT n % 2 = 0 FROM generate_series(1, 500) n;
    CREATE INDEX small_even ON small (even);
"""
SMALL = {"unused_index_bytes": 8192}


@pytest.fixture
def jobs(database: Database) -> Database:
    database.execute(
        "CREATE EXTENSION pg_stat_statements", SCHEMA, "ANALYZE", "SELECT id FROM jobs WHERE asked IS NULL LIMIT 5"
    )
    return database


def test_indexes_by_the_values_they_hold(jobs: Database) -> None:
    few = examine(jobs, "indexing.low-cardinality-index", limits=SMALL)
    assert names(few) == {"public.jobs_even"}
    assert finding(few, "public.jobs_even").observed["distinct"] == 2

    # The nulls of one are looked for; one is partial, one unique.
    nulls = examine(jobs, "indexing.mostly-null-index", limits=SMALL)
    assert names(nulls) == {"public.jobs_maybe", "public.jobs_owner"}
    assert finding(nulls, "public.jobs_owner").fix.sql == (
        "CREATE INDEX CONCURRENTLY jobs_owner_partial_idx ON public.jobs (owner) WHERE owner IS NOT NULL; "
        "DROP INDEX CONCURRENTLY public.jobs_owner;"
    )

    assert names(examine(jobs, "indexing.partial-index-candidate", limits=SMALL)) == {"public.jobs_state"}


def test_the_fix_still_serves_the_foreign_key(jobs: Database) -> None:
    (found,) = (
        entry
        for entry in examine(jobs, "indexing.mostly-null-index", limits=SMALL).findings
        if entry.subject.name == "public.jobs_owner"
    )
    for part in (found.fix.sql or "").split("; "):
        jobs.execute(part)

    assert names(examine(jobs, "indexing.foreign-key-without-index")) == set()


def test_an_index_that_was_never_read_is_another_finding(jobs: Database) -> None:
    assert names(examine(jobs, "indexing.low-cardinality-index", limits={**SMALL, "window_days": 0})) == set()
