from __future__ import annotations

import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE posts (id bigint PRIMARY KEY, tags text[] NOT NULL, title text, body text, tenant int NOT NULL, slug text);
    CREATE INDEX posts_tags ON posts (tags);
    CREATE INDEX posts_tags_gin ON posts USING gin (tags);
    CREATE INDEX posts_tenant_tags ON posts (tenant, tags);
    CREATE UNIQUE INDEX posts_tags_unique ON posts (tags);
    CREATE INDEX posts_useless ON posts (slug) WHERE tenant IS NOT NULL;
    CREATE INDEX posts_useful ON posts (slug) WHERE title IS NOT NULL;
    CREATE INDEX posts_both ON posts (slug) WHERE tenant IS NOT NULL AND title IS NOT NULL;
    CREATE UNIQUE INDEX posts_id_slug ON posts (id, slug);
    CREATE UNIQUE INDEX posts_slug_id ON posts (slug, id);
    CREATE UNIQUE INDEX posts_id_tenant ON posts (id, tenant);
    CREATE TABLE comments (post bigint, tenant int, FOREIGN KEY (post, tenant) REFERENCES posts (id, tenant));
    CREATE UNIQUE INDEX posts_id_partial ON posts (tenant) WHERE title IS NULL;
    CREATE UNIQUE INDEX posts_tenant_title ON posts (tenant, title);
    CREATE TABLE parted (id int, tags int[]) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
    CREATE INDEX parted_tags ON parted (tags);
"""


@pytest.fixture
def posts(database: Database) -> Database:
    database.execute(SCHEMA)
    return database


def test_b_trees_over_whole_arrays(posts: Database) -> None:
    result = examine(posts, "indexing.btree-on-array")

    assert names(result) == {"public.posts_tags", "public.parted_tags"}
    assert finding(result, "public.posts_tags").fix.sql == (
        "CREATE INDEX CONCURRENTLY posts_tags_gin_idx ON public.posts USING gin (tags);"
    )
    assert "CONCURRENTLY" not in (finding(result, "public.parted_tags").fix.sql or "")


def test_predicates_that_leave_nothing_out(posts: Database) -> None:
    assert names(examine(posts, "indexing.useless-index-predicate")) == {"public.posts_useless"}


def test_unique_indexes_that_a_narrower_one_implies(posts: Database) -> None:
    result = examine(posts, "indexing.redundant-unique-index")

    # Not the one that a foreign key refers to, nor where another column leads or the narrower one is partial.
    assert names(result) == {"public.posts_id_slug"}
    assert finding(result, "public.posts_id_slug").observed["implied_by"] == "public.posts_pkey"


def test_wide_indexes(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a int, b int, c int, d int, e text, UNIQUE (a, b, c, d))",
        "INSERT INTO t SELECT n, n, n, n, repeat(md5(n::text), 10) FROM generate_series(1, 4000) n",
        "CREATE INDEX t_four ON t (d, c, b, a)",
        "CREATE INDEX t_three ON t (d, c, b)",
        "CREATE INDEX t_long ON t (e)",
        "CREATE INDEX t_hash ON t USING hash (e)",
        "ANALYZE t",
    )

    result = examine(database, "indexing.wide-index", limits={"unused_index_bytes": 8192})

    assert names(result) == {"public.t_four", "public.t_long"}
    assert {found.severity for found in result.findings} == {Severity.NOTE}


def test_tables_with_very_many_indexes(database: Database) -> None:
    database.execute("CREATE TABLE many (a int PRIMARY KEY)", "CREATE TABLE few (a int PRIMARY KEY)")
    for number in range(15):
        database.execute(f"CREATE INDEX many_{number} ON many ((a + {number}))")

    result = examine(database, "indexing.too-many-indexes")

    assert names(result) == {"public.many"}
    assert finding(result, "public.many").observed["indexes"] == 16
    assert examine(database, "indexing.too-many-indexes", limits={"indexes_per_table": 16}).outcome is Outcome.PASSED
