from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

SCHEMA = """
    CREATE TABLE users (id bigserial PRIMARY KEY, email text UNIQUE);
    CREATE TABLE tags (id bigserial PRIMARY KEY, label text);
    CREATE TABLE jobs (id bigserial PRIMARY KEY, status text, owner_id bigint, created_at timestamptz DEFAULT now());
"""
RACES = """\
import psycopg

def register(connection, email):
    row = connection.execute("SELECT id FROM users WHERE email = %s", (email,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO users (email) VALUES (%s)", (email,))

def tag(connection, label):
    row = connection.execute("SELECT id FROM tags WHERE label = %s", (label,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO tags (label) VALUES (%s)", (label,))

def upsert(connection, label):
    row = connection.execute("SELECT id FROM tags WHERE label = %s", (label,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO tags (label) VALUES (%s) ON CONFLICT DO NOTHING", (label,))
"""


def test_a_look_before_an_insert(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)
    code = repository({"app/people.py": RACES})

    found = {entry.observed["table"]: entry for entry in examine(database, "plans.check-then-insert", code).findings}

    assert {name: entry.severity for name, entry in found.items()} == {"users": Severity.NOTE}
    assert names(examine(database, "schema.uniqueness-only-in-code", code)) == {"public.tags.label"}
    alone = {entry.observed["table"]: entry for entry in examine(None, "plans.check-then-insert", code).findings}
    assert {name: entry.severity for name, entry in alone.items()} == {"users": Severity.LOW, "tags": Severity.LOW}
    assert found["users"].observed["unique_constraint"] == "users_email_key"
    assert "two requests insert it twice (app/people.py:9)" in alone["tags"].title
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'serializable'")
    assert examine(database, "plans.check-then-insert", code).outcome is Outcome.PASSED


def test_a_value_that_is_written_back(database: Database, repository: Repository) -> None:
    prepare(database, "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint)")
    prisma = """\
    model Account {
      id Int @id
      balance Int
      @@map("accounts")
    }
    """
    code = """\
    export async function pay(id: number, amount: number) {
      const account = await prisma.account.findUnique({ where: { id } });
      await prisma.account.update({ where: { id }, data: { balance: account.balance + amount } });
    }
    export async function add(id: number, amount: number) {
      await prisma.account.update({ where: { id }, data: { balance: { increment: amount } } });
    }
    """
    place = repository({"src/pay.ts": code, "prisma/schema.prisma": prisma})

    (found,) = examine(database, "plans.lost-update", place).findings

    assert found.title == "balance of accounts is read, changed and written back without a lock (src/pay.ts:2)"
    assert found.confidence is Confidence.INFERRED


def test_workers_that_wait_for_each_other(database: Database) -> None:
    prepare(database, SCHEMA)
    connection = database.connect()
    statements = (
        "SELECT id FROM jobs WHERE status = 'new' ORDER BY created_at LIMIT 5 FOR UPDATE",
        "SELECT id FROM jobs WHERE status = 'old' ORDER BY created_at LIMIT 5 FOR UPDATE SKIP LOCKED",
        "SELECT id FROM jobs WHERE owner_id = 5 ORDER BY created_at LIMIT 1 FOR UPDATE",
        "SELECT id FROM users ORDER BY id LIMIT 1 FOR UPDATE",
        "SELECT id FROM jobs ORDER BY created_at LIMIT 5",
    )
    for statement in statements:
        send(connection, statement, [()] * 3)

    (found,) = examine(database, "plans.queue-without-skip-locked").findings

    assert "SELECT from jobs by status, oldest first" in found.title
    assert found.confidence is Confidence.MEASURED


def test_a_queue_that_is_polled_without_a_lock(database: Database, repository: Repository) -> None:
    prepare(database, SCHEMA)
    code = """\
import psycopg

def take(connection):
    job = connection.execute("SELECT id FROM jobs WHERE status = 'pending' ORDER BY created_at LIMIT 1").fetchone()
    connection.execute("UPDATE jobs SET status = 'running' WHERE id = %s", (job[0],))
    return job
"""
    locked = code.replace("LIMIT 1", "LIMIT 1 FOR UPDATE SKIP LOCKED")

    (found,) = examine(database, "plans.queue-without-skip-locked", repository({"work.py": code})).findings

    assert found.title == "Rows of jobs that wait are taken without a lock: two workers take the same one (work.py:4)"
    assert examine(database, "plans.queue-without-skip-locked", repository({"work.py": locked})).findings == ()


def test_several_rows_that_are_inserted_where_there_is_none(repository: Repository) -> None:
    code = (
        "def defaults(connection, owner):\n"
        '    found = connection.execute("SELECT id FROM alerts WHERE owner = %s", (owner,)).fetchone()\n'
        "    if found is None:\n        for limit in limits(owner):\n"
        '            connection.execute("INSERT INTO alerts (owner, limit_at) VALUES (%s, %s)", (owner, limit))\n'
    )
    assert examine(None, "plans.check-then-insert", repository({"app/alerts.py": code})).findings == ()


def test_a_unique_index_with_a_further_column_that_may_be_null_keeps_nothing_apart(
    database: Database, repository: Repository
) -> None:
    database.execute(
        "CREATE TABLE models (id int PRIMARY KEY, owner int NOT NULL, name text NOT NULL, since date, "
        "UNIQUE (owner, name, since))",
        "CREATE TABLE prompts (id int PRIMARY KEY, owner int NOT NULL, name text NOT NULL, version int NOT NULL, "
        "UNIQUE (owner, name, version))",
    )
    code = "".join(
        f"def add_{table}(connection, owner, name):\n"
        f'    found = connection.execute("SELECT id FROM {table} WHERE owner = %s AND name = %s", (owner, name)).fetchone()\n'
        "    if found is None:\n"
        f'        connection.execute("INSERT INTO {table} (owner, name) VALUES (%s, %s)", (owner, name))\n\n'
        for table in ("models", "prompts")
    )
    evidence = survey(database, repository({"app/names.py": code}))

    found = [
        finding
        for check in ("plans.check-then-insert", "schema.uniqueness-only-in-code")
        for finding in conclude(evidence, check).findings
    ]

    assert {("models" in finding.title, finding.severity) for finding in found} == {
        (True, Severity.MEDIUM),
        (False, Severity.NOTE),
    }
