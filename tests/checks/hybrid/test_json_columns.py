from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.checks.workload import prepare, send
from tests.servers import Database

NAME = "hybrid.json-not-jsonb"
TABLES = """
    CREATE TABLE queried (id int PRIMARY KEY, payload json);
    CREATE TABLE returned (id int PRIMARY KEY, payload json, state text);
    CREATE TABLE projected (id int PRIMARY KEY, settings json);
    CREATE TABLE fine (id int PRIMARY KEY, payload jsonb);
    INSERT INTO queried SELECT i, '{"kind": "a"}' FROM generate_series(1, 100) i;
"""


def test_json_that_is_looked_into(database: Database) -> None:
    prepare(database, TABLES)
    connection = database.connect()
    send(connection, "SELECT id FROM queried WHERE payload ->> 'kind' = %s", [("a",)] * 12)
    send(connection, "SELECT settings -> 'theme' FROM projected WHERE id = %s", [(1,)] * 12)
    send(connection, "SELECT payload FROM returned WHERE state = %s", [("a",)] * 12)
    send(connection, "SELECT id FROM fine WHERE payload ->> 'kind' = %s", [("a",)] * 12)

    result = examine(database, NAME)

    assert names(result) == {"public.queried.payload", "public.returned.payload", "public.projected.settings"}
    queried = finding(result, "public.queried.payload")
    assert queried.severity is Severity.MEDIUM
    assert queried.title == "Column public.queried.payload is json, and a statement looks inside it"
    assert (queried.fix.rewrites, queried.fix.lock) == (True, "ACCESS EXCLUSIVE")
    database.execute(queried.fix.sql or "")
    assert finding(result, "public.projected.settings").severity is Severity.MEDIUM
    assert finding(result, "public.returned.payload").severity is Severity.NOTE


def test_a_habit_is_said_once(database: Database) -> None:
    prepare(database, TABLES, "".join(f"CREATE TABLE kept_{n} (id int PRIMARY KEY, payload json);" for n in range(9)))
    send(database.connect(), "SELECT id FROM queried WHERE payload ->> 'kind' = %s", [("a",)])

    result = examine(database, NAME)

    assert names(result) == {"public", "public.queried.payload"}
    habit = finding(result, "public")
    assert (habit.severity, habit.observed["number"]) == (Severity.NOTE, 11)
    assert result.unmet == 12

    database.execute("".join(f"DROP TABLE kept_{n};" for n in range(8)))
    # Two columns still in notes of their own: one by one they can be put right.
    database.execute("DROP TABLE projected")
    assert names(examine(database, NAME)) == {
        "public.queried.payload",
        "public.returned.payload",
        "public.kept_8.payload",
    }


def test_from_code_alone(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    database.execute(TABLES)
    code = repository({"jobs.py": "db.execute(\"SELECT id FROM queried WHERE payload ->> 'kind' = %s\", (kind,))\n"})

    found = finding(examine(database, NAME, code), "public.queried.payload")

    assert found.confidence is Confidence.INFERRED
    assert [(place.path, place.line) for place in found.locations] == [("jobs.py", 1)]


def test_no_documents(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")

    assert examine(database, NAME).outcome is Outcome.NOT_APPLICABLE
