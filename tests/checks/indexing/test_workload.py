from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import Statements
from checks.model import Confidence, Location, Outcome, Reason, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

CHECK = "indexing.missing-index"

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE messages (
        id bigint PRIMARY KEY, conversation_id bigint, "Author" text, status text, kind text, created_at timestamptz, meta jsonb
    );
    INSERT INTO messages SELECT n, n % 2000, 'a' || n % 5000, CASE WHEN n % 10 = 0 THEN 'new' ELSE 'done' END, 'chat',
        timestamptz '2026-01-01' + n * interval '1 minute', '{}' FROM generate_series(1, 40000) n;
    CREATE TABLE indexed (id bigint PRIMARY KEY, owner_id bigint, flag int, sparse bigint, hashed bigint, old bigint, ranged int);
    INSERT INTO indexed SELECT n, n % 4000, n % 2, n % 3000, n % 3000, n % 3000, n FROM generate_series(1, 40000) n;
    CREATE INDEX indexed_owner ON indexed (owner_id, id);
    CREATE INDEX indexed_flag ON indexed (flag);
    CREATE INDEX indexed_sparse ON indexed (sparse) WHERE sparse IS NOT NULL;
    CREATE INDEX indexed_hashed ON indexed USING hash (hashed);
    CREATE INDEX indexed_old ON indexed (old) WHERE id < 0;
    CREATE TABLE jobs (id bigint PRIMARY KEY, state text, run_at timestamptz, queue int);
    INSERT INTO jobs SELECT n, CASE WHEN n % 2000 = 0 THEN 'new' ELSE 's' || n % 500 END, now(), n % 500
        FROM generate_series(1, 40000) n;
    CREATE INDEX jobs_new ON jobs (run_at) WHERE state = 'new';
    CREATE TABLE small (id bigint PRIMARY KEY, name text);
    INSERT INTO small SELECT n, 'n' || n FROM generate_series(1, 2000) n;
    CREATE TABLE parted (id bigint, owner_id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO parted SELECT n, n % 4000, date '2026-01-01' + n % 59 FROM generate_series(1, 40000) n;
"""
STATEMENTS = (
    "SELECT * FROM messages WHERE conversation_id = 7 ORDER BY created_at DESC LIMIT 20",
    "SELECT count(*) FROM messages WHERE conversation_id = 7",
    "UPDATE messages SET kind = 'mail' WHERE \"Author\" = 'a17' AND status = 'none'",
    # Served, not selective, small, or another check's business:
    "SELECT * FROM messages WHERE id = 7",
    "SELECT * FROM messages WHERE status = 'done'",
    "SELECT * FROM messages WHERE lower(\"Author\") = 'a17'",
    "SELECT * FROM messages WHERE meta ->> 'a' = 'b'",
    "SELECT * FROM messages WHERE \"Author\" LIKE '%17'",
    "SELECT * FROM messages WHERE kind = 'mail' OR status = 'x'",
    "SELECT * FROM indexed WHERE owner_id = 9 AND ranged > 5",
    "SELECT * FROM indexed WHERE sparse = 9",
    "SELECT * FROM indexed WHERE hashed = 9",
    "SELECT * FROM small WHERE name = 'n9'",
    "SELECT * FROM jobs WHERE state = 'new' ORDER BY run_at LIMIT 5",
    "SELECT count(*) FROM jobs WHERE state = 'new' AND queue = 3",
    "SELECT pg_stat_force_next_flush()",
    # An index that serves another part of the table, or too much of it:
    "SELECT * FROM indexed WHERE old = 9",
    "SELECT * FROM parted WHERE owner_id = 12",
)


@pytest.fixture
def busy(database: Database) -> Database:
    database.execute(SCHEMA, "ANALYZE", "SELECT pg_stat_statements_reset()", *STATEMENTS)
    return database


def columns(database: Database) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for entry in examine(database, CHECK).findings:
        found.setdefault(entry.subject.name, []).append(entry.observed["columns"])
    return {name: sorted(lists) for name, lists in found.items()}


def test_filters_that_no_index_serves(busy: Database) -> None:
    assert columns(busy) == {
        "public.messages": [["Author", "status"], ["conversation_id", "created_at"]],
        "public.indexed": [["old"]],
        "public.parted": [["owner_id"]],
    }


def test_one_index_for_several_statements(busy: Database) -> None:
    result = examine(busy, CHECK)
    (found,) = (entry for entry in result.findings if entry.observed["columns"][0] == "conversation_id")

    assert len(found.observed["statements"]) == 2
    assert found.observed["calls"] == 2
    assert found.observed["rows"] == 40000
    assert found.observed["rows_left"] == pytest.approx(20, abs=2)
    assert found.observed["planned"] is True
    assert found.confidence is Confidence.MEASURED
    assert found.discriminator == "conversation_id,created_at"
    assert found.fix.sql == (
        "CREATE INDEX CONCURRENTLY messages_conversation_id_created_at_idx ON public.messages (conversation_id, created_at);"
    )


def test_the_fix_serves_them(busy: Database) -> None:
    for found in examine(busy, CHECK).findings:
        assert found.fix.sql is not None
        busy.execute(*found.fix.sql.splitlines())

    assert examine(busy, CHECK).outcome is Outcome.PASSED


def test_the_code_that_sends_them_is_named(
    busy: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    code = """
def messages(connection, conversation):
    return connection.execute(
        "SELECT count(*) FROM messages WHERE conversation_id = %s", (conversation,)
    )
"""
    result = examine(busy, CHECK, repository({"app/db.py": code}))

    (found,) = (entry for entry in result.findings if entry.observed["columns"][0] == "conversation_id")
    assert found.locations == (Location("app/db.py", 4),)


def test_a_table_that_was_never_analyzed_is_a_gap(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE t (a int)",
        "INSERT INTO t SELECT generate_series(1, 40000)",
        "SELECT pg_stat_force_next_flush()",
        "SELECT pg_stat_statements_reset()",
        "SELECT * FROM t WHERE a = 5",
    )

    result = examine(database, CHECK)

    assert (result.outcome, result.reason, result.examined, result.of) == (Outcome.UNKNOWN, Reason.NOT_RUN, 0, 1)


def test_without_statement_statistics(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)")

    result = examine(database, CHECK)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.EXTENSION_MISSING)
    assert names(result) == set()


def test_a_foreign_key_that_it_serves_too_is_named(busy: Database) -> None:
    busy.execute(
        "CREATE TABLE conversations (id bigint PRIMARY KEY)",
        "INSERT INTO conversations SELECT generate_series(0, 2000)",
        "ALTER TABLE messages ADD CONSTRAINT of_conversation FOREIGN KEY (conversation_id) REFERENCES conversations",
    )

    result = examine(busy, CHECK)

    (found,) = (entry for entry in result.findings if entry.observed["columns"][0] == "conversation_id")
    assert "public.messages.of_conversation" in found.fix.summary
    assert finding(examine(busy, "indexing.foreign-key-without-index"), "public.messages.of_conversation")


def test_nothing_large_is_filtered(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE small (name text)",
        "SELECT pg_stat_statements_reset()",
        "SELECT * FROM small WHERE name = 'a'",
        "ANALYZE",
    )

    assert examine(database, CHECK).outcome is Outcome.NOT_APPLICABLE


def test_what_a_foreign_key_wants_is_told_once(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE owners (id bigint PRIMARY KEY);
        INSERT INTO owners SELECT n FROM generate_series(1, 2000) n;
        CREATE TABLE alone (id bigint, owner_id bigint REFERENCES owners);
        INSERT INTO alone SELECT n, 1 + n % 2000 FROM generate_series(1, 40000) n;
        CREATE TABLE wider (id bigint, owner_id bigint REFERENCES owners, at timestamptz);
        INSERT INTO wider SELECT n, 1 + n % 2000, now() - n * interval '1 minute' FROM generate_series(1, 40000) n;
        """,
        "ANALYZE",
        "SELECT * FROM alone WHERE owner_id = 7",
        "SELECT * FROM wider WHERE owner_id = 7 ORDER BY at DESC LIMIT 10",
    )

    (missing,) = examine(database, CHECK).findings
    keys = examine(database, "indexing.foreign-key-without-index")

    assert missing.subject.name == "public.wider"
    assert names(keys) == {"public.alone.alone_owner_id_fkey", "public.wider.wider_owner_id_fkey"}
    assert finding(keys, "public.wider.wider_owner_id_fkey").fix.sql == missing.fix.sql
    assert finding(keys, "public.alone.alone_owner_id_fkey").observed["statements"]


def test_a_statement_that_reads_little_wants_no_index(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE t (id bigint, a int, b int, padding text DEFAULT repeat('x', 200));
        INSERT INTO t SELECT n, n % 20, n % 21 FROM generate_series(1, 40000) n;
        """,
        "ANALYZE",
        "SELECT id FROM t WHERE a = 3 AND b = 3 LIMIT 1",
    )
    assert examine(database, CHECK).findings == ()

    database.execute("SELECT id, a FROM t WHERE a = 3 AND b = 3")
    (found,) = examine(database, CHECK).findings
    assert found.observed["columns"] == ["b", "a"]


def test_severity_is_by_what_the_statements_cost(busy: Database) -> None:
    evidence = survey(busy)
    statements = evidence.get(Statements)

    def severity(calls: int, mean_ms: float) -> Severity | None:
        entries = tuple(
            msgspec.structs.replace(entry, calls=calls, total_ms=calls * mean_ms, shared_blocks_hit=calls * 200)
            if "FROM parted" in entry.text
            else msgspec.structs.replace(entry, total_ms=10_000.0)
            for entry in statements.entries
        )
        given = msgspec.structs.replace(evidence, statements=msgspec.structs.replace(statements, entries=entries))
        return finding(conclude(given, CHECK), "public.parted").severity

    assert severity(20, 0.2) is Severity.LOW
    assert severity(5, 50.0) is Severity.LOW
    assert severity(20, 50.0) is Severity.MEDIUM
    assert severity(100_000, 0.02) is Severity.MEDIUM
    assert severity(100_000, 50.0) is Severity.HIGH
