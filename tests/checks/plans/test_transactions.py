from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Outcome, Severity
from tests.checks.survey import examine, names

Repository = Callable[[Mapping[str, str | bytes]], Path]

POOLER = "[databases]\napp = host=db\n[pgbouncer]\npool_mode = transaction\n"
STATE = """\
import psycopg

def choose(connection, tenant):
    connection.execute("SET search_path TO " + tenant)
    connection.execute("SELECT pg_advisory_lock(%s)", (1,))

"""
LOCAL = """\
import psycopg

def choose(connection, tenant):
    connection.execute("SELECT set_config('app.tenant', %s, true)", (tenant,))
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (1,))
"""
BY_HAND = """\
import psycopg

def ask(connection):
    connection.execute("PREPARE q AS SELECT 1")
    connection.execute("EXECUTE q")
"""
CALLS = """\
import openai
import psycopg

client = openai.OpenAI()

def answer(connection, key):
    with connection.transaction():
        row = connection.execute("SELECT body FROM questions WHERE id = %s", (key,)).fetchone()
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": row[0]}])
        connection.execute("UPDATE questions SET answer = %s WHERE id = %s", (str(reply), key))

def answer_well(connection, key):
    with connection.transaction():
        row = connection.execute("SELECT body FROM questions WHERE id = %s", (key,)).fetchone()
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": row[0]}])
    with connection.transaction():
        connection.execute("UPDATE questions SET answer = %s WHERE id = %s", (str(reply), key))
"""


def test_what_a_session_keeps_behind_a_transaction_pooler(repository: Repository) -> None:
    check = "plans.session-state-with-transaction-pooling"
    files = {"deploy/pgbouncer.ini": POOLER, "a.py": STATE, "b.py": LOCAL}

    (found,) = examine(None, check, repository(files)).findings

    assert (found.subject.path, found.severity) == (("a.py",), Severity.HIGH)
    assert found.observed["states"] == ["SET search_path", "advisory lock"]
    assert examine(None, check, repository({"a.py": STATE})).outcome is Outcome.NOT_APPLICABLE
    session = POOLER.replace("transaction", "session")
    assert (
        examine(None, check, repository({**files, "deploy/pgbouncer.ini": session})).outcome is Outcome.NOT_APPLICABLE
    )


def test_statements_prepared_behind_a_transaction_pooler(repository: Repository) -> None:
    check = "plans.prepared-with-transaction-pooling"
    off = (
        "import asyncpg\nasync def f():\n    p = await asyncpg.create_pool(statement_cache_size=0)\n"
        "    await p.fetch('SELECT id FROM t')\n"
    )
    on = off.replace("size=0", "size=100")
    files = {"deploy/pgbouncer.ini": POOLER, "a.py": BY_HAND, "off.py": off, "on.py": on}

    assert names(examine(None, check, repository(files))) == {"a.py", "on.py"}

    follows = POOLER + "max_prepared_statements = 200\n"
    assert names(examine(None, check, repository({**files, "deploy/pgbouncer.ini": follows}))) <= {"a.py", "on.py"}


def test_a_model_that_is_asked_in_a_transaction(repository: Repository) -> None:
    (found,) = examine(None, "plans.external-call-in-transaction", repository({"app/answers.py": CALLS})).findings

    assert found.title == "openai is called while a transaction is open (app/answers.py:9)"
    assert found.observed["function"] == "answer"
