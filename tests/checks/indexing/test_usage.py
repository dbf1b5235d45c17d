from __future__ import annotations

import datetime as dt
import time

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Catalog, Server, Usage
from checks.evidence.observe import Target, observe
from checks.model import Outcome, Reason, Severity
from checks.own_reads import scans_by_reviews
from checks.shadow.reading import read_blueprint
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database, PrimaryAndStandby

CHECK = "indexing.unused-index"
NO_WINDOW = {"window_days": 0}

SCHEMA = """
    CREATE TABLE parents (id bigint PRIMARY KEY);
    CREATE TABLE t (
        id bigint PRIMARY KEY, code text UNIQUE, used int, spare text, parent_id bigint REFERENCES parents,
        period int4range, EXCLUDE USING gist (period WITH &&)
    );
    INSERT INTO parents VALUES (1);
    INSERT INTO t (id, code, used, spare, parent_id)
        SELECT n, 'c' || n, n, repeat('s', 10) || n, 1 FROM generate_series(1, 40000) n;
    CREATE INDEX t_used ON t (used);
    CREATE INDEX "t; spare" ON t (spare);
    CREATE INDEX t_small ON t (spare) WHERE id < 10;
    CREATE INDEX t_parent ON t (parent_id);
    CREATE INDEX t_parent_again ON t (parent_id, spare);
    CREATE UNIQUE INDEX t_unique ON t (id, used);
    CREATE INDEX t_broken ON t (code, spare);
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_broken'::regclass;
    CREATE TABLE parted (id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO parted SELECT n, date '2026-01-01' + n % 59 FROM generate_series(1, 5000) n;
    CREATE INDEX parted_used ON parted (id);
    CREATE INDEX parted_spare ON parted (day, id);
"""


def read_some(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SELECT * FROM t WHERE used = 5")
        connection.execute("SELECT * FROM parted_1 WHERE id = 59")
        connection.execute("SELECT pg_stat_force_next_flush()")


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(SCHEMA, "ANALYZE")
    read_some(database.dsn)
    return database


def test_indexes_that_nothing_reads(filled: Database) -> None:
    result = examine(filled, CHECK, limits=NO_WINDOW)

    assert {found.subject.name: found.severity for found in result.findings} == {
        'public."t; spare"': Severity.LOW,
        "public.t_parent_again": Severity.LOW,
        "public.t_small": Severity.NOTE,
        "public.parted_spare": Severity.NOTE,
    }
    found = finding(result, 'public."t; spare"')
    assert found.fix.sql == 'DROP INDEX CONCURRENTLY public."t; spare";'
    assert found.observed["table_writes"] == 40000
    assert found.observed["nodes"] == 1
    assert (result.examined, result.of) == (6, 6)


def test_a_young_window_proves_nothing(filled: Database) -> None:
    result = examine(filled, CHECK)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.WINDOW_TOO_SHORT)
    assert result.unlock is not None
    assert "30 days are needed" in result.unlock


@pytest.mark.vector
def test_an_index_of_vectors_is_judged_by_its_searches(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION vector;
        CREATE TABLE t (v vector(3), spare text);
        INSERT INTO t SELECT '[1,2,3]', repeat('s', 10) || n FROM generate_series(1, 40000) n;
        CREATE INDEX t_vector ON t USING hnsw (v vector_l2_ops);
        CREATE INDEX t_spare ON t (spare);
        """,
        "ANALYZE",
    )

    assert names(examine(database, CHECK, limits=NO_WINDOW)) == {"public.t_spare"}


@pytest.mark.since(16)
def test_an_index_last_used_long_ago(filled: Database) -> None:
    evidence = survey(filled, limits=NO_WINDOW)
    server = evidence.get(Server)
    later = msgspec.structs.replace(server, observed_at=server.observed_at + dt.timedelta(days=45))

    result = conclude(msgspec.structs.replace(evidence, server=later), CHECK)

    found = finding(result, "public.t_used")
    assert found.observed["scans"] == 1
    assert found.title.startswith("Index public.t_used has not been used since 20")


def test_an_index_without_counters_is_not_judged(filled: Database) -> None:
    evidence = survey(filled, limits=NO_WINDOW)
    empty = msgspec.structs.replace(evidence.get(Usage), indexes=())

    result = conclude(msgspec.structs.replace(evidence, usage=empty), CHECK)

    assert (names(result), result.examined, result.of) == (set(), 0, 6)


def test_standbys_count_and_must_be_asked(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    database = Database(primary)
    try:
        database.execute(SCHEMA, "ANALYZE")
        with database.connect() as connection, psycopg.connect(primary.dsn(), autocommit=True) as watching:
            connection.execute("CHECKPOINT")
            for _ in range(200):
                caught_up = watching.execute(
                    "SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"
                ).fetchone()
                if caught_up == (True,):
                    break
                watching.execute("SELECT pg_sleep(0.1)")
        read_some(standby.dsn(database.name))

        alone = examine(database, CHECK, limits=NO_WINDOW)
        assert (alone.outcome, alone.reason) == (Outcome.UNKNOWN, Reason.REPLICA_NOT_REACHABLE)
        assert alone.unlock is not None
        assert "--replica DSN" in alone.unlock
        assert (alone.examined, alone.of) == (0, 6)

        both = examine(database, CHECK, replicas=[standby.dsn(database.name)], limits=NO_WINDOW)
        assert names(both) == {
            'public."t; spare"', "public.t_parent_again", "public.t_small", "public.parted_spare",
        }  # fmt: skip
        assert finding(both, 'public."t; spare"').observed["nodes"] == 2
    finally:
        database.drop()


def test_no_indexes(database: Database) -> None:
    database.execute("CREATE TABLE bare (a int)")

    assert examine(database, CHECK, limits=NO_WINDOW).outcome is Outcome.NOT_APPLICABLE


REVIEWED = """
    CREATE TABLE t (id bigint PRIMARY KEY, used int, spare int);
    INSERT INTO t SELECT n, n, n FROM generate_series(1, 40000) n;
    CREATE INDEX t_used ON t (used);
    CREATE INDEX t_spare ON t (spare);
    CREATE TABLE forgotten (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
    INSERT INTO forgotten (note) SELECT 'n' FROM generate_series(1, 10) n;
    CREATE TABLE remembered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
    INSERT INTO remembered (note) SELECT 'n' FROM generate_series(1, 10) n;
    CREATE EXTENSION pg_stat_statements;
"""


def scans(database: Database) -> dict[str, int]:
    """By index, once the server has counted what sessions that have ended did."""
    if database.major < 15:
        time.sleep(1)  # until then a process of its own counts, and writes it down twice a second
    with database.connect() as connection:
        rows = connection.execute("SELECT indexrelname::text, idx_scan FROM pg_stat_user_indexes").fetchall()
    return dict(rows)


def use(database: Database, times: int) -> None:
    """As an application does, in a session that ends."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        for _ in range(times):
            connection.execute("SELECT * FROM t WHERE used = 5")
            connection.execute("SELECT * FROM remembered WHERE id = 5")


def test_reviews_are_no_use_of_what_they_look_at(database: Database) -> None:
    role = f"surveyor_{database.name}"
    database.execute(REVIEWED, "ANALYZE", f"CREATE ROLE {role} LOGIN IN ROLE pg_monitor, pg_read_all_data")
    dsn = f"{database.dsn} user={role}"
    try:
        use(database, 30)
        for _ in range(5):
            read_blueprint(dsn)
        looked = scans(database)
        evidence = survey(dsn, limits=NO_WINDOW)
        result = conclude(evidence, CHECK)

        assert (looked["t_spare"], looked["forgotten_pkey"]) == (10, 10)
        assert names(result) == {"public.t_spare"}
        found = finding(result, "public.t_spare")
        assert (found.observed["scans"], found.observed["own_scans"]) == (10, 10)
        assert "no more than the 10 that reviews" in found.title
        assert names(conclude(evidence, "schema.unused-table")) == {"public.forgotten"}

        database.execute("SELECT pg_stat_statements_reset()")
        assert names(examine(dsn, CHECK, limits=NO_WINDOW)) == set()
    finally:
        database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_what_planning_reads_is_believed_once_a_day(database: Database) -> None:
    role = f"surveyor_{database.name}"
    database.execute(REVIEWED, "ANALYZE", f"CREATE ROLE {role} LOGIN IN ROLE pg_monitor, pg_read_all_data")
    dsn = f"{database.dsn} user={role}"
    try:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute("SET enable_indexscan = off; SET enable_indexonlyscan = off")
            connection.execute("SELECT count(*) FROM t JOIN remembered AS r ON r.id = t.spare")
        planned_once = scans(database)["t_spare"]
        for _ in range(3):
            survey(dsn, limits=NO_WINDOW)
        planned = scans(database)["t_spare"] - planned_once
        evidence = survey(dsn, limits=NO_WINDOW)
        index = next(index for index in evidence.get(Catalog).indexes if index.name == "t_spare")
        entry = evidence.get(Usage).index_by_oid[index.oid]
        assert 0 < planned <= entry.own_plannings
        assert scans_by_reviews(evidence, [entry], 0.0) == 0
        assert scans_by_reviews(evidence, [entry], 3.0) == 3
        assert scans_by_reviews(evidence, [entry], 90.0) == entry.own_plannings
    finally:
        database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_those_who_may_leave_no_trace_in_the_counters(database: Database) -> None:
    database.execute(REVIEWED, "ANALYZE")
    before = scans(database)

    for _ in range(2):
        observe(Target(database.dsn))
        read_blueprint(database.dsn)

    assert scans(database) == before


def test_small_unused_indexes_are_one_note_and_redundant_ones_another_finding(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (" + ", ".join(f"c{n} int" for n in range(9)) + ")",
        *(f"CREATE INDEX t_c{n} ON t (c{n})" for n in range(9)),
        "CREATE TABLE pairs (a int, b int)",
        "INSERT INTO pairs SELECT n, n FROM generate_series(1, 1000) n",
        "CREATE INDEX pairs_a ON pairs (a)",
        "CREATE INDEX pairs_ab ON pairs (a, b)",
        "ANALYZE",
    )
    # Both unread: neither makes the other redundant, or a reader of both findings would drop both.
    unread = finding(examine(database, CHECK, limits=NO_WINDOW), "public")
    assert unread.title == "11 small indexes of schema public have not been used"
    assert names(examine(database, "indexing.redundant-index", limits=NO_WINDOW)) == set()
    assert names(examine(database, "indexing.redundant-index")) == {"public.pairs_a"}

    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SELECT b FROM pairs WHERE a = 5 ORDER BY b")
    assert scans(database)["pairs_ab"] == 1
    crowd = finding(examine(database, CHECK, limits=NO_WINDOW), "public")

    assert crowd.observed["names"] == [f"public.t_c{n}" for n in range(9)]
    assert names(examine(database, "indexing.redundant-index", limits=NO_WINDOW)) == {"public.pairs_a"}
