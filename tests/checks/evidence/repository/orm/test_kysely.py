from __future__ import annotations

import pytest

from tests.checks.evidence.repository.orm.calls import only, read

TYPES = """
    import { ColumnType, Generated, Kysely } from "kysely";
    export interface DB extends Base { users: Users; "audit.logs": Logs }
    interface Base { posts: Posts }
    export interface Users {
      id: Generated<string>;
      firstName: string | null;
      createdAt: ColumnType<Date, string | undefined, never>;
    }
    interface Posts { id: number; userId: string }
    type Logs = { at: Date };
    export type Db = Kysely<DB>;
"""
SNAKE = "export const db = new Kysely<DB>({ dialect, plugins: [new CamelCasePlugin()] });"


def test_tables_of_the_database_interface() -> None:
    models, _ = read({"db.ts": TYPES})
    assert [(model.name, model.schema, model.table, model.orm) for model in models] == [
        ("Posts", None, "posts", "kysely"),
        ("Users", None, "users", "kysely"),
        ("Logs", "audit", "logs", "kysely"),
    ]
    assert [(column.name, column.type, column.nullable) for column in models[1].columns] == [
        ("id", "string", False),
        ("firstName", "string", True),
        ("createdAt", "Date", False),
    ]
    snake, _ = read({"db.ts": TYPES, "a.ts": f'import {{ Kysely, CamelCasePlugin }} from "kysely";\n{SNAKE}'})
    assert [column.name for column in snake[1].columns] == ["id", "first_name", "created_at"]


def calls_of(code: str, plugin: str = "") -> list[str]:
    header = 'import { Kysely, sql } from "kysely";\nconst FIELDS = ["id", "email"] as const;\n'
    body = f"{header}class Repo {{\n fields = ['id', 'name'];\n async work(x, y) {{\n{code}\n }}\n}}\n"
    _, calls = read({"a.ts": body, "b.ts": plugin})
    return [f"{call.text} {','.join(call.partial)}".strip() for call in calls if not call.part]


USERS = 'SELECT "users".* FROM "users"'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await db.selectFrom('users').select(['id', 'users.email as mail']).where('id', '=', x).executeTakeFirst()",
         'SELECT "users"."id", "users"."email" FROM "users" WHERE "users"."id" = $1'),
        ("await this.db.selectFrom('users as u').select(this.fields).where('u.name', 'is not', null).execute()",
         'SELECT "u"."id", "u"."name" FROM "users" AS "u" WHERE "u"."name" IS NOT NULL'),
        ("await trx.selectFrom('billing.users').select(FIELDS).where('id', 'in', x).orderBy('id', "
         "'desc').limit(5).offset(y).execute()",
         'SELECT "users"."id", "users"."email" FROM "billing"."users" WHERE "users"."id" IN ($1) ORDER BY "users"."id" DESC '
         "LIMIT $2 OFFSET $3"),
        ("await db.selectFrom('posts as p').innerJoin('users as u', 'u.id', 'p.user_id').leftJoin('tags', (join) => "
         "join.onRef('tags.post_id', '=', 'p.id').on('tags.name', '=', x)).select(['p.id', 'u.name']).execute()",
         'SELECT "p"."id", "u"."name" FROM "posts" AS "p" JOIN "users" AS "u" ON "u"."id" = "p"."user_id" LEFT JOIN '
         '"tags" AS "tags" '
         'ON "tags"."post_id" = "p"."id" AND "tags"."name" = $1'),
        ("await db.selectFrom('users').selectAll().where((eb) => eb.or([eb('age', '>', x), eb.not(eb('name', 'like', "
         "y))])).execute()",
         f'{USERS} WHERE ("users"."age" > $1 OR NOT ("users"."name" LIKE $2))'),
        ("await db.selectFrom('users').selectAll().where(({ eb, and }) => and([eb('a', '=', x), eb('b', '=', y)])).execute()",
         f'{USERS} WHERE ("users"."a" = $1 AND "users"."b" = $2)'),
        ("await db.selectFrom('users').select((eb) => eb.fn.countAll().as('n')).where(sql`lower(name)`, '=', "
         "x).executeTakeFirst()",
         'SELECT count(*) FROM "users" WHERE lower(name) = $1'),
        ("await db.selectFrom('users').select(['id', sql<number | "
         "null>`max(age)`.as('age')]).where(sql<string>`lower(a)`, '=', x)"
         ".execute()", 'SELECT "users"."id", max(age) FROM "users" WHERE lower(a) = $1'),
        ("await db.selectFrom('items').selectAll().orderBy(sql`embedding <=> ${x}`).limit(3).execute()",
         'SELECT "items".* FROM "items" ORDER BY embedding <=> $1 LIMIT $2'),
        ("await db.insertInto('users').values({ name: x, age: y }).onConflict((oc) => oc.doNothing()).execute()",
         'INSERT INTO "users" ("name", "age") VALUES ($1, $2) ON CONFLICT DO NOTHING'),
        ("await db.updateTable('users').set({ name: x }).where('id', '=', y).returningAll().execute()",
         'UPDATE "users" SET "name" = $1 WHERE "users"."id" = $2'),
        ("await db.deleteFrom('users').where('id', '=', x).execute()", 'DELETE FROM "users" WHERE "users"."id" = $1'),
        ("let q = db.selectFrom('users').selectAll();\nq = q.where('id', '=', x);\nreturn q.execute();",
         f'{USERS} WHERE "users"."id" = $1'),
        ("await db.selectFrom('users').selectAll().where('id', '=', x).forUpdate().skipLocked().execute()",
         f'{USERS} WHERE "users"."id" = $1 FOR UPDATE SKIP LOCKED'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


def test_camel_case_becomes_the_databases_names() -> None:
    code = "await db.selectFrom('userRoles as ur').select('ur.roleName').where('ur.userId', '=', x).execute()"
    plugin = f'import {{ Kysely, CamelCasePlugin }} from "kysely";\n{SNAKE}'
    assert calls_of(code, plugin) == ['SELECT "ur"."role_name" FROM "user_roles" AS "ur" WHERE "ur"."user_id" = $1']


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("let q = db.selectFrom('users').selectAll();\nif (x) q = q.where('id', '=', x);\nreturn q.execute();", f"{USERS} where"),
        ("await db.selectFrom('users').selectAll().$if(x, (qb) => qb.where('a', '=', 1)).execute()", f"{USERS} where"),
        ("await db.selectFrom('users').selectAll().where('id', 'in', idsQuery(x)).execute()", f"{USERS} where"),
        ("await db.selectFrom('users').selectAll().where('id', 'in', db.selectFrom('posts').select('user_id')).execute()",
         f"{USERS} where"),
        ("await db.selectFrom('users').selectAll().where((eb) => eb.exists(x)).execute()", f"{USERS} where"),
        ("await db.selectFrom('users').select(['id', withPosts]).execute()", 'SELECT FROM "users" columns,expressions'),
        ("await db.selectFrom('users').selectAll().orderBy(x).execute()", f"{USERS} order"),
        ("await db.insertInto('users').values(x).execute()", 'INSERT INTO "users" VALUES ($1) columns'),
        ("await db.selectFrom('users').select((eb) => eb.fn.max('age').as('oldest')).orderBy('oldest').execute()",
         'SELECT max("users"."age") FROM "users" order'),
        ("await db.with('old', (db) => db.selectFrom('users').select('id')).selectFrom('old').selectAll().execute()",
         'SELECT "users".* FROM "users" columns,expressions,joins,limit,order,where'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "return db.selectFrom('users').select('id')",
        "const q = db.selectFrom('users').selectAll().as('u')",
        "await db.selectFrom((eb) => eb.selectFrom('users').as('x')).selectAll().execute()",
        "await db.selectFrom(x).selectAll().execute()",
        "// await db.selectFrom('users').selectAll().execute()",
    ],
)
def test_what_sends_nothing_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_the_place_is_the_line_of_the_verb() -> None:
    code = "export const all = async (db) =>\n  await db\n    .selectFrom('users')\n    .selectAll()\n    .execute();\n"
    call = only(read({"a.ts": code})[1])
    assert (call.location.line, call.function, call.orm) == (3, "all", "kysely")


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    for code in ("await db.selectFrom('t').where((eb) => " + "eb.or([" * 900 + "])" * 900 + ").execute()",
                 "await db.selectFrom('t').select(" + "[" * 2_000 + "]" * 2_000 + ").execute()",
                 "await db.selectFrom('t').where(" + "(eb) => eb.or([" * 3_000,
                 "new Kysely<DB>();\ninterface DB extends DB { a: DB }"):  # fmt: skip
        calls_of(code)


def test_a_query_within_another_one_is_told_as_a_part() -> None:
    code = """
        import { Kysely, sql } from "kysely";
        async function tree(db, id) {
          return db
            .withRecursive('tree', (qb) =>
              qb.selectFrom('pages').select('id').where('id', '=', id)
                .unionAll((eb) => eb.selectFrom('pages as p').innerJoin('tree', 'tree.id', 'p.parent_id').select('p.id')))
            .selectFrom('tree').selectAll()
            .where(({ exists, selectFrom }) => exists(selectFrom('locks').select('id').whereRef('locks.page_id', '=', 'tree.id')))
            .execute();
        }
    """
    _, calls = read({"a.ts": code})
    assert [call.text for call in calls if call.part] == [
        'SELECT "pages"."id" FROM "pages" WHERE "pages"."id" = $1',
        'SELECT "p"."id" FROM "pages" AS "p"',
        'SELECT "locks"."id" FROM "locks"',
    ]
