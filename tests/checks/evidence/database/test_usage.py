from __future__ import annotations

from checks.evidence.database.facts import Activity, Catalog, FreezeAges, PlannerStatistics, Usage
from checks.evidence.database.observe import DatabaseEvidence, observe_database
from tests.servers import Database


def _observed(database: Database) -> DatabaseEvidence:
    return observe_database(database.dsn)


def test_counters_of_tables_and_indexes(database: Database) -> None:
    database.execute(
        """CREATE TABLE t (id int PRIMARY KEY, a text);
        INSERT INTO t SELECT g, 'x' FROM generate_series(1, 100) g; UPDATE t SET a = 'y' WHERE id <= 10;
        DELETE FROM t WHERE id > 90""",
        "ANALYZE t",
        "SET enable_seqscan = off; SELECT * FROM t WHERE id = 5; RESET enable_seqscan; SELECT count(*) FROM t WHERE a = 'y'",
    )
    evidence = _observed(database)
    assert isinstance(evidence.usage, Usage)
    assert isinstance(evidence.catalog, Catalog)
    table = evidence.catalog.table_by_name["public", "t"].oid
    usage = evidence.usage.table_by_oid[table]
    assert (usage.inserted, usage.updated, usage.deleted) == (100, 10, 10)
    assert usage.sequential_scans > 0
    assert usage.last_analyze is not None
    assert usage.last_vacuum is None
    assert usage.xid_age is not None
    [index] = evidence.usage.indexes
    assert index.index == evidence.catalog.indexes_of(table)[0].oid
    assert index.scans >= 1
    assert (index.last_scan is not None) == (database.major >= 16)
    assert evidence.usage.database["xact_commit"] > 0
    assert "datname" not in evidence.usage.database


def test_planner_statistics_without_values(database: Database) -> None:
    database.execute(
        """CREATE TABLE t (id int, kind text, gone text);
        INSERT INTO t SELECT g, CASE WHEN g <= 900 THEN 'S3CRET' ELSE 'other' || g END, NULL FROM generate_series(1, 1000) g;
        CREATE TABLE part (a int) PARTITION BY LIST (a); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
        INSERT INTO part SELECT 1 FROM generate_series(1, 50);
        CREATE TABLE base (a int); CREATE TABLE kid () INHERITS (base);
        INSERT INTO base VALUES (1); INSERT INTO kid SELECT g FROM generate_series(2, 20) g;
        ANALYZE; ALTER TABLE t DROP COLUMN gone; CREATE TABLE empty (a int)"""
    )
    evidence = _observed(database)
    statistics, catalog = evidence.planner_statistics, evidence.catalog
    assert isinstance(statistics, PlannerStatistics)
    assert isinstance(catalog, Catalog)
    oid = {name: catalog.table_by_name["public", name].oid for name in ("t", "part", "base", "empty")}
    kind = statistics.by_column[oid["t"], 2]
    assert kind.common_share is not None
    assert abs(kind.common_share - 0.9) < 0.01
    assert (statistics.by_column[oid["t"], 1].distinct, statistics.by_column[oid["t"], 1].correlation) == (-1.0, 1.0)
    assert statistics.by_column[oid["part"], 1].distinct == 1
    assert statistics.by_column[oid["base"], 1].distinct in {-1.0, 1.0}
    assert (oid["empty"], 1) not in statistics.by_column
    assert statistics.hidden_tables == 0
    assert "S3CRET" not in repr(statistics)


def test_sessions_without_texts_and_without_ours(database: Database) -> None:
    idle = database.connect(autocommit=False, application_name="worker 'x'")
    idle.execute("SELECT 'S3CRET'")
    evidence = _observed(database)
    assert isinstance(evidence.activity, Activity)
    assert not any(session.application_name == "pgsurveyor" for session in evidence.activity.sessions)
    [session] = [session for session in evidence.activity.sessions if session.application_name == "worker 'x'"]
    assert (session.user, session.database, session.state) == ("postgres", database.name, "idle in transaction")
    assert session.transaction_age_s is not None
    assert session.state_age_s is not None
    assert 0 <= session.state_age_s < 30
    assert evidence.activity.max_connections > 10
    assert evidence.activity.reserved_connections >= 3
    assert "S3CRET" not in repr(evidence.activity)
    idle.rollback()


def test_freeze_ages(database: Database) -> None:
    database.execute("CREATE TABLE t (id int, big text)")
    ages = _observed(database).freeze_ages
    assert isinstance(ages, FreezeAges)
    assert {(database.name,), ("template0",)} <= {age.path for age in ages.databases}
    assert 0 < len(ages.oldest_tables) <= 20
    assert all(len(age.path) == 2 and age.xid_age >= 0 and age.multixact_age >= 0 for age in ages.oldest_tables)
