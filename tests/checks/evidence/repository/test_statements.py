from __future__ import annotations

import time

import pytest

from checks.evidence.repository.facts import CodeStatement
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.statements import read_statements


def found(code: str, path: str = "app/db.py") -> list[CodeStatement]:
    return read_statements(SourceFile(path, code, path.rpartition(".")[2]))


def texts(code: str, path: str = "app/db.py") -> list[str]:
    return [" ".join(statement.text.split()) for statement in found(code, path)]


HELPED = """
class Reads:
    async def owners(self, conn, given, schema):
        here = fq_table("owners", schema)
        changed = fq_table("some")
        if schema:
            changed = table_name("other")
        there = self.fq_table('billing.orders')
        there, more = pair()
        for looped in self.tables():
            await conn.fetch(f"SELECT a FROM {looped}")
        await conn.fetch(f"SELECT b FROM {here} o JOIN {self._fq('pets')} p ON p.owner = o.id", schema)
        await conn.execute(f"UPDATE {given} SET a = 1")
        await conn.execute(f"DELETE FROM {changed}")
        await conn.execute(f"DELETE FROM {there}")
        await conn.execute(f"INSERT INTO {fq_table(given)} VALUES (1)")
        await conn.fetch(f"SELECT {fq_table('c')} FROM {quoted('d')} WHERE e = {fq_table('f')}")
        await conn.fetch(f"SELECT g FROM {fq_table('a b')} JOIN {fq_table('s', 't')} ON true")
"""


def test_tables_that_a_helper_names() -> None:
    assert texts(HELPED) == [
        "SELECT a FROM $1",
        "SELECT b FROM owners o JOIN pets p ON p.owner = o.id",
        "UPDATE $1 SET a = $2",
        "DELETE FROM $1",
        "DELETE FROM $1",
        "INSERT INTO $1 VALUES ( $2)",
        "SELECT $1 FROM $2 WHERE e = $3",
        "SELECT g FROM $1 JOIN $2 ON true",
    ]


@pytest.mark.parametrize(
    ("code", "text", "holes"),
    [
        ('q = "SELECT id FROM users WHERE email = %s"', "SELECT id FROM users WHERE email = $1", 0),
        ('q = "select id from users where email=%(email)s and a=%(a)s or b=%(a)s"',
         "select id from users where email= $1 and a= $2 or b= $2", 0),
        ('text("SELECT id FROM users WHERE email = :email AND at > CAST(:at AS date)")',
         "SELECT id FROM users WHERE email = $1 AND at > CAST($2 AS date)", 0),
        ('q = "SELECT a::text FROM t WHERE b = $1 AND c = $2"', "SELECT a::text FROM t WHERE b = $1 AND c = $2", 0),
        ('q = "SELECT a FROM t WHERE b = ? AND c IN (?, ?) AND d ? \'k\' LIMIT ?"',
         "SELECT a FROM t WHERE b = $1 AND c IN ($2, $3) AND d ? 'k' LIMIT $4", 0),
        ('q = "SELECT a FROM t ORDER BY e <=> %s::vector"', "SELECT a FROM t ORDER BY e <=> $1::vector", 0),
        ('q = "SELECT a, 10 % 3 FROM t WHERE b LIKE \'%%x\'"', "SELECT a, $1 % $2 FROM t WHERE b LIKE $3", 0),
        ("q = 'SELECT a ' + 'FROM t ' \\\n  'WHERE b = %s'", "SELECT a FROM t WHERE b = $1", 0),
        ('q = ("SELECT a "  # why\n     "FROM t")', "SELECT a FROM t", 0),
        ('q = f"SELECT a FROM {table} WHERE b = %s"', "SELECT a FROM $1 WHERE b = $2", 1),
        ('q = f"SELECT a FROM t WHERE {clause} ORDER BY {column} {way}"', "SELECT a FROM t WHERE $1 ORDER BY $2 $3", 3),
        ('q = f"SELECT a FROM {s}.items_{n} WHERE b = {f\'{x}\'}"', "SELECT a FROM $1.\"$2\" WHERE b = $3", 3),
        ('q = "SELECT a FROM %s WHERE b = 1" % table', "SELECT a FROM $1 WHERE b = $2", 1),
        ('Q = "SELECT a FROM {table} WHERE b = {{ value }}"', "SELECT a FROM $1 WHERE b = $2", 2),
        ('q = sql.SQL("SELECT a FROM {} WHERE b = %s").format(sql.Identifier(t))', "SELECT a FROM $1 WHERE b = $2", 1),
        ('q = "SELECT a FROM t WHERE b = " + value', "SELECT a FROM t WHERE b = $1", 1),
        ('q = r"SELECT a FROM t WHERE b ~ \'\\d\'"', "SELECT a FROM t WHERE b ~ $1", 0),
        ('q = "WITH x AS (SELECT 1) SELECT * FROM x"', "WITH x AS (SELECT $1) SELECT * FROM x", 0),
        ('q = "SELECT pg_advisory_lock(%s)"', "SELECT pg_advisory_lock($1)", 0),
        ('q = "DELETE FROM users"', "DELETE FROM users", 0),
    ],
)  # fmt: skip
def test_python(code: str, text: str | None, holes: int) -> None:
    assert texts(code) == ([text] if text else [])
    assert [statement.holes for statement in found(code)] == ([holes] if text else [])


@pytest.mark.parametrize(
    ("code", "text", "holes"),
    [
        ("client.query('SELECT id FROM users WHERE email = $1', [e])", "SELECT id FROM users WHERE email = $1", 0),
        ("sql`SELECT id FROM users WHERE email = ${email} AND a IN (${ids})`",
         "SELECT id FROM users WHERE email = $1 AND a IN ($2)", 0),
        ("sql<Row[]>`SELECT id FROM users WHERE email = ${email}`", "SELECT id FROM users WHERE email = $1", 0),
        ("await prisma.$queryRaw`SELECT id FROM users WHERE email = ${email}`", "SELECT id FROM users WHERE email = $1", 0),
        ("sql`SELECT id FROM ${sql(table)} WHERE ${sql.raw(c)} = ${v}`", "SELECT id FROM $1 WHERE $2 = $3", 2),
        ("sql`SELECT id FROM ${table} WHERE email = ${email}`", "SELECT id FROM $1 WHERE email = $2", 1),
        ("const f = () => `SELECT id FROM users WHERE email = ${email}`", "SELECT id FROM users WHERE email = $1", 1),
        ("return `SELECT id FROM users WHERE email = ${email}`", "SELECT id FROM users WHERE email = $1", 1),
        ("const q = 'SELECT id ' + 'FROM users ' + where", "SELECT id FROM users $1", 1),
        ('const q = "SELECT id FROM users WHERE name = \'O\\\'\\\'Brien\'"', "SELECT id FROM users WHERE name = $1", 0),
        ("const T = 'users'; const q = `SELECT id FROM ${T} LIMIT 5`", "SELECT id FROM users LIMIT $1", 0),
        ("const T = { people: 'users', ...more }; const q = `SELECT id FROM ${T.people} WHERE a = ${T.other}`",
         "SELECT id FROM users WHERE a = $1", 1),
        ("const q = `SELECT id\\nFROM users`", "SELECT id FROM users", 0),
        ("sql`insert into users ${sql(user, 'name', 'age')} returning id`",
         'insert into users ("name", "age") VALUES ($1, $2) returning id', 0),
        ("sql`insert into users ${sql({ name: a, age })}`", 'insert into users ("name", "age") VALUES ($1, $2)', 0),
        ("sql`insert into users ${sql(users)}`", "insert into users VALUES ($1)", 1),
        ("sql`update users set ${sql(user, 'name')} where id = ${id}`", 'update users set "name" = $1 where id = $2', 0),
        ("sql`select ${sql(['id', 'name'])} from users where id in ${sql(ids)} and b in ${ids}`",
         'select "id", "name" from users where id in ($1) and b in ($2)', 0),
        ("sql.unsafe`SELECT id FROM ${sql.identifier(['a', 'b'])} WHERE c = ANY(${sql.array(ids, 'int4')})`",
         "SELECT id FROM $1 WHERE c = ANY($2)", 1),
        ("db.any('SELECT $1:name FROM t WHERE a = $2 AND b IN ($3:csv)', x)",
         "SELECT $1 FROM t WHERE a = $2 AND b IN ($3)", 1),
        ("db.any('SELECT a FROM $<t:name> WHERE a = $<b> AND c = $/c/ AND d = $(d)', x)",
         "SELECT a FROM $1 WHERE a = $2 AND c = $3 AND d = $4", 1),
        ("sequelize.query('SELECT a FROM users WHERE a = $status AND b = :x')", "SELECT a FROM users WHERE a = $1 AND b = $2", 0),
        ("knex.raw('select a from :t: where ?? = ? and b::int = 3', [x, y])",
         "select a from $1 where $2 = $3 and b::int = $4", 2),
    ],
)  # fmt: skip
def test_typescript(code: str, text: str, holes: int) -> None:
    for path in ("src/db.ts", "src/db.js") if "<Row" not in code else ("src/db.ts",):
        assert texts(code, path) == [text]
        assert [statement.holes for statement in found(code, path)] == [holes]


@pytest.mark.parametrize(
    "prose",
    [
        "Select a file from the list", "select a file from the list", "select one or more options",
        "Update your profile and set a name",
        "update the settings", "Delete from cart", "delete from cart", "with great power",
        "With (care) as always, select one from these.",
        "SELECT", "SELECT something", "insert into the slot", "Insert into table", "select * from", "merge into main",
        "SELECT a b c FROM d e f",
    ],
)  # fmt: skip
def test_prose_is_no_sql(prose: str) -> None:
    assert texts(f"label = {prose!r}") == []
    assert texts(f"const label = {prose!r}", "src/app.ts") == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT `id` FROM users", "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = 1", "SELECT name FROM sqlite_master",
        "SELECT count() FROM events WHERE id = {id: String}", "SELECT a FROM events FINAL WHERE b = 1",
    ],
)  # fmt: skip
def test_other_systems_sql_is_left_out(sql: str) -> None:
    assert texts(f'q = "{sql}"') == []


@pytest.mark.parametrize(
    "path",
    [
        "app/mysql_store.py",
        "server/clickhouse/a.py",
        "tests/test_a.py",
        "app/test_db.py",
        "alembic/versions/1_x.py",
        "db/migrations/0001.py",
        "lib/storage/SQLiteStore.py",
    ],
)
def test_code_of_other_systems_and_of_tests_is_left_out(path: str) -> None:
    assert texts('q = "SELECT id FROM users"', path) == []


def test_the_line_is_where_the_sql_starts() -> None:
    code = 'x = 1\nq = text("""\n\n    -- find them\n    SELECT id\n    FROM users\n""")\nr = (\n  "SELECT a "\n  "FROM b"\n)\n'
    assert [(s.location.line, s.text.split()[1]) for s in found(code)] == [(5, "id"), (9, "a")]
    assert [s.location.line for s in found("const a = 1\nconst q = `\n  SELECT id\n  FROM users`", "src/a.ts")] == [3]


def test_constants_of_the_module_are_put_in() -> None:
    assert texts('COLUMNS = "id, name"\nq = f"SELECT {COLUMNS} FROM users"\n') == ["SELECT id, name FROM users"]
    changed = 'T = "a"\nT = "b"\nq = f"SELECT x FROM {T}"\n'
    assert [statement.holes for statement in found(changed)] == [1]


def test_literals_are_masked_and_limits_kept_apart() -> None:
    (statement,) = found("q = \"SELECT id FROM users WHERE token = 'hunter2' LIMIT 25\"")
    assert (statement.text, statement.limit) == ("SELECT id FROM users WHERE token = $1 LIMIT $2", 25)


def test_sql_files_hold_statements() -> None:
    sql = "-- name: GetUser :one\nSELECT id FROM users WHERE id = $1;\n\nUPDATE users SET a = :a;\nGRANT ALL ON users TO x;"
    assert [(s.location.line, s.source) for s in found(sql, "queries/users.sql")] == [(2, "sql"), (4, "sql")]


@pytest.mark.parametrize(
    "code",
    [
        'q = "SELECT id FROM users', "q = f'SELECT {a", 'q = """SELECT 1 FROM', "q = f'{f\"{f'SELECT'}\"}'",
        "\ufffd\ufffd SELECT",
        "q = " + "(" * 10_000 + '"SELECT a FROM b"', "q = " + '"SELECT a FROM b" + ' * 20_000 + "x",
        'q = "SELECT ' + "(" * 10_000 + '1 FROM b"', 'q = "SELECT a FROM b WHERE ' + "x = 'y' AND " * 5_000 + 'z"',
        "q = f'" + "{" * 5_000, "A = A + 'SELECT a FROM b'\n", "A = B + 'x'\nB = A + 'y'\nq = 'SELECT a FROM ' + A",
        "q = '" + "SELECT " * 100_000 + "'", "`SELECT ${" * 3_000, "q = `SELECT a FROM b WHERE c = ${" + "(`" * 2_000,
    ],
    ids=range(15),
)  # fmt: skip
@pytest.mark.parametrize("path", ["app/a.py", "src/a.ts", "src/a.js", "src/a.tsx", "q/a.sql"])
def test_hostile_code_never_crashes_or_hangs(code: str, path: str) -> None:
    started = time.process_time()
    found(code, path)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import sqlite3\n", 0),
        ("from pymysql import connect\n", 0),
        ("import sqlite3\nimport psycopg\n", 1),
        ("import json\n", 1),
    ],
)
def test_code_with_other_drivers_only_is_left_out(code: str, count: int) -> None:
    assert len(texts(code + 'q = "SELECT id FROM users"\n')) == count


@pytest.mark.parametrize(
    ("code", "holes"),
    [
        ("sql`SELECT a FROM t WHERE b = ${b} ${more} LIMIT ${n}`", 1),
        ("sql`SELECT a FROM t WHERE ${condition} ORDER BY a`", 1),
        ("sql`SELECT a FROM t WHERE b = 1 AND ${x} = ANY(c)`", 0),
        ("sql`INSERT INTO t (a, b) VALUES ${rows}`", 1),
    ],
)
def test_pieces_of_sql_in_a_tagged_template_are_holes(code: str, holes: int) -> None:
    assert [statement.holes for statement in found(code, "src/a.ts")] == [holes]


def test_holes_are_told_apart_by_their_place() -> None:
    code = "q = f\"SELECT a FROM {s}.items_{n} WHERE b = {x} AND {c} AND d = '{y}' AND e IN ({z}) ORDER BY {o} {way} LIMIT {m}\""
    assert found(code)[0].hole_kinds == (
        "identifier", "identifier", "value", "fragment", "value", "value", "identifier", "fragment", "count",
    )  # fmt: skip
    code = "sql`SELECT a FROM ${sql(t)} WHERE ${sql.raw(c)} AND b = ${v}`; knex.raw('select a from t where ?? = ?', x)"
    assert [statement.hole_kinds for statement in found(code, "src/a.ts")] == [
        ("identifier", "fragment"),
        ("identifier",),
    ]
    assert found('q = "SELECT a FROM t WHERE b = %s"')[0].hole_kinds == ()
