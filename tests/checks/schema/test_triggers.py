from __future__ import annotations

from checks.model import Outcome, Reason
from tests.checks.schema.counted import wait_for
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TABLE t (id int PRIMARY KEY);
    CREATE TRIGGER off AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER busy AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER changes BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER once AFTER INSERT ON t EXECUTE FUNCTION note();
    CREATE TRIGGER on_replicas AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
    ALTER TABLE t DISABLE TRIGGER off, ENABLE REPLICA TRIGGER on_replicas;
    INSERT INTO t SELECT generate_series(1, 500);
"""


def test_triggers_that_are_off(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.disabled-trigger")

    assert names(result) == {"public.t.off"}
    assert (result.examined, result.of) == (5, 5)
    fix = finding(result, "public.t.off").fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.disabled-trigger").outcome is Outcome.PASSED


def test_triggers_for_each_row_of_a_busy_table(database: Database) -> None:
    database.execute(SCHEMA)

    wait_for(database, "n_tup_ins = 500")
    limits = {"window_days": 0.0, "busy_trigger_rows_per_day": 400}
    assert names(examine(database, "schema.row-trigger-on-busy-table", limits=limits)) == {"public.t.busy"}
    assert examine(database, "schema.row-trigger-on-busy-table", limits={"window_days": 0.0}).outcome is Outcome.PASSED
    assert examine(database, "schema.row-trigger-on-busy-table").reason is Reason.WINDOW_TOO_SHORT


def test_no_trigger(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")

    assert examine(database, "schema.disabled-trigger").outcome is Outcome.NOT_APPLICABLE
