from __future__ import annotations

from checks.model import Outcome, Reason, Severity
from tests.checks.schema.counted import wait_for
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

NO_WINDOW = {"window_days": 0}


def test_tables_that_nobody_reads(database: Database) -> None:
    database.execute(
        """CREATE TABLE never_read (id int); INSERT INTO never_read SELECT generate_series(1, 100);
        CREATE TABLE empty (id int PRIMARY KEY); CREATE TABLE seen_ids (id text PRIMARY KEY); INSERT INTO seen_ids VALUES ('a');
        CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1);
        CREATE TABLE children (parent_id int REFERENCES parents);
        CREATE TABLE looked_up (id int PRIMARY KEY); INSERT INTO looked_up SELECT generate_series(1, 1000); ANALYZE""",
        "SET enable_seqscan = off; SELECT FROM looked_up WHERE id = 5; INSERT INTO looked_up VALUES (2000)",
    )
    wait_for(database, "relname = 'looked_up' AND idx_scan > 0 AND n_tup_ins > 1000")

    result = examine(database, "schema.unused-table", limits=NO_WINDOW)

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.never_read": Severity.LOW,
        "public.empty": Severity.NOTE,
        "public.children": Severity.NOTE,
    }
    fix = finding(result, "public.never_read").fix
    assert fix.sql is not None
    assert fix.undo is not None
    database.execute(fix.sql, fix.undo)
    assert examine(database, "schema.unused-table").reason is Reason.WINDOW_TOO_SHORT


def test_inheriting_unlogged_and_hardly_tables(database: Database) -> None:
    database.execute(
        """CREATE TABLE base (id int PRIMARY KEY, made timestamptz); CREATE TABLE derived (extra int) INHERITS (base);
        CREATE TABLE parted (id int, made date) PARTITION BY RANGE (id);
        CREATE UNLOGGED TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (10);
        CREATE UNLOGGED TABLE totals (id int PRIMARY KEY, n int);
        CREATE UNLOGGED TABLE embedding_cache (id int PRIMARY KEY, n int);
        CREATE TABLE nothing (); CREATE TABLE one (value text); CREATE TABLE listed (value text PRIMARY KEY);
        CREATE TABLE listing (id int, value text REFERENCES listed, at date)"""
    )
    evidence = survey(database)

    assert names(conclude(evidence, "schema.table-inheritance")) == {"public.base"}
    unlogged = conclude(evidence, "schema.unlogged-table")
    assert {found.subject.name: found.severity for found in unlogged.findings} == {
        "public.totals": Severity.LOW,
        "public.embedding_cache": Severity.NOTE,
        "public.parted": Severity.LOW,
    }
    assert names(conclude(evidence, "schema.hardly-a-table")) == {"public.nothing", "public.one"}
    for found in unlogged.findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "schema.unlogged-table").outcome is Outcome.PASSED


def test_habits_that_are_matters_of_style(database: Database) -> None:
    database.execute(
        """CREATE TABLE timeless (id int PRIMARY KEY, a text, b text);
        CREATE TABLE timed (id int PRIMARY KEY, a text, at timestamptz);
        CREATE TABLE padded (a boolean, b bigint, c boolean, d bigint, at date, e text);
        CREATE TABLE packed (b bigint, d bigint, at date, a boolean, c boolean, e text);
        INSERT INTO padded SELECT true, 1, true, 1 FROM generate_series(1, 1000);
        INSERT INTO packed SELECT 1, 1 FROM generate_series(1, 1000); ANALYZE"""
    )

    assert names(examine(database, "schema.no-audit-timestamps")) == {"public.timeless"}
    padding = examine(database, "schema.alignment-padding", limits={"padding_bytes": 1000})
    assert names(padding) == {"public.padded"}
    assert finding(padding, "public.padded").observed["bytes_per_row"] == 16
