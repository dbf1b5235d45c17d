from __future__ import annotations

import pytest

from tests.checks.evidence.repository.behaviour.behaviours import behaviours, told
from tests.checks.evidence.repository.behaviour.test_loops import MODELS, PRISMA


def test_a_look_before_an_insert() -> None:
    code = """\
    from sqlalchemy import select
    from app.models import User

    async def register(session, email):
        result = await session.execute(select(User).where(User.email == email))
        existing = result.scalar_one_or_none()
        if existing:
            raise ValueError("taken")
        session.add(User(email=email))
        await session.commit()

    def plain(cur, email):
        cur.execute("SELECT id FROM users WHERE email = %s", (email,))
        row = cur.fetchone()
        if row is None:
            cur.execute("INSERT INTO users (email) VALUES (%s)", (email,))
    """
    found = behaviours({"app/service.py": code, "app/models.py": MODELS})
    assert [
        (entry.kind, entry.location.line, entry.other.line if entry.other else 0, entry.table, entry.detail)
        for entry in found
    ] == [("check_then_insert", 5, 9, "users", "email"), ("check_then_insert", 13, 16, "users", "email")]


def test_a_look_before_an_insert_in_typescript() -> None:
    code = """\
    export async function register(email: string) {
      const existing = await prisma.user.findUnique({ where: { email } });
      if (existing) return existing;
      return prisma.user.create({ data: { email, visits: 0 } });
    }
    export async function upserted(email: string) {
      const existing = await prisma.user.findUnique({ where: { email } });
      if (existing) return existing;
      return prisma.user.upsert({ where: { email }, create: { email, visits: 0 }, update: {} });
    }
    export async function raw(email: string) {
      const { rows } = await pool.query("SELECT id FROM users WHERE email = $1", [email]);
      if (rows.length === 0) {
        await pool.query("INSERT INTO users (email) VALUES ($1)", [email]);
      }
    }
    """
    assert told(code, "src/a.ts", **{"prisma/schema.prisma": PRISMA}) == [
        ("check_then_insert", 2, 4), ("check_then_insert", 12, 14),
    ]  # fmt: skip


LOOK = "const u = await pool.query('SELECT id FROM users WHERE email = $1', [e]);"
INSERT = "await pool.query('INSERT INTO users (email) VALUES ($1)', [e]);"


@pytest.mark.parametrize(
    "lines",
    [
        [LOOK, "if (u) return;", INSERT.replace("($1)", "($1) ON CONFLICT DO NOTHING")],
        [LOOK, "if (!u) throw x;", INSERT],
        [LOOK.replace("email = $1", "id = $1"), "if (u) return;", INSERT],
        [LOOK, "if (u) return;", INSERT.replace("users", "logs")],
        [LOOK, INSERT],
        ["await pool.query('SELECT pg_advisory_xact_lock($1)', [1]);", LOOK, "if (u) return;", INSERT],
        [
            LOOK,
            "if (u) return;",
            f"try {{ {INSERT} }}",
            "catch (error) { if (error.code === '23505') return; throw error; }",
        ],
        [LOOK.replace("SELECT id", "SELECT count(*)"), "if (u) return;", INSERT],
        ["await acquireAddressLock(tx, e);", LOOK, "if (u) return;", INSERT],
        ["await tx.select().from(t).for('update');", LOOK, "if (u) return;", INSERT],
    ],
)
def test_what_looks_like_a_race_and_is_none(lines: list[str]) -> None:
    body = "".join(f"  {line}\n" for line in lines)
    assert told(f"export async function run(e, i) {{\n{body}}}\n", "src/a.ts") == []


def test_a_value_read_and_written_back() -> None:
    python = """\
    from sqlalchemy import select
    from app.models import User

    async def visit(session, id):
        user = (await session.execute(select(User).where(User.id == id))).scalar_one()
        user.visits += 1
        await session.commit()

    async def locked(session, id):
        user = (await session.execute(select(User).where(User.id == id).with_for_update())).scalar_one()
        user.visits += 1
        await session.commit()
    """
    found = behaviours({"app/service.py": python, "app/models.py": MODELS})
    assert [
        (entry.kind, entry.location.line, entry.other.line if entry.other else 0, entry.detail) for entry in found
    ] == [("read_modify_write", 5, 6, "visits")]
    script = """\
    export async function visit(id: number) {
      const user = await prisma.user.findUnique({ where: { id } });
      await prisma.user.update({ where: { id }, data: { visits: user.visits + 1 } });
    }
    export async function atomic(id: number) {
      const user = await prisma.user.findUnique({ where: { id } });
      await prisma.user.update({ where: { id }, data: { visits: { increment: 1 } } });
    }
    export async function other(id: number) {
      const user = await prisma.user.findUnique({ where: { id } });
      await prisma.user.update({ where: { id }, data: { email: user.email + "x" } });
      await prisma.user.update({ where: { id }, data: { visits: user.id + 1 } });
    }
    export async function raw(id: number, amount: number) {
      const [account] = await sql`SELECT id, balance FROM accounts WHERE id = ${id}`;
      const left = account.balance - amount;
      await pool.query("UPDATE accounts SET balance = $1 WHERE id = $2", [left, id]);
    }
    """
    found = behaviours({"src/a.ts": script, "prisma/schema.prisma": PRISMA})
    assert [(entry.kind, entry.location.line, entry.detail) for entry in found] == [
        ("read_modify_write", 2, "visits"), ("read_modify_write", 15, "balance"),
    ]  # fmt: skip


def test_a_queue_that_is_polled() -> None:
    code = """\
    def take(cur):
        cur.execute("SELECT id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT 1")
        job = cur.fetchone()
        cur.execute("UPDATE jobs SET status = 'running' WHERE id = %s", (job.id,))

    def take_well(cur):
        cur.execute("SELECT id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        job = cur.fetchone()
        cur.execute("UPDATE jobs SET status = 'running' WHERE id = %s", (job.id,))

    def show(cur):
        cur.execute("SELECT id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT 20")
        return cur.fetchall()
    """
    assert told(code) == [("queue_poll", 2, 4)]
