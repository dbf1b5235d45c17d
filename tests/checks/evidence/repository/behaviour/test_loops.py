from __future__ import annotations

import pytest

from tests.checks.evidence.repository.behaviour.behaviours import behaviours, told

MODELS = """
from sqlalchemy import Column, ForeignKey, Integer, Text
from sqlalchemy.orm import declarative_base, relationship
Base = declarative_base()
class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    email = Column(Text)
    visits = Column(Integer)
    posts = relationship("Post")
class Post(Base):
    __tablename__ = "posts"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"))
    title = Column(Text)
"""
PRISMA = """
model User {
  id Int @id
  email String @unique
  visits Int
  posts Post[]
  @@map("users")
}
model Post {
  id Int @id
  userId Int @map("user_id")
  title String
  user User @relation(fields: [userId], references: [id])
  @@map("posts")
}
"""


def test_a_query_in_a_loop_of_python() -> None:
    code = """\
    async def names(conn, ids):
        found = []
        for id in ids:
            found.append(await conn.fetchval("SELECT name FROM users WHERE id = $1", id))
        return [await conn.fetch("SELECT a FROM logs WHERE user_id = $1", i) for i in ids], found
    """
    (first, second) = behaviours({"app/a.py": code})
    assert (first.kind, first.location.line, first.function, first.table) == ("query_in_loop", 4, "names", "users")
    assert (first.other.line if first.other else None, first.detail, first.certain) == (3, "select", True)
    assert (first.text, second.location.line) == ("SELECT name FROM users WHERE id = $1", 5)


def test_helper_functions_and_methods_are_followed_one_deep() -> None:
    code = """\
    def name_of(cur, id):
        cur.execute("SELECT name FROM users WHERE id = %s", (id,))
        return cur.fetchone()

    def names(cur, ids):
        return [name_of(cur, id) for id in ids]

    class Store:
        def save(self, row):
            self.cur.execute("INSERT INTO logs (a) VALUES (%s)", (row,))

        def save_all(self, rows):
            for row in rows:
                self.save(row)

    class Other:
        def run(self, rows):
            for row in rows:
                self.save(row)
    """
    assert told(code) == [("query_in_loop", 2, 6), ("insert_in_loop", 10, 13)]


def test_a_function_that_is_given_the_same_each_time_looks_up_no_element() -> None:
    code = """\
    class Work:
        async def alive(self, conn, operation):
            return await conn.fetchval("SELECT status FROM operations WHERE id = $1", operation)

        async def one(self, conn, key):
            return await conn.fetchrow("SELECT name FROM documents WHERE id = $1", key)

        async def run(self, conn, operation, documents, schemas):
            for document in documents:
                if not await self.alive(conn, operation):
                    break
                await self.one(conn, document.id)
            for row in documents:
                number, operation = row
                await self.alive(conn, operation)
            for row in documents:
                await self.one(conn, key=row["id"])
            for schema in schemas:
                await conn.fetch(f"SELECT 1 FROM {table_of('jobs', schema)} WHERE status = $1", "open")
    """
    found = [(entry.table, entry.other.line if entry.other else None) for entry in behaviours({"app/work.py": code})]
    assert sorted(found) == [("documents", 9), ("documents", 16), ("operations", 13)]


def test_loops_of_typescript() -> None:
    code = """\
    export async function run(ids: number[]) {
      for (const id of ids) {
        await pool.query("UPDATE users SET seen = now() WHERE id = $1", [id]);
      }
      const posts = await Promise.all(ids.map((id) => pool.query("SELECT a FROM posts WHERE user_id = $1", [id])));
      rows.forEach(async (row) => {
        await pool.query(`INSERT INTO logs (a) VALUES ($1)`, [row.a]);
      });
      for (let i = 0; i < ids.length; i++) {
        await sql`SELECT a FROM tags WHERE id = ${ids[i]}`;
      }
    }
    """
    assert told(code, "src/a.ts") == [
        ("query_in_loop", 3, 2), ("query_in_loop", 5, 5), ("insert_in_loop", 7, 6), ("query_in_loop", 10, 9),
    ]  # fmt: skip


def test_calls_of_orms_in_loops() -> None:
    code = """\
    export async function run(ids: number[]) {
      for (const id of ids) {
        const user = await prisma.user.findUnique({ where: { id } });
        await prisma.post.create({ data: { userId: id, title: user.email } });
      }
      await prisma.post.createMany({ data: ids.map((id) => ({ userId: id, title: "" })) });
    }
    """
    found = behaviours({"src/a.ts": code, "prisma/schema.prisma": PRISMA})
    assert [(entry.kind, entry.location.line, entry.table) for entry in found] == [
        ("query_in_loop", 3, "users"), ("insert_in_loop", 4, "posts"),
    ]  # fmt: skip


def test_a_unit_of_work_writes_when_it_is_flushed() -> None:
    code = """\
    from sqlalchemy import select
    from app.models import User, Post

    async def one_by_one(session, ids):
        for id in ids:
            session.add(Post(user_id=id, title=""))
            await session.commit()

    async def at_once(session, ids):
        for id in ids:
            session.add(Post(user_id=id, title=""))
        await session.commit()

    async def prepared(session, ids):
        for id in ids:
            stmt = select(User).where(User.id == id)
            row = (await session.execute(stmt)).scalar_one()

    def made(ids):
        statements = []
        for id in ids:
            statements.append(select(User).where(User.id == id))
        return statements
    """
    found = behaviours({"app/service.py": code, "app/models.py": MODELS})
    assert [(entry.kind, entry.location.line) for entry in found] == [("insert_in_loop", 6), ("query_in_loop", 17)]


@pytest.mark.parametrize(
    "code",
    [
        'for name in ["a", "b"]:\n    cur.execute("SELECT id FROM t WHERE a = %s", (name,))\n',
        'KINDS = ("a", "b")\nfor kind in KINDS:\n    cur.execute("SELECT id FROM t WHERE a = %s", (kind,))\n',
        'for attempt in range(5):\n    cur.execute("SELECT id FROM t WHERE a = %s", (x,))\n',
        'for attempt in range(max_attempts):\n    cur.execute("SELECT id FROM t WHERE a = %s", (x,))\n',
        'for batch in chunked(rows, 500):\n    cur.execute("SELECT id FROM t WHERE a = ANY(%s)", (batch,))\n',
        'for i in range(0, len(rows), 500):\n    cur.execute("SELECT id FROM t WHERE a = ANY(%s)", (rows[i:i+500],))\n',
        'while True:\n    cur.execute("SELECT id FROM t WHERE id > %s LIMIT 100", (last,))\n',
        'for row in cur.execute("SELECT id FROM t"):\n    print(row)\n',
        'for row in rows:\n    handlers.append(lambda: cur.execute("SELECT id FROM t WHERE a = %s", (row,)))\n',
        'for row in rows:\n    q = "SELECT id FROM t WHERE a = %s"\n    print(q)\n',
        'for row in rows:\n    if row.fits:\n        cur.execute("SELECT a FROM t", ())\n        return cur.fetchone()\n',
        'for rows in batches:\n    cur.executemany("INSERT INTO t (a) VALUES (%s)", rows)\n',
    ],
)
def test_what_looks_like_it_in_python_and_is_none(code: str) -> None:
    assert told("def run(cur, rows):\n" + "".join(f"    {line}\n" for line in code.splitlines())) == []


@pytest.mark.parametrize(
    "code",
    [
        'for (const a of ["x", "y"]) await pool.query("SELECT a FROM t WHERE a = $1", [a]);',
        'for (let i = 0; i < ids.length; i += 100) await pool.query("SELECT a FROM t WHERE a = ANY($1)", [ids.slice(i)]);',
        'for (let attempt = 0; attempt < 3; attempt++) await pool.query("SELECT a FROM t WHERE a = $1", [a]);',
        'while (hasMore) { await pool.query("SELECT a FROM t WHERE a > $1", [a]); }',
        'for (const route of routes) {\n app.get(route, async (req) => { await pool.query("SELECT a FROM t", []); });\n}',
        'const [a, b] = await Promise.all([pool.query("SELECT a FROM t"), pool.query("SELECT b FROM t")]);',
        'Effect.map((x) => pool.query("SELECT a FROM t WHERE a = $1", [x]));',
        'for (const batch of chunk(ids, 100)) { await pool.query("DELETE FROM t WHERE id = ANY($1)", [batch]); }',
        'for (const o of orders) {\n for (const batch of chunk(o.ids)) { await pool.query("DELETE FROM t", []); }\n}',
    ],
)
def test_what_looks_like_it_in_typescript_and_is_none(code: str) -> None:
    assert told(f"export async function run(ids, a) {{\n  {code}\n}}\n", "src/a.ts") == []


@pytest.mark.parametrize(
    "path", ["tests/test_a.py", "examples/a.py", "scripts/fill.py", "app/seed.py", "alembic/versions/a.py", "docs/a.py"]
)
def test_only_code_that_runs_for_users_is_read(path: str) -> None:
    code = 'def run(cur, ids):\n    for id in ids:\n        cur.execute("SELECT a FROM t WHERE id = %s", (id,))\n'
    assert told(code, path) == []
    assert told(code) == [("query_in_loop", 3, 2)]


def test_calls_of_further_libraries_in_loops() -> None:
    code = """\
    import { createClient } from "@supabase/supabase-js";
    const supabase = createClient(url, key);
    export async function run(ids: string[]) {
      for (const id of ids) {
        const { data } = await supabase.from("users").select("id, email").eq("id", id).single();
        await supabase.from("logs").insert({ user_id: id });
      }
      await supabase.from("logs").insert(ids.map((id) => ({ user_id: id })));
    }
    """
    assert told(code, "src/a.ts") == [("query_in_loop", 5, 4), ("insert_in_loop", 6, 4)]
    django = """\
    from shop.models import Customer

    def run(emails):
        for email in emails:
            Customer.objects.create(email=email)
            customer = Customer.objects.filter(email=email).first()
        Customer.objects.bulk_create([Customer(email=email) for email in emails])
    """
    models = "from django.db import models\nclass Customer(models.Model):\n    email = models.TextField()\n"
    assert [(entry.kind, entry.location.line) for entry in behaviours({"shop/views.py": django, "shop/models.py": models})] == [
        ("insert_in_loop", 5), ("query_in_loop", 6),
    ]  # fmt: skip
