from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from checks.evidence.database.facts import Rates, Server, StatementRate, Statements
from checks.model import Confidence, Outcome, Reason, Severity
from checks.workload import counted_days
from tests.checks.survey import conclude, examine, survey
from tests.checks.workload import NO_WINDOW, prepare, send
from tests.servers import Database

CHAT = """
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
    CREATE TABLE conversations (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
    CREATE TABLE messages (id bigint PRIMARY KEY, conversation_id bigint NOT NULL REFERENCES conversations, body text);
    CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
    CREATE INDEX ON conversations (user_id);
    CREATE INDEX ON messages (conversation_id);
    INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 50) i;
    INSERT INTO conversations SELECT i, i % 50 + 1 FROM generate_series(1, 500) i;
    INSERT INTO messages SELECT i, i % 500 + 1, repeat('text ', 10) FROM generate_series(1, 20000) i;
"""
LIST = "SELECT id FROM conversations WHERE user_id = %s ORDER BY id"
LAST_MESSAGE = "SELECT body FROM messages WHERE conversation_id = %s ORDER BY id DESC LIMIT 1"
LOOKUP = "SELECT email FROM users WHERE id = %s"


def test_lookups_for_each_row_of_a_list(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(database, CHAT)
    connection = database.connect()
    listed = send(connection, LIST, [(user,) for user in range(1, 41)])
    assert len(listed) == 400
    send(connection, LAST_MESSAGE, listed)
    send(connection, LOOKUP, [(1,)] * 300)
    send(connection, "SELECT 1", [()] * 3000)
    send(connection, "INSERT INTO events (name) VALUES (%s)", [("opened",)] * 1000)
    code = repository({"app/inbox.py": f'def inbox(db, user):\n    return db.execute("{LIST}", (user,))\n\ndef last(db, row):\n'
                       f'    return db.execute("{LAST_MESSAGE}", (row[0],))\n'})  # fmt: skip

    result = examine(
        database,
        "plans.chatty-statement",
        code,
        limits={**NO_WINDOW, "chatty_calls_min": 250, "chatty_calls_per_s": 1e9},
    )

    (found,) = result.findings
    assert "messages by conversation_id" in found.title
    assert "10 times for each SELECT from conversations by user_id" in found.title
    assert found.observed["calls"] == 400
    assert found.observed["calls_per_list"] == 10
    assert found.confidence is Confidence.INFERRED
    assert ("app/inbox.py", 5) in [(place.path, place.line) for place in found.locations]


def test_a_lookup_that_is_most_of_all_calls_has_no_list_to_blame(database: Database) -> None:
    prepare(database, CHAT)
    send(database.connect(), LOOKUP, [(number % 50 + 1,) for number in range(1500)])

    result = examine(database, "plans.chatty-statement", limits=NO_WINDOW)

    (found,) = result.findings
    assert found.severity is Severity.LOW
    assert "users by id" in found.title


def test_one_statement_dominates(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    prepare(database, CHAT)
    heavy = "SELECT count(*) FROM messages WHERE md5(body || id) < %s"
    connection = database.connect()
    send(connection, heavy, [("8",)] * 40)
    send(connection, LOOKUP, [(7,)] * 100)
    database.execute("CREATE INDEX ON messages (md5(repeat(body, 200)))")
    code = repository({"report.py": f'db.execute("{heavy}", ("8",))\n'})
    evidence = survey(database, code, limits={**NO_WINDOW, "dominant_total_ms": 10, "dominant_share": 0.2})

    result = conclude(evidence, "plans.dominant-statement")

    (found,) = result.findings
    assert found.title.startswith("SELECT aggregate from messages")
    assert found.observed["share"] >= 0.2
    assert found.observed["calls"] == 40
    assert "report.py:1" in found.title


def test_a_watched_statement_tells_how_it_runs_now(database: Database) -> None:
    prepare(database, CHAT)
    heavy = "SELECT count(*) FROM messages WHERE md5(body || id) < %s"
    send(database.connect(), heavy, [("8",)] * 40)
    evidence = survey(database, limits={**NO_WINDOW, "dominant_total_ms": 10, "dominant_share": 0.2})
    since = evidence.get(Server).observed_at - dt.timedelta(days=30)
    statements = msgspec.structs.replace(evidence.get(Statements), since=since)
    evidence = msgspec.structs.replace(evidence, statements=statements)
    (quiet,) = conclude(evidence, "plans.dominant-statement").findings
    assert quiet.severity is Severity.LOW

    rate = StatementRate(quiet.subject.path[0], calls_per_s=20.0, ms_per_s=900.0)
    busy = msgspec.structs.replace(evidence, rates=Rates(10.0, calls_per_s=20.0, statements=(rate,)))
    (found,) = conclude(busy, "plans.dominant-statement").findings

    assert found.severity is not Severity.LOW
    assert (found.observed["busy_cores"], found.observed["watched_calls_per_s"]) == (0.9, 20.0)
    assert found.observed["watched_mean_ms"] == 45.0
    nothing = msgspec.structs.replace(evidence, rates=Rates(10.0, calls_per_s=0.0))
    (idle,) = conclude(nothing, "plans.dominant-statement").findings
    assert idle.observed["watched_calls_per_s"] == 0.0


def test_a_role_that_may_not_see_the_statements(database: Database) -> None:
    prepare(database, CHAT)
    send(database.connect(), LOOKUP, [(7,)] * 100)
    role = f"blind_{uuid.uuid4().hex[:8]}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    try:
        evidence = survey(database.server.dsn(database.name, role), limits=NO_WINDOW)
    finally:
        database.execute(f"DROP ROLE {role}")

    for name in (
        "dominant-statement",
        "chatty-statement",
        "offset-pagination",
        "select-star",
        "wasteful-sequential-scan",
    ):
        result = conclude(evidence, f"plans.{name}")
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)
        assert result.unlock == f"GRANT pg_read_all_stats TO {role};"


def test_nothing_is_said_of_statistics_that_are_young(database: Database) -> None:
    prepare(database, CHAT)
    send(database.connect(), LOOKUP, [(7,)] * 100)

    for name in ("plans.dominant-statement", "plans.chatty-statement"):
        result = examine(database, name)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.WINDOW_TOO_SHORT)
        assert "window_days" in (result.unlock or "")


def test_counters_that_outlived_a_restart_are_divided_by_their_own_age(database: Database) -> None:
    prepare(database, "CREATE TABLE kept (id int)")
    send(database.connect(), "SELECT id FROM kept WHERE id = %s", [(1,)] * 3)
    evidence = survey(database, limits=NO_WINDOW)
    server, statements = evidence.get(Server), evidence.get(Statements)
    restarted = msgspec.structs.replace(
        evidence,
        server=msgspec.structs.replace(server, started_at=server.observed_at - dt.timedelta(seconds=1)),
        statements=msgspec.structs.replace(statements, since=server.observed_at - dt.timedelta(days=40)),
    )
    assert counted_days(restarted, "window_days") == 40


def test_among_very_many_statements_a_ratio_near_one_is_chance(database: Database) -> None:
    prepare(database, CHAT)
    connection = database.connect()
    # Twelve lists of conversations and three lookups: 36 pairs, in which a ratio that is off by 4 % says nothing.
    for number in range(12):
        listing = f"SELECT id FROM conversations WHERE user_id = %s ORDER BY id{' + id' * number}"
        send(connection, listing, [(user,) for user in range(1, 3 + 2 * number)])
    for column in ("body", "id", "conversation_id"):
        lookup = f"SELECT {column} FROM messages WHERE conversation_id = %s ORDER BY id LIMIT 1"
        send(connection, lookup, [(number,) for number in range(1, 212)])

    result = examine(database, "plans.chatty-statement", limits={**NO_WINDOW, "chatty_calls_min": 100})

    assert result.findings == ()
