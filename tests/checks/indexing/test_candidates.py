from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.indexing.candidates import candidates
from checks.indexing.proposals import Purpose, definition
from checks.indexing.write_costs import write_cost
from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE people (
        id bigint PRIMARY KEY, email text, name text, nick text, bio text, born date, tags text[], labels text[],
        seen timestamptz, team bigint, done timestamptz, code text, served text, words tsvector, meta jsonb
    );
    INSERT INTO people SELECT n, 'p' || n || '@x.org', 'name ' || n, 'nick' || n, 'bio ' || n, date '1970-01-01' + n % 9000,
        ARRAY['t' || n % 50], ARRAY['l' || n % 50], timestamptz '2026-01-01' + n * interval '1 minute', n % 2000,
        CASE WHEN n % 200 <> 0 THEN now() END, 'c' || n, 'S' || n, NULL, '{}' FROM generate_series(1, 20000) n;
    CREATE INDEX people_served ON people (lower(served));
    CREATE INDEX people_labels ON people USING gin (labels);
    CREATE TABLE small (id bigint PRIMARY KEY, email text, token text);
    INSERT INTO small SELECT n, 'e' || n FROM generate_series(1, 500) n;
    CREATE TABLE empty (id bigint PRIMARY KEY, token text, status text, team_id uuid, seen_key text);
    CREATE INDEX empty_seen ON empty (seen_key);
    CREATE TABLE pairs (a int, b int, c int, UNIQUE (a, b));
    CREATE UNIQUE INDEX pairs_partial ON pairs (c) WHERE c > 0;
"""
STATEMENTS = (
    "SELECT * FROM people WHERE lower(email) = 'x'",
    "SELECT * FROM people WHERE born::text = '1990-01-01'",
    "SELECT * FROM people WHERE tags @> ARRAY['t1']",
    "SELECT * FROM people WHERE name ILIKE '%nobody%'",
    "SELECT * FROM people WHERE to_tsvector('english', bio) @@ to_tsquery('english', 'nobody')",
    "SELECT id FROM people WHERE team = 7",
    "SELECT id FROM people WHERE team = 7 AND code = 'c7'",
    "SELECT id FROM people WHERE team = 7 ORDER BY seen LIMIT 5",
    "SELECT id FROM people WHERE done IS NULL ORDER BY id LIMIT 5",
    "SELECT id FROM people WHERE done IS NULL AND born < '1971-01-01'",
    # Served, narrowed by something else, or small:
    "SELECT * FROM people WHERE lower(served) = 's1'",
    "SELECT * FROM people WHERE labels @> ARRAY['l1']",
    "SELECT * FROM people WHERE id = 5 AND nick ILIKE '%x%'",
    "SELECT * FROM people WHERE id = 5 AND upper(nick) = 'X'",
    "SELECT * FROM small WHERE lower(email) = 'e1'",
    "SELECT * FROM people WHERE nick LIKE 'nick1%'",
)


@pytest.fixture
def people(database: Database) -> Database:
    statements = STATEMENTS if database.major >= 15 else STATEMENTS[:-1]
    database.execute(SCHEMA, "ANALYZE", "SELECT pg_stat_statements_reset()", *statements)
    return database


def test_what_the_workload_asks_for(people: Database) -> None:
    evidence = survey(people)
    found = candidates(evidence)

    assert {(one.purpose, definition(one), len(one.statements)) for one in found} == {
        (Purpose.EXPRESSION, "(lower(email))", 1),
        (Purpose.ARRAY, "USING gin (tags)", 1),
        (Purpose.PATTERN, "USING gin (name gin_trgm_ops)", 1),
        (Purpose.TEXT_SEARCH, "USING gin (to_tsvector('english', bio))", 1),
        (Purpose.FILTER, "(team, seen)", 2),
        (Purpose.FILTER, "(code)", 1),
        (Purpose.FILTER, "(born) WHERE done IS NULL", 1),
    }
    (team,) = (one for one in found if one.columns == ("team", "seen"))
    cost = write_cost(evidence, team)
    assert (cost.indexes, cost.blocks_hot) == (3, ())
    assert cost.bytes is not None
    assert 400_000 < cost.bytes < 900_000


def test_each_statement_takes_the_index_made_for_it(people: Database) -> None:
    evidence = survey(people)
    people.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for number, one in enumerate(candidates(evidence)):
        people.execute(f"CREATE INDEX made_{number} ON people {definition(one)}")
    people.execute("ANALYZE")

    assert candidates(survey(people)) == ()


def test_filters_by_expressions_and_parts(people: Database) -> None:
    evidence = survey(people)

    functions = conclude(evidence, "indexing.function-on-column")
    assert names(functions) == {"public.people.email", "public.people.born"}
    assert finding(functions, "public.people.email").fix.sql == (
        "CREATE INDEX CONCURRENTLY people_email_idx ON public.people (lower(email));"
    )
    assert finding(functions, "public.people.born").fix.sql is None
    assert names(conclude(evidence, "indexing.leading-wildcard")) == {"public.people.name"}
    assert names(conclude(evidence, "indexing.text-search-without-index")) == {"public.people.bio"}
    assert names(conclude(evidence, "indexing.wrong-index-type")) == {"public.people.tags"}


def test_what_code_looks_up(people: Database, repository: Repository) -> None:
    code = """
def look(db, value):
    db.execute("SELECT id FROM people WHERE nick = %s", (value,))
    db.execute("SELECT id FROM people WHERE id = %s AND bio = %s", (value, value))
    db.execute("SELECT id FROM small WHERE token = %s", (value,))
    db.execute("SELECT id FROM empty WHERE token = %s", (value,))
    db.execute("SELECT id FROM empty WHERE status = %s", (value,))
    db.execute("SELECT id FROM empty WHERE seen_key = %s AND team_id = %s", (value, value))
    db.execute("INSERT INTO pairs (a, b) VALUES (1, 2) ON CONFLICT (b, a) DO NOTHING")
    db.execute("INSERT INTO pairs (a, b) VALUES (1, 2) ON CONFLICT (a) DO NOTHING")
    db.execute("INSERT INTO pairs (c) VALUES (1) ON CONFLICT (c) DO UPDATE SET c = 2")
    db.execute("INSERT INTO pairs (c) VALUES (1) ON CONFLICT (c) WHERE c > 0 DO NOTHING")
    db.execute("INSERT INTO pairs (c) VALUES (1) ON CONFLICT DO NOTHING")
"""
    # Looked for by hand, or once.
    seed = """
def fill(db, value):
    db.execute("SELECT id FROM empty WHERE team_id = %s", (value,))
    db.execute("SELECT id FROM people WHERE born = %s", (value,))
"""
    evidence = survey(people, repository({"look.py": code, "app/seeds/people.py": seed, "scripts/mend.py": seed}))

    lookups = conclude(evidence, "indexing.lookup-without-index")
    assert {(found.subject.name, *found.observed["columns"], found.severity) for found in lookups.findings} == {
        ("public.people", "nick", Severity.MEDIUM),
        ("public.empty", "token", Severity.NOTE),
    }
    upserts = conclude(evidence, "indexing.upsert-without-unique-index")
    assert {tuple(found.observed["columns"]) for found in upserts.findings} == {("a",), ("c",)}
    assert upserts.of == 3


def test_rows_marked_as_deleted(database: Database) -> None:
    for table, share in (("dead", 10), ("alive", 1)):
        database.execute(
            f"CREATE TABLE {table} (id int PRIMARY KEY, team int, deleted_at timestamptz)",
            f"INSERT INTO {table} SELECT n, n, CASE WHEN n % 10 < {share - 1} THEN now() END FROM generate_series(1, 12000) n",
            f"CREATE INDEX {table}_team ON {table} (team)",
        )
    database.execute("ANALYZE", "CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()")
    database.execute(*(f"SELECT * FROM {table} WHERE team = 5 AND deleted_at IS NULL" for table in ("dead", "alive")))

    assert names(examine(database, "indexing.soft-delete-without-partial-index")) == {"public.dead.deleted_at"}


def test_no_table_marks_rows(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)")

    assert examine(database, "indexing.soft-delete-without-partial-index").outcome is Outcome.NOT_APPLICABLE


def test_a_list_of_values_leaves_no_order_behind_it(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE t (id bigint, state int, kind int, at timestamptz, done timestamptz);
        INSERT INTO t SELECT n, n % 4, n % 5, now() - n * interval '1 minute', now() - n * interval '1 hour'
            FROM generate_series(1, 40000) n;
        """,
        "ANALYZE",
        "SELECT id FROM t WHERE state = 3 ORDER BY at DESC LIMIT 10",
        "SELECT id FROM t WHERE kind IN (1, 2) ORDER BY at LIMIT 10",
        "SELECT id FROM t WHERE kind IN (1, 2) AND done < now() ORDER BY done LIMIT 10",
    )

    found = {one.columns for one in candidates(survey(database))}

    assert found == {("state", "at"), ("done",)}


def test_an_expression_that_leaves_much_is_left_alone(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE t (id bigint, email text, country text);
        INSERT INTO t SELECT n, 'E' || n, CASE WHEN n % 2 = 0 THEN 'NL' ELSE 'BE' END FROM generate_series(1, 40000) n;
        """,
        "ANALYZE",
        "SELECT id FROM t WHERE lower(country) = 'nl'",
        "SELECT id FROM t WHERE lower(email) = 'e7'",
    )

    assert [one.columns for one in candidates(survey(database))] == [("email",)]


def test_of_equal_columns_those_of_a_foreign_key_without_index_come_first(database: Database) -> None:
    database.execute(
        """CREATE EXTENSION pg_stat_statements; CREATE TABLE users (id int PRIMARY KEY);
        INSERT INTO users SELECT generate_series(1, 2000);
        CREATE TABLE audit (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, day int);
        CREATE TABLE plain (id int PRIMARY KEY, user_id int, day int);
        INSERT INTO audit SELECT n, 1 + n % 100, n % 299 FROM generate_series(1, 60000) n;
        INSERT INTO plain SELECT n, 1 + n % 100, n % 299 FROM generate_series(1, 60000) n; ANALYZE;""",
        "SELECT pg_stat_statements_reset()",
        "SELECT count(*) FROM audit WHERE day = 7 AND user_id = 5",
        "SELECT count(*) FROM plain WHERE day = 7 AND user_id = 5",
    )
    evidence = survey(database)

    assert {definition(one) for one in candidates(evidence)} == {"(user_id, day)", "(day, user_id)"}
    (key,) = conclude(evidence, "indexing.foreign-key-without-index").findings
    assert key.fix.sql is not None
    assert "(user_id, day)" in key.fix.sql
