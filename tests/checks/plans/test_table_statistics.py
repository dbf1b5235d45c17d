from __future__ import annotations

from checks.model import Outcome, Reason, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database, PrimaryAndStandby

ROWS = "SELECT i FROM generate_series(1, 20000) i"


def test_tables_without_statistics_and_with_old_ones(database: Database) -> None:
    database.execute(
        "CREATE TABLE loaded (id int); INSERT INTO loaded " + ROWS,
        "CREATE TABLE known (id int); INSERT INTO known " + ROWS,
        "CREATE TABLE changed (id int); INSERT INTO changed " + ROWS,
        "CREATE TABLE tiny (id int); INSERT INTO tiny SELECT i FROM generate_series(1, 40) i",
        "CREATE TABLE empty (id int)",
        "CREATE TABLE alembic_version (id int); INSERT INTO alembic_version " + ROWS,
        "CREATE TABLE parent (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (1000000); INSERT INTO parent " + ROWS,
        "CREATE TABLE manual (id int) WITH (autovacuum_enabled = off); INSERT INTO manual " + ROWS,
    )
    database.execute("ANALYZE known; ANALYZE changed; ANALYZE part")
    database.execute("UPDATE changed SET id = id + 1 WHERE id < 15000")

    result = examine(database, "plans.never-analyzed")

    assert names(result) == {"public.loaded", "public.changed", "public.parent", "public.manual"}
    loaded = finding(result, "public.loaded")
    assert loaded.severity is Severity.HIGH
    assert loaded.title == "Table public.loaded has no planner statistics, with about 20,000 rows"
    assert loaded.fix.sql == "ANALYZE public.loaded;"
    assert finding(result, "public.changed").observed["modified_since_analyze"] == 14_999
    assert finding(result, "public.parent").observed["autovacuum"] == "never analyses a partitioned table as a whole"
    assert finding(result, "public.manual").observed["autovacuum"] == "off for it"


def test_rows_loaded_and_analysed_by_one_session(database: Database) -> None:
    database.execute("CREATE TABLE loaded (id int); INSERT INTO loaded " + ROWS, "ANALYZE")

    assert examine(database, "plans.never-analyzed").outcome is Outcome.PASSED


def test_a_counter_reset_is_no_missing_analyze(database: Database) -> None:
    database.execute("CREATE TABLE known (id int); INSERT INTO known " + ROWS, "ANALYZE")
    database.execute("SELECT pg_stat_reset()")

    assert examine(database, "plans.never-analyzed").outcome is Outcome.PASSED


def test_a_standby_cannot_tell(primary_and_standby: PrimaryAndStandby) -> None:
    result = examine(primary_and_standby.standby.dsn(), "plans.never-analyzed")

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.DATABASE_NOT_GIVEN)
