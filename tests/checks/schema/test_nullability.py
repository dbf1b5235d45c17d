from __future__ import annotations

import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SCHEMA = """
    CREATE TABLE teams (id int PRIMARY KEY, active boolean NOT NULL DEFAULT true);
    CREATE TABLE loose (id int PRIMARY KEY, a text, b text, c int, d int);
    CREATE TABLE small (id int PRIMARY KEY, a text, b text);
    CREATE TABLE members (
        id int PRIMARY KEY,
        team_id int REFERENCES teams ON DELETE CASCADE,
        gone_team_id int REFERENCES teams ON DELETE SET NULL,
        name text NOT NULL,
        external_id text,
        admin boolean DEFAULT false,
        answer boolean,
        nick text DEFAULT 'NULL',
        word text DEFAULT 'none',
        CONSTRAINT once_per_team UNIQUE (team_id, name),
        CONSTRAINT optional_value UNIQUE (name, external_id),
        CONSTRAINT parent_gone UNIQUE (gone_team_id, name)
    );
    CREATE TABLE guarded (
        id int PRIMARY KEY, team_id int REFERENCES teams, name text NOT NULL, CONSTRAINT guarded_once UNIQUE (team_id, name)
    );
    CREATE TABLE pairs (a int, b int, c text, d text, e text, f text, PRIMARY KEY (a, b));
    CREATE TABLE rules (
        id int PRIMARY KEY, team_id int NOT NULL REFERENCES teams, template_id int REFERENCES guarded ON DELETE CASCADE,
        CONSTRAINT optional_reference UNIQUE (team_id, template_id)
    );
    CREATE UNIQUE INDEX guarded_global ON guarded (name) WHERE team_id IS NULL;
    CREATE UNIQUE INDEX guarded_partial ON guarded (name, team_id) WHERE team_id IS NOT NULL;
"""


def test_what_may_be_null_and_should_not(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)

    assert names(conclude(evidence, "schema.all-columns-nullable")) == {"public.loose"}
    assert names(conclude(evidence, "schema.nullable-boolean")) == {"public.members.admin"}
    assert names(conclude(evidence, "schema.default-is-null-text")) == {"public.members.nick"}
    unique = conclude(evidence, "schema.unique-over-nullable")
    assert names(unique) == {"public.once_per_team"}
    assert finding(unique, "public.once_per_team").severity is Severity.MEDIUM


def test_the_fixes_run(database: Database) -> None:
    database.execute(SCHEMA)

    for name in ("all-columns-nullable", "nullable-boolean", "default-is-null-text", "unique-over-nullable"):
        for found in examine(database, f"schema.{name}").findings:
            assert found.fix.sql is not None
            for statement in found.fix.sql.split(";\n"):
                database.execute(statement)

    evidence = survey(database)
    for name in ("nullable-boolean", "default-is-null-text"):
        assert conclude(evidence, f"schema.{name}").outcome is Outcome.PASSED


@pytest.mark.since(15)
def test_nulls_that_are_not_distinct(database: Database) -> None:
    database.execute(
        """CREATE TABLE teams (id int PRIMARY KEY);
        CREATE TABLE members (
            id int PRIMARY KEY, team_id int REFERENCES teams, name text NOT NULL, UNIQUE NULLS NOT DISTINCT (team_id, name)
        )"""
    )

    assert examine(database, "schema.unique-over-nullable").outcome is Outcome.PASSED


def test_columns_that_are_always_null(database: Database) -> None:
    database.execute(
        """CREATE TABLE full_of_nothing (id int PRIMARY KEY, never text, sometimes text, deleted_at timestamptz, twice int);
        INSERT INTO full_of_nothing SELECT n, NULL, CASE WHEN n = 7 THEN 'x' END, NULL, NULL FROM generate_series(1, 2000) n;
        CREATE TABLE new (id int PRIMARY KEY, never text); INSERT INTO new VALUES (1);
        ANALYZE"""
    )

    result = examine(database, "schema.always-null-column")

    assert names(result) == {"public.full_of_nothing"}
    assert finding(result, "public.full_of_nothing").observed["columns"] == ["never", "twice"]
    assert (result.examined, result.of) == (1, 1)
