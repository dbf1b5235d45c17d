from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Outcome, Reason, Severity
from tests.checks.survey import conclude, examine, survey
from tests.checks.workload import NO_WINDOW, prepare, send
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

SCHEMA = """
    CREATE TABLE authors (id bigint PRIMARY KEY, name text);
    CREATE TABLE posts (id bigint PRIMARY KEY, author_id bigint REFERENCES authors, title text, embedding float8[]);
    INSERT INTO authors SELECT n, 'a' || n FROM generate_series(1, 400) n;
    INSERT INTO posts SELECT n, n % 400 + 1, 't' || n FROM generate_series(1, 8000) n;
"""
BLOG = """\
import psycopg

def page(connection, start):
    posts = connection.execute("SELECT id, author_id, title FROM posts WHERE id > %s ORDER BY id LIMIT 20", (start,)).fetchall()
    found = []
    for post in posts:
        found.append(connection.execute("SELECT name FROM authors WHERE id = %s", (post[1],)).fetchone())
    return found
"""
TRAPS = """\
import psycopg

def in_batches(connection, ids):
    for batch in batches(ids, 100):
        connection.execute("SELECT title FROM posts WHERE id = ANY(%s)", (batch,))

def once(connection, ids):
    return connection.execute("SELECT title FROM posts WHERE id = ANY(%s)", (ids,)).fetchall()

def locked(connection, ids):
    for key in ids:
        connection.execute("SELECT title FROM posts WHERE id = %s FOR UPDATE", (key,))

def of_another_database(connection, names):
    for name in names:
        connection.execute("SELECT data_type FROM information_schema.columns WHERE column_name = %s", (name,))
"""
WRITES = """\
import psycopg

def load(connection, rows):
    for row in rows:
        connection.execute("INSERT INTO authors (id, name) VALUES (%s, %s)", row)

def load_at_once(connection, rows):
    connection.cursor().executemany("INSERT INTO authors (id, name) VALUES (%s, %s)", rows)
"""


def test_a_query_in_a_loop_that_a_driver_really_sent(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    for start in range(0, 1200, 20):
        posts = send(
            connection, "SELECT id, author_id, title FROM posts WHERE id > %s ORDER BY id LIMIT 20", [(start,)]
        )
        for post in posts:
            send(connection, "SELECT name FROM authors WHERE id = %s", [(post[1],)])
    evidence = survey(database, repository({"app/blog.py": BLOG, "app/traps.py": TRAPS}), limits=NO_WINDOW)

    (found,) = conclude(evidence, "plans.n-plus-one").findings

    assert (found.subject.path, found.confidence, found.severity) == (
        ("app/blog.py",),
        Confidence.MEASURED,
        Severity.HIGH,
    )
    assert found.title.startswith("A loop sends SELECT from authors by id 20 times for each SELECT from posts")
    assert found.observed["calls_per_list"] == 20
    assert (found.locations[0].path, found.locations[0].line) == ("app/blog.py", 7)
    assert conclude(evidence, "plans.chatty-statement").findings == ()


def test_a_query_in_a_loop_that_never_ran(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)

    result = examine(database, "plans.n-plus-one", repository({"app/blog.py": BLOG, "app/traps.py": TRAPS}))

    (found,) = result.findings
    assert (found.subject.path, found.confidence, found.severity) == (
        ("app/blog.py",),
        Confidence.INFERRED,
        Severity.MEDIUM,
    )
    assert found.title == "A loop sends SELECT from authors by id for each element (app/blog.py:7)"
    assert examine(database, "plans.n-plus-one", repository({"t.py": TRAPS})).outcome is Outcome.PASSED
    assert examine(database, "plans.n-plus-one", repository({"README.md": "x"})).outcome is Outcome.NOT_APPLICABLE
    go = 'package a\nfunc f() { db.Query("SELECT name FROM authors WHERE id = $1", 1) }\n'
    assert examine(database, "plans.n-plus-one", repository({"a.go": go})).reason is Reason.NOT_PARSED


def test_rows_inserted_one_by_one(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)

    (found,) = examine(database, "plans.row-by-row-insert", repository({"app/load.py": WRITES})).findings

    assert found.title == "Rows of authors are inserted one by one in a loop (app/load.py:5)"
    assert found.severity is Severity.LOW
    assert found.observed["tables"] == ["authors"]


def test_a_loop_that_does_more_for_each_row_than_to_insert_it_is_a_note(repository: Repository) -> None:
    code = repository(
        {
            "app/plain.py": "def load(connection, rows):\n    for row in rows:\n"
            '        connection.execute("INSERT INTO authors (id, name) VALUES (%s, %s)", row)\n',
            "app/work.py": "def load(connection, rows):\n    for row in rows:\n"
            '        connection.execute("UPDATE posts SET title = %s WHERE id = %s", row)\n'
            '        connection.execute("INSERT INTO authors (id, name) VALUES (%s, %s)", row)\n',
            "app/pair.py": "def pair(connection, source, target):\n    for key in [source, of(target)]:\n"
            '        connection.execute("SELECT name FROM authors WHERE id = %s", (key,))\n',
        }
    )

    result = examine(None, "plans.row-by-row-insert", code)

    assert {found.subject.name: found.severity for found in result.findings} == {
        "app/plain.py": Severity.LOW,
        "app/work.py": Severity.NOTE,
    }
    assert not examine(None, "plans.n-plus-one", code).findings


def test_a_look_before_each_insert_is_told_with_the_insert(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)
    code = repository(
        {
            "app/fill.py": "def fill(connection, rows):\n    for row in rows:\n"
            '        if not connection.execute("SELECT name FROM authors WHERE id = %s", (row[0],)).fetchone():\n'
            '            connection.execute("INSERT INTO authors (id, name) VALUES (%s, %s)", row)\n',
            "app/other.py": "def post(connection, rows):\n    for row in rows:\n"
            '        connection.execute("SELECT name FROM authors WHERE id = %s", (row[0],))\n'
            '        connection.execute("INSERT INTO posts (id, author_id) VALUES (%s, %s)", row)\n',
        }
    )

    lookups = examine(database, "plans.n-plus-one", code)
    inserts = examine(database, "plans.row-by-row-insert", code)

    assert [found.subject.name for found in lookups.findings] == ["app/other.py"]
    assert {found.subject.name for found in inserts.findings} == {"app/fill.py", "app/other.py"}
