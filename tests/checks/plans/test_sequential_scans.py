from __future__ import annotations

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import examine
from tests.checks.workload import flush, prepare, send
from tests.servers import Database

TICKETS = """
    CREATE TABLE tickets (id bigint PRIMARY KEY, status text, sender text, body text, done boolean);
    CREATE TABLE queues (id int PRIMARY KEY, name text);
    CREATE TABLE log (id bigint, day date NOT NULL, code int) PARTITION BY RANGE (day);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO tickets SELECT i, 's' || i % 40, 'u' || i % 40, repeat('x', 80), i % 2 = 0 FROM generate_series(1, 40000) i;
    INSERT INTO queues SELECT i, 'q' || i FROM generate_series(1, 300) i;
    INSERT INTO log SELECT i, date '2026-01-01' + i % 58, i % 500 FROM generate_series(1, 30000) i;
"""


def test_scans_that_throw_most_rows_away(database: Database) -> None:
    prepare(database, TICKETS)
    connection = database.connect()
    send(connection, "SELECT id FROM tickets WHERE status = %s ORDER BY body LIMIT 20", [("s1",)] * 30)
    send(connection, "SELECT id FROM log WHERE code = %s", [(7,)] * 30)
    traps = {
        "SELECT body FROM tickets WHERE id = %s": [(5,)] * 30,
        "SELECT id FROM queues WHERE name = %s": [("q1",)] * 30,
        "SELECT count(*) FROM tickets": [()] * 30,
        "SELECT count(*) FROM tickets WHERE done = %s": [(True,)] * 30,
        "SELECT id FROM tickets WHERE sender = %s LIMIT 5": [("u1",)] * 30,
    }
    for statement, parameters in traps.items():
        send(connection, statement, parameters)

    result = examine(database, "plans.wasteful-sequential-scan")

    found = {entry.observed["table"]: entry for entry in result.findings}
    assert set(found) == {"public.tickets", "public.log"}, [entry.title for entry in result.findings]
    assert len(result.findings) == 2
    tickets = found["public.tickets"]
    assert tickets.title.startswith("SELECT from tickets by status, sorted by body, reads")
    assert "all 40,000 rows of tickets to return about 1,000" in tickets.title
    assert tickets.fix.sql == "CREATE INDEX CONCURRENTLY tickets_status_body_idx ON public.tickets (status, body);"
    assert tickets.observed["calls"] == 30
    assert found["public.log"].fix.lock == "SHARE"
    assert "CONCURRENTLY" not in (found["public.log"].fix.sql or "")


def test_what_was_dropped_since_is_no_gap(database: Database) -> None:
    prepare(database, "CREATE TABLE kept (id int, old int); CREATE TABLE gone (id int)")
    connection = database.connect()
    for statement in (
        "SELECT id FROM kept WHERE id = 1 AND ctid IS NOT NULL",
        "SELECT id FROM kept WHERE old = 2",
        "UPDATE kept SET old = 3 WHERE id = 1",
        "SELECT id FROM kept ORDER BY old",
        "SELECT id FROM gone",
    ):
        connection.execute(statement.encode())
    database.execute("ALTER TABLE kept DROP COLUMN old; DROP TABLE gone")

    result = examine(database, "plans.wasteful-sequential-scan")

    assert (result.outcome, result.reason) == (Outcome.PASSED, None)
    assert result.examined == result.of


def test_a_scan_that_a_limit_ends(database: Database) -> None:
    prepare(database, TICKETS)
    send(database.connect(), "SELECT id FROM tickets WHERE length(body) = %s LIMIT %s", [(80, 20)] * 30)

    result = examine(database, "plans.wasteful-sequential-scan", limits={"seq_scan_rows": 3000})

    (found,) = result.findings
    assert found.confidence is Confidence.INFERRED
    assert "one by one until its LIMIT is reached" in found.title
    assert examine(database, "plans.wasteful-sequential-scan").findings == ()


def test_what_somebody_tried_once_weighs_little(database: Database) -> None:
    prepare(database, TICKETS)
    connection = database.connect()
    send(connection, "SELECT id FROM tickets WHERE sender = %s", [("u1",)])
    send(connection, "SELECT count(*) FROM tickets a CROSS JOIN queues b", [()] * 3)

    result = examine(database, "plans.wasteful-sequential-scan")

    (found,) = result.findings
    assert found.severity is Severity.LOW


def test_an_index_that_is_not_taken_is_named(database: Database) -> None:
    prepare(
        database,
        TICKETS,
        "CREATE INDEX tickets_sender ON tickets (sender); ALTER DATABASE "
        + database.name
        + " SET enable_indexscan = off",
        "ALTER DATABASE " + database.name + " SET enable_bitmapscan = off",
    )
    connection = database.connect()
    send(connection, "SELECT body FROM tickets WHERE sender = %s", [("u1",)] * 30)

    result = examine(database, "plans.wasteful-sequential-scan")

    (found,) = result.findings
    assert "tickets_sender" in found.fix.summary
    assert found.fix.sql is None


def test_a_generic_plan_cannot_see_constants_of_the_code(database: Database) -> None:
    prepare(
        database,
        """
        CREATE TABLE jobs (id bigint PRIMARY KEY, status text, payload jsonb, run_at timestamptz);
        INSERT INTO jobs SELECT i, CASE WHEN i % 100 = 0 THEN 'queued' ELSE 'done' || i % 50 END,
            jsonb_build_object('kind', i % 500), now() FROM generate_series(1, 30000) i;
        CREATE INDEX jobs_queued ON jobs (run_at) WHERE status = 'queued';
        CREATE INDEX jobs_kind ON jobs ((payload ->> 'kind'));
        """,
    )
    connection = database.connect()
    send(connection, "SELECT id FROM jobs WHERE status = 'queued' ORDER BY run_at LIMIT 5", [()] * 30)
    send(connection, "SELECT id FROM jobs WHERE payload ->> 'kind' = %s", [("7",)] * 30)
    flush(connection)

    assert examine(database, "plans.wasteful-sequential-scan").findings == ()


def test_what_the_real_values_do_without_is_no_scan(database: Database) -> None:
    prepare(
        database,
        """
        CREATE TABLE jobs (id bigint PRIMARY KEY, status text, kind int, payload text);
        INSERT INTO jobs SELECT i, CASE WHEN i % 1000 = 0 THEN 'open' WHEN i % 2 = 0 THEN 'done' ELSE 'failed' END, i % 40,
            repeat('x', 200) FROM generate_series(1, 30000) i ORDER BY md5(i::text);
        CREATE INDEX jobs_status ON jobs (status);
        """,
        f"ALTER DATABASE {database.name} SET enable_bitmapscan = off",
    )
    connection = database.connect()
    connection.prepare_threshold = None
    send(connection, "SELECT id FROM jobs WHERE status = %s AND kind = %s", [("open", 1)] * 30)
    send(connection, "SELECT kind FROM jobs WHERE status = %s AND id + 0 = %s", [("done", 7)] * 30)

    result = examine(database, "plans.wasteful-sequential-scan", limits={"seq_scan_selectivity": 0.3})

    (found,) = result.findings
    assert found.observed["statement"].startswith("SELECT kind")
    assert "served_too" not in found.observed


def test_only_scanned_partitions_count(database: Database) -> None:
    prepare(
        database,
        """
        CREATE TABLE events (id bigint, day date NOT NULL, kind int) PARTITION BY RANGE (day);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-03-01');
        CREATE TABLE events_rest PARTITION OF events DEFAULT;
        INSERT INTO events SELECT i, date '2026-01-01' + i % 58, i % 500 FROM generate_series(1, 30000) i;
        INSERT INTO events SELECT i, date '2027-01-01', i % 5 FROM generate_series(1, 20) i;
        CREATE INDEX ON events_1 (kind);
        """,
    )
    send(database.connect(), "SELECT count(*) FROM events WHERE kind = %s", [(7,)] * 30)

    assert examine(database, "plans.wasteful-sequential-scan").findings == ()


def test_statements_over_tables_that_are_no_more_are_no_gap(database: Database) -> None:
    prepare(database, "CREATE TABLE kept (id int, name text); CREATE TABLE gone (id int, name text);")
    connection = database.connect()
    for table in ("kept", "gone"):
        send(connection, f"SELECT id FROM {table} WHERE name = %s", [("a",)] * 3)
    connection.execute("DROP TABLE gone")
    result = examine(database, "plans.wasteful-sequential-scan")
    assert result.outcome is Outcome.PASSED, result
    assert result.examined == result.of


def test_statements_that_one_index_would_serve_are_told_once(database: Database) -> None:
    prepare(
        database,
        """
        CREATE TABLE chats (id int PRIMARY KEY, owner int);
        CREATE TABLE messages (id int PRIMARY KEY, chat int, role int, made timestamptz);
        INSERT INTO chats SELECT n, n % 2000 FROM generate_series(1, 40000) n;
        INSERT INTO messages SELECT n, n % 40000, n % 4, now() FROM generate_series(1, 80000) n;
        """,
    )
    connection = database.connect()
    send(connection, "SELECT id FROM messages WHERE chat = %s ORDER BY made", [(number,) for number in range(30)])
    send(
        connection,
        "SELECT id FROM messages WHERE chat = %s AND made > %s",
        [(number, "2026-01-01") for number in range(6)],
    )
    send(
        connection,
        "SELECT count(*) FROM messages m JOIN chats c ON m.chat = c.id WHERE c.owner = %s AND m.role = %s",
        [(number, 1) for number in range(4)],
    )

    result = examine(database, "plans.wasteful-sequential-scan", limits={"seq_scan_selectivity": 0.3})

    assert {(found.observed["table"], (found.fix.sql or "").partition(" ON ")[2]) for found in result.findings} == {
        ("public.messages", "public.messages (chat);"),
        ("public.chats", "public.chats (owner);"),
    }
    messages = next(found for found in result.findings if found.observed["table"] == "public.messages")
    assert "as 2 other statements do" in messages.title
    assert len(messages.observed["served_too"]) == 2
