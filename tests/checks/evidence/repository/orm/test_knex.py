from __future__ import annotations

import pytest

from tests.checks.evidence.repository.orm.calls import read


def calls_of(code: str, header: str = "") -> list[str]:
    text = 'import { Knex } from "knex";\nconst TABLE = "users";\nconst T = { posts: "posts" };\n' + header
    body = f"{text}class Store {{\n tableName = 'users';\n async work(x, y) {{\n{code}\n }}\n}}\n"
    _, calls = read({"store.ts": body, "names.ts": "export const Tags = 'tags';\n"})
    return [f"{call.text} {','.join(call.partial)}".strip() for call in calls if not call.part]


USERS = 'SELECT "users".* FROM "users"'
EVERYTHING = "columns,expressions,joins,limit,order,where"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await knex('users').where({ id: x }).first()", f'{USERS} WHERE "users"."id" = $1 LIMIT $2'),
        ("await this.db<Row>(TABLE).select('id', 'name as n').where('age', '>', x).orderBy('id', 'desc').limit(5).offset(y)",
         'SELECT "users"."id", "users"."name" FROM "users" WHERE "users"."age" > $1 ORDER BY "users"."id" DESC LIMIT '
         '$2 OFFSET $3'),
        ("return this.db.select(['id']).from(this.tableName).whereIn('id', x).whereNull('gone')",
         'SELECT "users"."id" FROM "users" WHERE "users"."id" IN ($1) AND "users"."gone" IS NULL'),
        ("await trx(Tags).where({ a: x, b: null }).whereNot('c', y).del()",
         'DELETE FROM "tags" WHERE "tags"."a" = $1 AND "tags"."b" IS NULL AND NOT ("tags"."c" = $2)'),
        ("await knex('posts as p').join('users as u', 'u.id', '=', 'p.user_id').leftJoin(`${T.posts} as q`, 'q.id', 'p.id')"
         ".select('p.id', 'u.name')",
         'SELECT "p"."id", "u"."name" FROM "posts" AS "p" JOIN "users" AS "u" ON "u"."id" = "p"."user_id" '
         'LEFT JOIN "posts" AS "q" ON "q"."id" = "p"."id"'),
        ("await knex('posts').join('users', function () { this.on('users.id', '=', 'posts.user_id').andOn('a', 'b'); })",
         'SELECT * FROM "posts" JOIN "users" AS "users" ON "users"."id" = "posts"."user_id" AND "a" = "b"'),
        ("await knex('users').where('a', x).orWhere('b', y)", f'{USERS} WHERE ("users"."a" = $1 OR "users"."b" = $2)'),
        ("await knex('users').where('a', x).andWhere((qb) => qb.where('b', '<', 1).orWhereNotNull('c'))",
         f'{USERS} WHERE "users"."a" = $1 AND ("users"."b" < $2 OR "users"."c" IS NOT NULL)'),
        ("await knex('users').whereRaw('lower(name) = ?', [x]).whereBetween('age', [1, 2])",
         f'{USERS} WHERE lower(name) = $1 AND "users"."age" BETWEEN $2 AND $3'),
        ("await knex('users').count('* as n').where('a', x)", 'SELECT count(*) FROM "users" WHERE "users"."a" = $1'),
        ("await knex('users').insert({ a: x, b: y }).onConflict('a').ignore().returning('*')",
         'INSERT INTO "users" ("a", "b") VALUES ($1, $2) ON CONFLICT DO NOTHING'),
        ("await knex.insert({ a: x }).into('users')", 'INSERT INTO "users" ("a") VALUES ($1)'),
        ("await knex('users').where('id', x).update({ a: 1 })", 'UPDATE "users" SET "a" = $1 WHERE "users"."id" = $2'),
        ("await knex('users').where('id', x).increment('visits', 1)",
         'UPDATE "users" SET "visits" = $1 WHERE "users"."id" = $2'),
        ("await knex.withSchema('app').from('users').where('id', x)",
         'SELECT "users".* FROM "app"."users" WHERE "users"."id" = $1'),
        ("await knex('jobs').where('state', x).orderBy('id').limit(1).forUpdate().skipLocked()",
         'SELECT "jobs".* FROM "jobs" WHERE "jobs"."state" = $1 ORDER BY "jobs"."id" LIMIT $2 FOR UPDATE SKIP LOCKED'),
        ("const q = knex('users').where('a', x);\nq.orderBy('id');\nreturn "
         "q;", f'{USERS} WHERE "users"."a" = $1 ORDER BY "users"."id"'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const q = knex('users').where('a', x);\nif (y) q.where('b', y);\nreturn q;", f'{USERS} WHERE "users"."a" = $1 where'),
        ("await knex('users').where(x)", f"{USERS} where"),
        ("await knex('users').whereIn('id', knex('posts').select('user_id'))", f"{USERS} where"),
        ("await knex('users').whereExists(x)", f"{USERS} where"),
        ("await knex('users').modify(paged)", f'SELECT FROM "users" {EVERYTHING}'),
        ("await knex('users').select(knex.raw('count(*) filter (where a) as n, b'))", 'SELECT FROM "users" columns,expressions'),
        ("await knex('users').sum({ total: knex.raw('a + b') "
         "}).orderBy('total')", 'SELECT FROM "users" columns,expressions,order'),
        ("await knex('users').insert(x)", 'INSERT INTO "users" VALUES ($1) columns'),
        ("await knex('users').joinRaw('natural join posts')", 'SELECT FROM "users" columns,joins'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "const sub = knex('users').select('id').as('u')",
        "const text = knex('users').where('a', x).toSQL()",
        "await knex('users').where('a', x).or.where('b', y).del()",
        "await knex(x).select('id')",
        "await knex.with('old', q).select('id').from('old')",
        "render('users').select('id')",
        "seen.delete('users')",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_without_knex_there_is_none() -> None:
    _, calls = read({"a.ts": "export const f = (db) => db('users').where('id', 1).first()"})
    assert calls == ()


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    for code in ("await db('t').where(" + "(b) => b.where(" * 3_000, "await db('t')" + ".where('a', 1)" * 600,
                 "await db('t').join('u', " + "function () { this.on(" * 600 + ") }" * 600 + ")",
                 "await db(`" + "${`" * 500 + "`}" * 500 + "`).first()", "const t = t;\nawait db(t).select(t)"):  # fmt: skip
        calls_of(code)


def test_a_query_within_another_one_is_told_as_a_part() -> None:
    code = """
        import { Knex } from "knex";
        async function work(db, id) {
          const rows = db
            .with('recent', (qb) => { qb.select('author_id').from('posts').where('author_id', id); })
            .with('old', function () { this.select('id').from('recent').join('users', 'users.id', 'recent.author_id'); })
            .select('*').from('old').joinRaw('CROSS JOIN tags');
          await db('users').whereNotIn('id', db.select('author_id').from('posts')).del();
          return rows;
        }
    """
    _, calls = read({"a.ts": code})
    assert [call.text for call in calls if call.part] == [
        'SELECT "posts"."author_id" FROM "posts" WHERE "posts"."author_id" = $1',
        'SELECT "posts"."author_id" FROM "posts"',
    ]
