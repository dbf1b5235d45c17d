from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Severity
from tests.checks.survey import examine
from tests.checks.workload import prepare, send
from tests.servers import Database

MESSAGES = """
    CREATE TABLE messages (id bigint PRIMARY KEY, tenant_id int, body text, created_at timestamptz);
    CREATE TABLE plans (id int PRIMARY KEY, name text);
    CREATE INDEX ON messages (tenant_id, created_at);
    INSERT INTO messages SELECT i, i % 400, 'text', now() - make_interval(secs => i) FROM generate_series(1, 20000) i;
    INSERT INTO plans SELECT i, 'p' || i FROM generate_series(1, 30) i;
"""
DEEP = "SELECT id, body FROM messages ORDER BY created_at DESC LIMIT %s OFFSET %s"


def test_offset_through_a_large_table(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(database, MESSAGES)
    connection = database.connect()
    send(connection, DEEP, [(20, page * 20) for page in range(30)])
    send(connection, "SELECT name FROM plans ORDER BY name LIMIT %s OFFSET %s", [(10, 10)] * 30)
    send(
        connection,
        "SELECT id FROM messages WHERE tenant_id = %s ORDER BY created_at LIMIT 10 OFFSET %s",
        [(3, 10)] * 30,
    )
    send(connection, "SELECT id FROM messages ORDER BY created_at DESC LIMIT %s", [(10,)] * 30)

    result = examine(database, "plans.offset-pagination", repository({"feed.py": f'db.execute("{DEEP}", (20, 40))\n'}))

    (found,) = result.findings
    assert found.title == "OFFSET pages through 20,000 rows of messages: SELECT from messages, newest first (feed.py:1)"
    assert found.confidence is Confidence.MEASURED
    assert found.observed["calls"] == 30
    assert "(created_at, <key>) <" in found.fix.summary
    assert [(place.path, place.line) for place in found.locations] == [("feed.py", 1)]


def test_code_alone_says_little(repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    code = repository(
        {
            "feed.py": 'db.execute("SELECT id, body FROM messages ORDER BY id LIMIT %s OFFSET %s", (20, 40))\n',
            "all.py": 'db.execute("SELECT id, body FROM messages ORDER BY id LIMIT %s", (20,))\n',
        }
    )

    result = examine(None, "plans.offset-pagination", code)

    (found,) = result.findings
    assert found.subject.path == ("feed.py", "1")
    assert (found.severity, found.confidence) == (Severity.LOW, Confidence.INFERRED)


def test_the_pages_of_a_statement_are_those_of_the_table_that_it_begins_with(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(database, MESSAGES)
    looks_into = "SELECT id, (SELECT count(*) FROM messages) FROM plans p ORDER BY name LIMIT %s OFFSET %s"
    joins = "SELECT p.id, m.body FROM plans p JOIN messages m ON m.id = p.id ORDER BY p.id LIMIT %s OFFSET %s"
    through = "SELECT m.id, p.name FROM messages m JOIN plans p ON p.id = m.tenant_id ORDER BY m.id LIMIT %s OFFSET %s"
    elsewhere = "SELECT id FROM events_of_clickhouse ORDER BY id LIMIT %s OFFSET %s"
    lines = (f'db.execute("{text}", (20, 40))\n' for text in (looks_into, joins, through, elsewhere))

    result = examine(database, "plans.offset-pagination", repository({"feed.py": "".join(lines)}))

    (found,) = result.findings
    assert found.subject.path == ("feed.py", "3")
    assert found.observed["table"] == "public.messages"


def test_what_code_chooses_and_sorts_in_two_directions(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(database, MESSAGES)
    code = """
async def page(conn, where, limit, offset):
    await conn.fetch(f"SELECT id FROM messages {where} ORDER BY created_at DESC, id LIMIT {limit} OFFSET {offset}")
    await conn.fetch("SELECT body FROM messages WHERE body = $1 ORDER BY created_at DESC LIMIT 9 OFFSET $2", limit, offset)
"""

    result = examine(database, "plans.offset-pagination", repository({"feed.py": code}))

    chosen, sorted_by_one = sorted(result.findings, key=lambda found: found.locations[0].line)
    assert chosen.title.startswith("OFFSET pages through those of the 20,000 rows of messages that code chooses: ")
    assert chosen.observed["rows_to_page"] is None
    assert "different directions" in chosen.fix.summary
    assert "(created_at DESC, id)" in chosen.fix.summary
    assert sorted_by_one.title.startswith("OFFSET pages through 20,000 rows of messages: ")
    assert (
        "WHERE (created_at, <key>) < (<those of the last row>) ORDER BY created_at DESC, <key> DESC LIMIT"
        in sorted_by_one.fix.summary
    )
