from __future__ import annotations

import threading
import time

import psycopg
import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database


def fail_to_build(database: Database, statement: str) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute(statement)


def test_invalid_indexes(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id bigint PRIMARY KEY, a int, b int);
        INSERT INTO t VALUES (1, 1, 1), (2, 1, 2);
        CREATE INDEX whole ON t (a);
        CREATE UNIQUE INDEX fine ON t (b);
        """
    )
    fail_to_build(database, 'CREATE UNIQUE INDEX CONCURRENTLY "not; unique" ON t (a)')
    database.execute(
        "CREATE INDEX broken ON t (a, b)",
        "CREATE INDEX whole_ccnew ON t (a)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('broken'::regclass, 'whole_ccnew'::regclass)",
    )

    result = examine(database, "indexing.invalid-index")

    assert {found.subject.name: found.severity for found in result.findings} == {
        'public."not; unique"': Severity.CRITICAL,
        "public.broken": Severity.HIGH,
        "public.whole_ccnew": Severity.HIGH,
    }
    assert finding(result, "public.whole_ccnew").observed["leftover_of"] == "whole"
    assert (result.examined, result.of) == (6, 6)

    database.execute("UPDATE t SET a = id")
    for found in result.findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "indexing.invalid-index").outcome is Outcome.PASSED


def test_a_partitioned_index_without_all_its_parts(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE parted (id bigint, day date) PARTITION BY RANGE (day);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        CREATE INDEX half_attached ON ONLY parted (id);
        CREATE INDEX half_attached_1 ON parted_1 (id);
        ALTER INDEX half_attached ATTACH PARTITION half_attached_1;
        CREATE INDEX complete ON parted (day);
        """
    )

    result = examine(database, "indexing.invalid-index")

    assert names(result) == {"public.half_attached"}
    assert "public.parted_2" in finding(result, "public.half_attached").fix.summary


def test_an_index_that_is_being_built_is_not_invalid(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 1000)")
    blocker = psycopg.connect(database.dsn)
    blocker.execute("INSERT INTO t VALUES (0)")
    builder = threading.Thread(target=database.execute, args=("CREATE INDEX CONCURRENTLY slow ON t (a)",))
    builder.start()
    try:
        with database.connect() as connection:
            deadline = time.monotonic() + 20
            query = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('slow') AND NOT indisvalid"
            while connection.execute(query).fetchone() != (1,):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert examine(database, "indexing.invalid-index").outcome is Outcome.PASSED
    finally:
        blocker.rollback()
        blocker.close()
        builder.join()


def test_no_indexes(database: Database) -> None:
    database.execute("CREATE TABLE bare (a int)")

    assert examine(database, "indexing.invalid-index").outcome is Outcome.NOT_APPLICABLE
