from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

SCHEMA = """
    CREATE TABLE posts (id bigint PRIMARY KEY, author_id bigint NOT NULL, reviewer_id bigint, title text);
    CREATE TABLE authors (id bigint PRIMARY KEY, name text);
    CREATE TABLE settings (id int PRIMARY KEY, theme text);
    INSERT INTO posts SELECT n, n % 90, n, 't' FROM generate_series(1, 20000) n;
    INSERT INTO authors SELECT n, 'a' FROM generate_series(1, 90) n;
    INSERT INTO settings VALUES (1, 'dark');
"""
JOINED = "FROM posts a " + " ".join(f"JOIN authors b{n} ON b{n}.id = a.author_id" for n in range(7))
FEWER = "FROM posts a " + " ".join(f"JOIN authors b{n} ON b{n}.id = a.author_id" for n in range(6))
# Of each check, the statements that it must name, and those beside them that it must not.
CASES: dict[str, tuple[list[str], list[str]]] = {
    "insert-without-columns": (
        ["INSERT INTO authors VALUES (%s, %s)"],
        ["INSERT INTO authors (id, name) VALUES (%s, %s)", "INSERT INTO authors DEFAULT VALUES"],
    ),
    "order-by-random": (
        ["SELECT id FROM posts ORDER BY random() LIMIT 3"],
        [
            "SELECT id FROM authors ORDER BY random() LIMIT 3",
            "SELECT random(), id FROM posts ORDER BY id LIMIT 3",
            "SELECT 'ORDER BY random()', id FROM posts WHERE id = 1",
        ],
    ),
    "over-complex-statement": ([f"SELECT a.id {JOINED}"], [f"SELECT a.id {FEWER}"]),
    "null-comparison": (
        [
            "SELECT id FROM posts WHERE reviewer_id = NULL",
            "SELECT id FROM authors WHERE id NOT IN (SELECT reviewer_id FROM posts)",
        ],
        [
            "SELECT id FROM posts WHERE reviewer_id IS NULL",
            "UPDATE posts SET reviewer_id = NULL WHERE id = %s",
            "SELECT id FROM authors WHERE id NOT IN (SELECT author_id FROM posts)",
            "SELECT id FROM authors WHERE id NOT IN (SELECT reviewer_id FROM posts WHERE reviewer_id IS NOT NULL)",
            "SELECT id FROM authors WHERE id IN (SELECT reviewer_id FROM posts)",
        ],
    ),
    "join-without-condition": (
        ["SELECT p.id FROM posts p, authors a WHERE p.id = %s"],
        [
            "SELECT p.id FROM posts p, authors a WHERE p.author_id = a.id",
            "SELECT p.id FROM posts p, authors a WHERE author_id = a.id AND title = %s",
            "SELECT p.id FROM posts p, settings s WHERE p.id = %s",
            "SELECT p.id FROM posts p, authors a WHERE p.id = %s AND a.id = %s",
            "SELECT p.id FROM posts p CROSS JOIN authors a",
            "SELECT p.id FROM posts p, unnest(p.title) t",
        ],
    ),
    "order-assumed": (
        ["SELECT id FROM posts LIMIT 20 OFFSET %s", "SELECT DISTINCT ON (author_id) author_id, id FROM posts"],
        [
            "SELECT id FROM posts ORDER BY id LIMIT 20 OFFSET %s",
            "SELECT id FROM posts LIMIT 20",
            "SELECT DISTINCT author_id FROM posts",
            "SELECT DISTINCT ON (author_id) author_id, id FROM posts ORDER BY author_id, id DESC",
        ],
    ),
    "unbounded-read": (
        ["SELECT id, title FROM posts"],
        [
            "SELECT id, title FROM authors",
            "SELECT id FROM posts WHERE author_id = %s",
            "SELECT count(*) FROM posts",
            "SELECT author_id FROM posts GROUP BY author_id",
            "SELECT id FROM posts ORDER BY id LIMIT 5",
        ],
    ),
}  # fmt: skip


def _code(statements: list[str]) -> str:
    body = "".join(f'    connection.execute("{statement}", ())\n' for statement in statements)
    return f"import psycopg\n\ndef f(connection):\n{body}"


@pytest.mark.parametrize("name", CASES)
def test_mistakes_in_the_text_of_statements(database: Database, repository: Repository, name: str) -> None:
    prepare(database, SCHEMA)
    defects, traps = CASES[name]
    files = {"app/defects.py": _code(defects), "app/traps.py": _code(traps), "tests/test_a.py": _code(defects)}
    evidence = survey(database, repository(files))

    result = conclude(evidence, f"plans.{name}")

    found = [(place.path, place.line) for entry in result.findings for place in entry.locations]
    assert sorted(found) == [("app/defects.py", line) for line in range(4, 4 + len(defects))], [
        entry.title for entry in result.findings
    ]
    assert {entry.confidence for entry in result.findings} == {Confidence.INFERRED}
    assert conclude(survey(database, repository({"a.py": _code(traps)})), f"plans.{name}").outcome is Outcome.PASSED


def test_what_ran_without_its_code(database: Database) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    send(connection, "SELECT p.id FROM posts p, authors a WHERE p.id = %s", [(5,)] * 6)
    send(connection, "SELECT p.title FROM posts p, authors a WHERE p.id = %s", [(5,)])

    (found,) = conclude(survey(database), "plans.join-without-condition").findings

    assert (found.confidence, found.severity) == (Confidence.MEASURED, Severity.MEDIUM)
    assert found.observed["calls"] == 6
    assert found.title == "SELECT from posts with authors by id pairs every row with every row of authors"


def test_statements_for_another_server_are_not_judged(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    database.execute("CREATE TABLE authors (id int, name text)")
    code = repository(
        {
            "a.py": 'clickhouse.command("INSERT INTO resolved_state SELECT user_id, toDateTime64(at, 3) FROM events_v2")\n'
            'db.execute("INSERT INTO authors SELECT id, name FROM not_yet_migrated")\n'
        }
    )

    (found,) = examine(database, "plans.insert-without-columns", code).findings

    assert found.subject.path == ("a.py", "2")
