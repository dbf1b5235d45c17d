"""What the workload runs stands in the application's code, and pg_stat_statements has it."""

from __future__ import annotations

import psycopg
import pytest

from checks.evidence.database.facts import Statements
from checks.evidence.observe import Target, observe
from checks.evidence.repository.facts import Repository
from tests.tui.demo.truth import same_statement
from tui.demo.launch import Demo
from tui.demo.statements import APPLICATION, SOURCES, statement


@pytest.mark.parametrize("name", SOURCES)
def test_each_statement_stands_in_the_code(name: str) -> None:
    found, source = statement(name), SOURCES[name]
    lines = (APPLICATION / found.path).read_text("utf-8").splitlines()
    if source.generated is not None:
        assert source.anchor in lines[found.line - 1]
        return
    code = " ".join(" ".join(lines[found.line - 1 :]).split())
    first_words = " ".join(found.text.split("$")[0].split())
    assert len(first_words) > 10
    assert 0 <= code.find(first_words) < 60


def test_the_server_takes_what_the_orm_sends(demo: Demo) -> None:
    for name, source in SOURCES.items():
        if source.generated is None:
            continue
        with psycopg.connect(demo.server.dsn("deskhand", "assistant_api"), autocommit=True) as connection:
            plan = connection.execute(f"EXPLAIN (GENERIC_PLAN) {source.generated}".encode()).fetchall()
            assert plan, name


def test_the_server_knows_the_statements_of_the_code(demo: Demo) -> None:
    with psycopg.connect(demo.dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT query FROM pg_stat_statements").fetchall()
    missing = [
        name
        for name, source in SOURCES.items()
        if (demo.vectors or not source.vectors)
        and not any(same_statement(text, statement(name).text) for (text,) in rows)
    ]
    assert missing == []


def test_statements_that_ran_are_matched_to_their_lines(demo: Demo) -> None:
    evidence = observe(Target(dsn=demo.dsn, repository=demo.repository)).evidence
    texts = {entry.query_id: entry.text for entry in evidence.get(Statements).entries}
    places: dict[str, set[tuple[str, int]]] = {}
    for match in evidence.get(Repository).matches:
        places.setdefault(match.query_id, set()).add((match.location.path, match.location.line))
    ran = right = 0
    wrong = []
    for name in SOURCES:
        found = statement(name)
        ids = [query_id for query_id, text in texts.items() if same_statement(text, found.text)]
        if ids:
            ran += 1
            # Its call may begin a line before the statement; of what the ORM writes, the truth names the function around.
            reach = 1 if SOURCES[name].generated is None else 40
            lines = [line for query_id in ids for path, line in places.get(query_id, ()) if path == found.path]
            matched = any(found.line <= line <= found.line + reach for line in lines)
            right += matched
            wrong += [] if matched else [(name, found.path, found.line, [places.get(query_id) for query_id in ids])]
    assert ran > 50
    assert right >= 0.95 * ran, wrong


def test_statements_come_from_the_roles_of_the_application(demo: Demo) -> None:
    with psycopg.connect(demo.dsn, autocommit=True) as connection:
        calls = dict(
            connection.execute(
                "SELECT r.rolname, sum(s.calls)::bigint FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid"
                " WHERE r.rolname LIKE 'assistant%' GROUP BY 1"
            ).fetchall()
        )
    assert calls["assistant_api"] > calls["assistant_worker"] > calls["assistant_owner"] > 0
