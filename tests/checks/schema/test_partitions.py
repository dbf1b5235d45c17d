from __future__ import annotations

import datetime as dt

from checks.model import Outcome, Severity
from tests.checks.schema.counted import wait_for
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

_TODAY = dt.datetime.now(dt.UTC).date()


def _day(days: int) -> str:
    return (_TODAY + dt.timedelta(days=days)).isoformat()


def _months(table: str, last: int) -> str:
    """A table with two partitions of thirty days, of which the later ends in so many days."""
    return (
        f"CREATE TABLE {table} (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);"
        f"CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES FROM ('{_day(last - 60)}') TO ('{_day(last - 30)}');"
        f"CREATE TABLE {table}_2 PARTITION OF {table} FOR VALUES FROM ('{_day(last - 30)}') TO ('{_day(last)}');"
    )


def test_partitions_that_are_not_ready(database: Database) -> None:
    database.execute(
        _months("ready", 20), _months("soon", 3), _months("late", -2), _months("archived", -400), _months("caught", 3),
        "CREATE TABLE caught_rest PARTITION OF caught DEFAULT",
        _months("open_ended", 3),
        f"CREATE TABLE open_ended_3 PARTITION OF open_ended FOR VALUES FROM ('{_day(3)}') TO (MAXVALUE)",
        "CREATE TABLE numbers (n int) PARTITION BY RANGE (n);"
        "CREATE TABLE numbers_1 PARTITION OF numbers FOR VALUES FROM (1) TO (9)",
    )  # fmt: skip

    result = examine(database, "schema.no-future-partition")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.soon": Severity.HIGH,
        "public.late": Severity.HIGH,
        "public.caught": Severity.MEDIUM,
    }
    assert "inserts fail" in finding(result, "public.late").title
    assert result.examined == 6


def test_rows_and_sizes_of_partitions(database: Database) -> None:
    database.execute(
        """CREATE TABLE ranged (n int) PARTITION BY RANGE (n);
        CREATE TABLE ranged_1 PARTITION OF ranged FOR VALUES FROM (1) TO (9);
        CREATE TABLE ranged_rest PARTITION OF ranged DEFAULT; INSERT INTO ranged VALUES (1), (100), (200);
        CREATE TABLE tidy (n int) PARTITION BY RANGE (n); CREATE TABLE tidy_1 PARTITION OF tidy FOR VALUES FROM (1) TO (9);
        CREATE TABLE tidy_rest PARTITION OF tidy DEFAULT; INSERT INTO tidy VALUES (1);
        CREATE TABLE listed (n int) PARTITION BY LIST (n); CREATE TABLE listed_rest PARTITION OF listed DEFAULT;
        INSERT INTO listed VALUES (5);
        CREATE TABLE bare (n int) PARTITION BY HASH (n);
        CREATE TABLE skewed (tenant int, t text) PARTITION BY HASH (tenant);
        CREATE TABLE skewed_0 PARTITION OF skewed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
        CREATE TABLE skewed_1 PARTITION OF skewed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
        CREATE TABLE skewed_2 PARTITION OF skewed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
        INSERT INTO skewed SELECT 1, repeat('x', 500) FROM generate_series(1, 2000); ANALYZE"""
    )
    evidence = survey(database, limits={"partition_skew_bytes": 1000})

    default = conclude(evidence, "schema.rows-in-default-partition")
    assert names(default) == {"public.ranged"}
    assert finding(default, "public.ranged").observed["rows"] == 2
    sizes = conclude(evidence, "schema.partition-sizes")
    assert {found.subject.name: found.severity for found in sizes.findings} == {
        "public.bare": Severity.MEDIUM,
        "public.skewed": Severity.LOW,
    }


def test_large_tables_and_logs_in_one_piece(database: Database) -> None:
    database.execute(
        """CREATE TABLE events (id int, at timestamptz DEFAULT now());
        CREATE TABLE orders (id int, at timestamptz DEFAULT now());
        CREATE TABLE job_log (id int, at timestamptz DEFAULT now());
        INSERT INTO events SELECT generate_series(1, 3000); INSERT INTO orders SELECT generate_series(1, 3000);
        INSERT INTO job_log SELECT generate_series(1, 3000); DELETE FROM events; DELETE FROM orders; ANALYZE"""
    )
    wait_for(database, "relname = 'orders' AND n_tup_del = 3000")
    limits = {"deleted_rows_per_day": 1000, "window_days": 0.0, "table_bytes": 100_000}

    assert names(examine(database, "schema.unpruned-log-table", limits=limits)) == {"public.events"}
    assert names(examine(database, "schema.large-unpartitioned-table", limits=limits)) == {
        "public.events", "public.orders", "public.job_log",
    }  # fmt: skip
    assert names(examine(database, "schema.large-unpartitioned-table")) == set()


def test_nothing_is_partitioned(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    evidence = survey(database)

    for name in ("no-future-partition", "partition-sizes", "rows-in-default-partition"):
        assert conclude(evidence, f"schema.{name}").outcome is Outcome.NOT_APPLICABLE
