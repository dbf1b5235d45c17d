from __future__ import annotations

import pytest

from tests.checks.evidence.repository.behaviour.behaviours import behaviours, told


def test_a_model_called_inside_a_transaction() -> None:
    code = """\
    import httpx
    from openai import AsyncOpenAI

    async def answer(session, client, id):
        async with session.begin():
            await session.execute(text("UPDATE chats SET busy = true WHERE id = :id"), {"id": id})
            reply = await client.chat.completions.create(model="gpt-4o-mini", messages=[])
            await notify(id)

    async def notify(id):
        await httpx.post("https://example.org", json={"id": id})
    """
    (helper, model) = behaviours({"app/a.py": code})
    assert (model.kind, model.location.line, model.detail, model.table) == (
        "external_call_in_transaction",
        6,
        "openai",
        "chats",
    )
    assert (model.other.line if model.other else 0, model.function) == (7, "answer")
    assert (helper.detail, helper.other.line if helper.other else 0) == ("httpx", 11)


def test_callbacks_that_are_transactions() -> None:
    code = """\
    export async function run(id: number) {
      await prisma.$transaction(async (tx) => {
        await tx.$executeRaw`UPDATE orders SET state = 'paid' WHERE id = ${id}`;
        await fetch("https://example.org");
      });
      await db.transaction(async (tx) => {
        await tx.execute(sql`UPDATE orders SET state = 'paid' WHERE id = ${id}`);
      });
      await fetch("https://example.org");
      await client.query("BEGIN");
      await client.query("UPDATE orders SET state = 'sent' WHERE id = $1", [id]);
      await axios.post("https://example.org");
      await client.query("COMMIT");
      await axios.post("https://example.org");
    }
    import axios from "axios";
    """
    assert told(code, "src/a.ts") == [("external_call_in_transaction", 3, 4), ("external_call_in_transaction", 11, 12)]


def test_a_session_holds_its_transaction_until_it_commits() -> None:
    code = """\
    import requests

    def slow(id):
        with SessionLocal() as session:
            session.execute(text("SELECT id FROM chats WHERE id = :id"), {"id": id})
            requests.post("https://example.org")

    def quick(id):
        with SessionLocal() as session:
            session.execute(text("SELECT id FROM chats WHERE id = :id"), {"id": id})
            session.commit()
            requests.post("https://example.org")

    def before(id):
        with SessionLocal() as session:
            requests.post("https://example.org")
            session.execute(text("SELECT id FROM chats WHERE id = :id"), {"id": id})

    def after(id):
        with SessionLocal() as session:
            session.execute(text("SELECT id FROM chats WHERE id = :id"), {"id": id})
        requests.post("https://example.org")
    """
    assert told(code) == [("external_call_in_transaction", 5, 6)]


def test_what_runs_after_the_commit_is_outside() -> None:
    code = """\
    import requests
    from django.db import transaction

    @transaction.atomic
    def pay(cur, id):
        cur.execute("UPDATE orders SET state = 'paid' WHERE id = %s", (id,))
        transaction.on_commit(lambda: requests.post("https://example.org"))

    @transaction.atomic
    def pay_and_wait(cur, id):
        cur.execute("UPDATE orders SET state = 'paid' WHERE id = %s", (id,))
        requests.post("https://example.org")
    """
    assert told(code) == [("external_call_in_transaction", 11, 12)]


@pytest.mark.parametrize(
    ("code", "path", "kind", "detail"),
    [
        ('conn.execute("SET search_path TO tenant_1")', "a.py", "session_state", "SET search_path"),
        ("cur.execute(f\"SET app.tenant_id = '{tenant}'\")", "a.py", "session_state", "SET app.tenant_id"),
        ("cur.execute(\"SELECT set_config('app.user', %s, false)\", (u,))", "a.py", "session_state", "SET app.user"),
        ('cur.execute("SELECT pg_advisory_lock(%s)", (1,))', "a.py", "session_state", "advisory lock"),
        ('await client.query("LISTEN jobs")', "a.ts", "session_state", "LISTEN"),
        ('await conn.add_listener("jobs", handle)', "a.py", "session_state", "LISTEN"),
        ('cur.execute("CREATE TEMP TABLE staged (id int)")', "a.py", "session_state", "temporary table"),
        ('engine = create_engine(url, isolation_level="REPEATABLE READ")', "a.py", "isolation_level", "repeatable read"),
        ("await prisma.$transaction(f, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable })", "a.ts",
         "isolation_level", "serializable"),
        ('cur.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")', "a.py", "isolation_level", "serializable"),
        ('engine = create_async_engine(url, connect_args={"statement_cache_size": 0})', "a.py",
         "prepared_statement", "statement_cache_size = 0"),
        ('import postgres from "postgres";\nconst sql = postgres(url, { prepare: false });', "a.ts",
         "prepared_statement", "prepare = false"),
        ('import { withReplicas } from "drizzle-orm/pg-core";\nexport const db = withReplicas(primary, [replica]);', "a.ts",
         "reader_split", "withReplicas"),
        ('READ = os.environ["DATABASE_REPLICA_URL"]', "a.py", "reader_split", "DATABASE_REPLICA_URL"),
    ],
)  # fmt: skip
def test_settings_of_sessions_and_transactions(code: str, path: str, kind: str, detail: str) -> None:
    found = [(entry.kind, entry.detail) for entry in behaviours({f"app/{path}": code + "\n"})]
    assert found == [(kind, detail)]


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ('conn.execute("SET LOCAL search_path TO tenant_1")', "a.py"),
        ('"""SET search_path TO x is what we never do."""', "a.py"),
        ("# SET search_path TO tenant_1\n", "a.py"),
        ("cur.execute(\"SELECT set_config('app.user', %s, true)\", (u,))", "a.py"),
        ('cur.execute("SELECT pg_advisory_xact_lock(%s)", (1,))', "a.py"),
        ('cur.execute("CREATE TEMP TABLE staged (id int) ON COMMIT DROP")', "a.py"),
        ("const options = { prepare: false };", "a.ts"),
        ("cypher = 'MATCH (n) WHERE n.city = \"NYC\" SET n.verified = true'", "a.py"),
        ("const q = `UPDATE users SET name = $1`;", "a.ts"),
        ('label = "Listen to music"', "a.py"),
    ],
)
def test_what_looks_like_state_and_is_none(code: str, path: str) -> None:
    assert behaviours({f"app/{path}": code + "\n"}) == ()


def test_retries_without_a_growing_wait() -> None:
    code = """\
    import time
    from sqlalchemy.exc import OperationalError
    from tenacity import retry, stop_after_attempt, wait_exponential

    def at_once(cur):
        for attempt in range(5):
            try:
                cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))
                return
            except OperationalError:
                continue

    def at_intervals(cur):
        for attempt in range(5):
            try:
                cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))
                return
            except OperationalError:
                time.sleep(1)

    def with_backoff(cur):
        for attempt in range(5):
            try:
                cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))
                return
            except OperationalError:
                time.sleep(2 ** attempt)

    def another_code(cur):
        for attempt in range(5):
            try:
                cur.execute("INSERT INTO t (code) VALUES (%s)", (random_code(),))
                return
            except UniqueViolation:
                continue

    @retry(stop=stop_after_attempt(3))
    def decorated(cur):
        cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))

    @retry(stop=stop_after_attempt(3), wait=wait_exponential())
    def decorated_well(cur):
        cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))
    """
    found = behaviours({"app/a.py": code})
    assert [(entry.kind, entry.function, entry.detail) for entry in found] == [
        ("retry_without_backoff", "at_once", "no wait"),
        ("retry_without_backoff", "at_intervals", "fixed wait"),
        ("retry_without_backoff", "decorated", "tenacity without wait"),
    ]


def test_retries_that_libraries_make() -> None:
    script = """\
    import pRetry from "p-retry";
    export async function run(id: string) {
      await pRetry(() => pool.query("UPDATE t SET a = 1 WHERE id = $1", [id]), { retries: 5, factor: 1 });
      await pRetry(() => pool.query("UPDATE t SET a = 2 WHERE id = $1", [id]), { retries: 5 });
    }
    """
    assert told(script, "src/a.ts") == [("retry_without_backoff", 3, 3)]
    tasks = """\
    @shared_task(autoretry_for=(OperationalError,), default_retry_delay=1)
    def soon(cur):
        cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))

    @shared_task(autoretry_for=(OperationalError,), default_retry_delay=1, retry_backoff=True)
    def later(cur):
        cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))

    @shared_task(autoretry_for=(OperationalError,))
    def much_later(cur):
        cur.execute("UPDATE t SET a = 1 WHERE id = %s", (1,))
    """
    assert told(tasks) == [("retry_without_backoff", 3, 2)]


def test_a_cache_that_everyone_fills() -> None:
    code = """\
    import { redis } from "./redis";
    export async function plan(id: string) {
      const cached = await redis.get(id);
      if (cached) return cached;
      const { rows } = await pool.query("SELECT plan FROM users WHERE id = $1", [id]);
      await redis.set(id, rows[0].plan, "EX", 60);
      return rows[0].plan;
    }
    export async function leased(id: string) {
      const cached = await redis.get(id);
      if (cached) return cached;
      if (!(await redis.set(`${id}:lock`, 1, "NX"))) return wait(id);
      const { rows } = await pool.query("SELECT plan FROM users WHERE id = $1", [id]);
      await redis.set(id, rows[0].plan, "EX", 60);
    }
    const cache = new Map();
    export async function own(id: string) {
      const cached = cache.get(id);
      const { rows } = await pool.query("SELECT plan FROM users WHERE id = $1", [id]);
      cache.set(id, rows);
    }
    """
    assert told(code, "src/a.ts") == [("cache_fill", 5, 3)]


def test_connections_made_for_each_request() -> None:
    code = """\
    import psycopg2
    from functools import lru_cache

    @app.get("/a")
    def direct():
        conn = psycopg2.connect(DSN)

    def open_connection():
        return psycopg2.connect(DSN)

    @router.post("/b")
    def through():
        conn = open_connection()

    @lru_cache
    def engine():
        return create_engine(DSN)

    @app.get("/c")
    def kept():
        engine()

    pool = create_engine(DSN)
    """
    assert told(code) == [("connection_per_request", 6, None), ("connection_per_request", 9, 13)]
    script = """\
    import { Pool } from "pg";
    const shared = new Pool();
    export async function GET(request: Request) {
      const pool = new Pool({ connectionString: process.env.DATABASE_URL });
    }
    """
    assert told(script, "src/route.ts") == [("connection_per_request", 4, None)]


def test_rows_kept_in_two_stores() -> None:
    code = """\
    from pinecone import Pinecone
    index = Pinecone().Index("docs")

    def save(cur, id, vector):
        cur.execute("INSERT INTO documents (id) VALUES (%s)", (id,))
        index.upsert(vectors=[(id, vector)])

    def find(cur, vector):
        cur.execute("SELECT id FROM documents WHERE id = %s", (1,))
        index.query(vector=vector, top_k=5)
    """
    found = behaviours({"app/a.py": code})
    assert [(entry.kind, entry.location.line, entry.table, entry.detail) for entry in found] == [
        ("dual_write", 5, "documents", "pinecone")
    ]
