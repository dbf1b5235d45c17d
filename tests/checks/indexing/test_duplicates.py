from __future__ import annotations

import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

DUPLICATES = """
    CREATE TABLE t (
        id bigint PRIMARY KEY, a text, b text, c int, d int, active boolean, doc jsonb, email text
    );
    CREATE INDEX plain_one ON t (a);
    CREATE INDEX plain_two ON t (a);
    CREATE INDEX plain_descending ON t (a DESC);
    CREATE INDEX pair_up ON t (c, d DESC);
    CREATE INDEX pair_down ON t (c DESC, d);
    CREATE INDEX partial_one ON t (b) WHERE active;
    CREATE INDEX partial_two ON t (b) WHERE active;
    CREATE INDEX expression_one ON t (lower(email));
    CREATE INDEX expression_two ON t (lower(email));
    CREATE INDEX "Include; one" ON t (d) INCLUDE (a, b);
    CREATE INDEX "Include; two" ON t (d) INCLUDE (b, a);
    CREATE UNIQUE INDEX unique_one ON t (b, c);
    CREATE UNIQUE INDEX unique_two ON t (b, c);
"""
TRAPS = """
    CREATE INDEX opclass ON t (a text_pattern_ops);
    CREATE INDEX collated ON t (a COLLATE "C");
    CREATE INDEX hashed ON t USING hash (a);
    CREATE INDEX descending_nulls_last ON t (a DESC NULLS LAST);
    CREATE INDEX pair_mixed ON t (c, d);
    CREATE INDEX partial_other ON t (b) WHERE NOT active;
    CREATE INDEX partial_words ON t (b) WHERE a = 'x';
    CREATE INDEX partial_other_words ON t (b) WHERE a = 'y';
    CREATE INDEX expression_other ON t (upper(email));
    CREATE INDEX gin_default ON t USING gin (doc);
    CREATE INDEX gin_path ON t USING gin (doc jsonb_path_ops);
"""


def test_indexes_that_are_the_same(database: Database) -> None:
    database.execute(DUPLICATES, TRAPS)

    result = examine(database, "indexing.duplicate-index")

    assert {found.subject.name: found.observed["duplicate_of"] for found in result.findings} == {
        "public.plain_two": "public.plain_one",
        "public.plain_descending": "public.plain_one",
        "public.pair_down": "public.pair_up",
        "public.partial_two": "public.partial_one",
        "public.expression_two": "public.expression_one",
        'public."Include; two"': 'public."Include; one"',
        "public.unique_two": "public.unique_one",
    }
    assert (result.examined, result.of) == (25, 25)


@pytest.mark.vector
def test_vector_indexes_of_other_distances_or_links_are_not_the_same(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION vector;
        CREATE TABLE t (v vector(3));
        CREATE INDEX hnsw_l2 ON t USING hnsw (v vector_l2_ops);
        CREATE INDEX hnsw_cosine ON t USING hnsw (v vector_cosine_ops);
        CREATE INDEX hnsw_wide ON t USING hnsw (v vector_l2_ops) WITH (m = 32);
        CREATE INDEX hnsw_twice ON t USING hnsw (v vector_cosine_ops);
        """
    )

    assert names(examine(database, "indexing.duplicate-index")) == {"public.hnsw_twice"}


@pytest.mark.since(15)
def test_unique_indexes_that_treat_nulls_otherwise_are_not_the_same(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (b int, c int);
        CREATE UNIQUE INDEX one ON t (b, c);
        CREATE UNIQUE INDEX other ON t (b, c) NULLS NOT DISTINCT;
        """
    )

    assert examine(database, "indexing.duplicate-index").outcome is Outcome.PASSED


def test_the_fix_leaves_one(database: Database) -> None:
    database.execute(DUPLICATES)

    for found in examine(database, "indexing.duplicate-index").findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)

    assert examine(database, "indexing.duplicate-index").outcome is Outcome.PASSED


def test_of_two_unique_constraints_the_one_that_foreign_keys_need_stays(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id bigint CONSTRAINT twice UNIQUE);
        CREATE TABLE refers (t_id bigint);
        ALTER TABLE refers ADD CONSTRAINT to_twice FOREIGN KEY (t_id) REFERENCES t (id);
        ALTER TABLE t ADD CONSTRAINT once UNIQUE (id);
        CREATE TABLE k (id bigint CONSTRAINT k_unique UNIQUE);
        ALTER TABLE refers ADD CONSTRAINT to_k FOREIGN KEY (t_id) REFERENCES k (id);
        ALTER TABLE k ADD CONSTRAINT k_pkey PRIMARY KEY (id);
        """
    )

    result = examine(database, "indexing.duplicate-index")

    assert names(result) == {"public.once", "public.k_unique"}
    assert finding(result, "public.once").fix.sql == "ALTER TABLE public.t DROP CONSTRAINT once;"
    needed = finding(result, "public.k_unique")
    assert needed.observed["referenced_by"] == ["public.refers.to_k"]
    assert "public.refers.to_k" in needed.fix.summary


def test_a_plain_index_that_repeats_a_unique_one(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION btree_gist;
        CREATE TABLE t (id bigint PRIMARY KEY, email text UNIQUE, code text, during int4range, live boolean,
            EXCLUDE USING gist (during WITH &&));
        CREATE INDEX plain_id ON t (id);
        CREATE INDEX plain_email ON t (email DESC);
        CREATE INDEX plain_during ON t USING gist (during);
        CREATE INDEX pattern_email ON t (email text_pattern_ops);
        CREATE UNIQUE INDEX live_code ON t (code) WHERE live;
        CREATE INDEX plain_code ON t (code);
        CREATE INDEX covering_id ON t (id) INCLUDE (email);
        """
    )

    result = examine(database, "indexing.index-duplicates-unique")

    assert {found.subject.name: found.observed["duplicate_of"] for found in result.findings} == {
        "public.plain_id": "public.t_pkey",
        "public.plain_email": "public.t_email_key",
        "public.plain_during": "public.t_during_excl",
    }
    assert finding(result, "public.plain_id").title == "Index public.plain_id repeats the primary key public.t_pkey"
    assert examine(database, "indexing.duplicate-index").outcome is Outcome.PASSED


def test_indexes_that_begin_another(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id bigint PRIMARY KEY, a int, b int, c int, s text, live boolean);
        CREATE INDEX a_only ON t (a);
        CREATE INDEX a_b ON t (a, b);
        CREATE INDEX a_b_c ON t (a, b, c);
        CREATE INDEX b_only ON t (b);
        CREATE INDEX c_descending ON t (c DESC);
        CREATE INDEX c_a ON t (c, a DESC);
        CREATE INDEX s_only ON t (s);
        CREATE INDEX s_including ON t (s) INCLUDE (c);
        CREATE INDEX a_hash ON t USING hash (a);
        CREATE INDEX a_live ON t (a) WHERE live;
        CREATE INDEX a_b_live ON t (a, b) WHERE live;
        CREATE UNIQUE INDEX b_unique ON t (b, s);
        CREATE INDEX s_pattern ON t (s text_pattern_ops);
        CREATE INDEX id_a ON t (id, a);
        CREATE INDEX a_nulls_first ON t (a NULLS FIRST);
        CREATE INDEX b_c_mixed ON t (b, c DESC);
        CREATE INDEX b_c_a ON t (b, c, a);
        """
    )

    result = examine(database, "indexing.redundant-index")

    assert {found.subject.name: found.observed["duplicate_of"] for found in result.findings} == {
        "public.a_only": "public.a_b_c",
        "public.a_b": "public.a_b_c",
        "public.b_only": "public.b_unique",
        "public.c_descending": "public.c_a",
        "public.s_only": "public.s_including",
        "public.a_live": "public.a_b_live",
        "public.id_a": "public.t_pkey",
    }


def test_constraints_and_replica_identities_are_no_mere_beginnings(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id bigint PRIMARY KEY, code text NOT NULL UNIQUE, a int, b int);
        CREATE UNIQUE INDEX t_a ON t (a);
        CREATE INDEX id_code ON t (id, code);
        CREATE INDEX code_id ON t (code, id);
        CREATE INDEX a_b ON t (a, b);
        """
    )

    assert names(examine(database, "indexing.redundant-index")) == {"public.id_code", "public.code_id", "public.a_b"}


def test_a_small_busy_beginning_may_be_kept(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (a int, long text);
        INSERT INTO t SELECT n, repeat(n::text, 40) FROM generate_series(1, 20000) n;
        CREATE INDEX narrow ON t (a);
        CREATE INDEX wide ON t (a, long);
        """,
        "VACUUM ANALYZE t",
    )
    with database.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        for number in range(5):
            connection.execute(f"SELECT a FROM t WHERE a = {number}".encode())
        connection.execute("SELECT pg_stat_force_next_flush()")

    found = finding(examine(database, "indexing.redundant-index"), "public.narrow")

    assert (found.severity, found.confidence) == (Severity.LOW, Confidence.INFERRED)
    assert found.observed["scans"] == 5


def test_a_partitioned_index_counts_once(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE parted (id bigint, day date) PARTITION BY RANGE (day);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        CREATE INDEX parted_one ON parted (id);
        CREATE INDEX parted_two ON parted (id);
        CREATE INDEX parted_day ON parted (day);
        CREATE INDEX parted_day_id ON parted (day, id);
        """
    )

    duplicate = examine(database, "indexing.duplicate-index")
    redundant = examine(database, "indexing.redundant-index")

    assert (names(duplicate), names(redundant)) == ({"public.parted_two"}, {"public.parted_day"})
    fix = finding(duplicate, "public.parted_two").fix
    assert (fix.sql, fix.lock) == ("DROP INDEX public.parted_two;", "ACCESS EXCLUSIVE")


def test_nothing_to_compare(database: Database) -> None:
    database.execute("CREATE TABLE bare (a int)")

    for check in ("duplicate-index", "index-duplicates-unique", "redundant-index"):
        result = examine(database, f"indexing.{check}")
        assert (result.outcome, result.fact) == (Outcome.NOT_APPLICABLE, "no table has an index")


def test_an_index_that_begins_with_a_key(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, UNIQUE (a, b))",
        "CREATE INDEX t_id_a ON t (id, a)",
        "CREATE INDEX t_a_b_id ON t (a, b, id)",
        "CREATE INDEX t_covering ON t (id, b) INCLUDE (a)",
        "CREATE INDEX t_some ON t (id, b) WHERE a > 5",
        "CREATE INDEX t_other_order ON t (b, a, id)",
        "CREATE UNIQUE INDEX t_partial ON t (b) WHERE a IS NULL",
        "CREATE INDEX t_b_id ON t (b, id)",
    )

    assert names(examine(database, "indexing.redundant-index")) == {"public.t_id_a", "public.t_a_b_id"}


def test_indexes_that_partitions_have_of_their_own_are_compared_once(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE parted (id bigint, owner bigint, day date, note text) PARTITION BY RANGE (day);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
        CREATE INDEX parted_1_old ON parted_1 (owner);
        CREATE INDEX parted_1_new ON parted_1 (owner);
        CREATE INDEX parted_2_old ON parted_2 (owner);
        CREATE INDEX parted_2_new ON parted_2 (owner);
        CREATE INDEX parted_3_only ON parted_3 (owner);
        CREATE INDEX parted_1_note ON parted_1 (note) INCLUDE (id);
        CREATE INDEX ON parted (note);
        CREATE INDEX parted_day ON parted (day);
        CREATE INDEX parted_3_day ON ONLY parted_3 (day);
        """
    )

    result = examine(database, "indexing.duplicate-index")

    assert {found.subject.name: found.observed.get("partitions") for found in result.findings} == {
        "public.parted_1_new": 2,
        "public.parted_3_day": None,
    }
    found = finding(result, "public.parted_1_new")
    assert found.title == ("Index public.parted_1_new duplicates public.parted_1_old, as on one more partition")
    assert found.fix.sql == (
        "DROP INDEX CONCURRENTLY public.parted_1_new;\nDROP INDEX CONCURRENTLY public.parted_2_new;"
    )
    assert finding(result, "public.parted_3_day").observed["duplicate_of"] == "public.parted_3_day_idx"


def test_many_small_beginnings_of_other_indexes_are_one_finding(database: Database) -> None:
    tables = "".join(
        f"CREATE TABLE t{n} (a int, b int); CREATE INDEX t{n}_a ON t{n} (a); CREATE INDEX t{n}_ab ON t{n} (a, b);"
        for n in range(20)
    )
    database.execute(
        tables,
        """
        CREATE TABLE large (a int, b int);
        INSERT INTO large SELECT n, n FROM generate_series(1, 100000) n;
        CREATE INDEX large_a ON large (a);
        CREATE INDEX large_ab ON large (a, b);
        """,
    )

    result = examine(database, "indexing.redundant-index")

    assert names(result) == {"public", "public.large_a"}
    crowd = finding(result, "public")
    assert crowd.title == "20 small indexes of schema public are the beginning of another index"
    assert (crowd.severity, crowd.observed["number"]) == (Severity.LOW, 20)
    assert crowd.observed["kept"] == [f"{name}b" for name in crowd.observed["names"]]
    assert (result.examined, result.unmet) == (42, 21)


def test_of_a_chain_of_beginnings_the_one_that_stays_is_named(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (a int, b int, c int);
        CREATE INDEX t_a ON t (a);
        CREATE INDEX t_ab ON t (a, b);
        CREATE INDEX t_abc ON t (a, b, c);
        """
    )

    result = examine(database, "indexing.redundant-index")

    assert {found.subject.name: found.observed["duplicate_of"] for found in result.findings} == {
        "public.t_a": "public.t_abc",
        "public.t_ab": "public.t_abc",
    }
