from __future__ import annotations

import pytest

from checks.evidence.repository.facts import ModelIndex, ModelRelation
from tests.checks.evidence.repository.orm.calls import only, read, tail

SCHEMA = """
    import { pgTable, pgSchema, pgTableCreator, index, uniqueIndex, primaryKey } from "drizzle-orm/pg-core";

    const timestamps = { createdAt: timestamp("created_at").notNull(), updatedAt: timestamp("updated_at").$onUpdate(now) };

    export const users = pgTable("users", {
      id: uuid("id").primaryKey(),
      email: varchar("mail", { length: 64 }).notNull().unique(),
      role: text("role", { enum: ["admin", "member"] }),
      embedding: vector("embedding", { dimensions: 384 }),
      data: jsonb("data"),
      ...timestamps,
    }, (table) => [
      uniqueIndex("by_mail").on(table.email),
      index("by_role").using("btree", table.role.desc(), sql`lower(${table.email})`),
      index().on(table.role).where(sql`role is not null`),
    ]);
    export const posts = pgTable("posts", {
      id: serial().primaryKey(),
      authorId: uuid("author_id").references(() => users.id),
      title: text(),
      tags: text("tags").array(),
    });
    export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
    const billing = pgSchema("billing");
    export const invoices = billing.table("invoices", { id: integer("id").primaryKey(), total: integer("total") });
    const table = pgTableCreator((name) => `app_${name}`);
    export const jobs = table("jobs", { id: integer("id"), ...elsewhere });
    export const links = pgTable("links", { a: integer("a"), b: integer("b") }, (t) => ({
      pk: primaryKey({ columns: [t.a, t.b] }),
    }));
"""


def test_tables_are_read() -> None:
    found, _ = read({"db/schema.ts": SCHEMA})
    models = {model.name: model for model in found}
    assert [(model.schema, model.table, model.complete) for model in found] == [
        (None, "users", True),
        (None, "posts", True),
        ("billing", "invoices", True),
        (None, "app_jobs", False),
        (None, "links", True),
    ]
    columns = {column.attribute: column for column in models["users"].columns}
    assert list(columns) == ["id", "email", "role", "embedding", "data", "createdAt", "updatedAt"]
    assert (columns["email"].name, columns["email"].type, columns["email"].length) == ("mail", "varchar", 64)
    assert (columns["email"].nullable, columns["email"].unique, columns["data"].nullable) == (False, True, True)
    assert (columns["role"].values, columns["embedding"].dimensions) == (("admin", "member"), 384)
    assert (columns["id"].primary_key, columns["updatedAt"].on_update) == (True, True)
    assert models["posts"].columns[1].references == ("users", "id")
    assert models["posts"].columns[3].type == "text[]"
    assert [column.primary_key for column in models["links"].columns] == [True, True]
    assert models["users"].relations == (ModelRelation("posts", "posts", many=True),)
    assert set(models["users"].indexes) == {
        ModelIndex(("mail",), "by_mail", unique=True),
        ModelIndex(("role",), "by_role", method="btree", partial=True),
        ModelIndex(("role",), partial=True),
    }


def test_names_are_derived_as_drizzle_is_told_to() -> None:
    schema = "export const userStats = pgTable('user_stats', { lastSeenAt: timestamp(), apiURL: text() });"
    plain, _ = read({"s.ts": schema})
    assert [column.name for column in plain[0].columns] == ["lastSeenAt", "apiURL"]
    snake, _ = read({"s.ts": schema, "db.ts": "export const db = drizzle(client, { casing: 'snake_case' })"})
    assert [column.name for column in snake[0].columns] == ["last_seen_at", "api_url"]


def calls_of(code: str) -> list[str]:
    header = (
        'import { eq, and, or, sql } from "drizzle-orm";\nimport { users, posts, invoices, jobs } from "./schema";\n'
    )
    header += 'import * as schema from "./schema";\nimport { users as people } from "./schema";\n'
    _, calls = read(
        {"db/schema.ts": SCHEMA, "db/work.ts": f"{header}export async function work(value, other) {{\n{code}\n}}\n"}
    )
    return [f"{tail(call)} {','.join(call.partial)}".strip() for call in calls]


USERS, POSTS = 'FROM "users"', 'FROM "posts"'
EVERYTHING = "columns,expressions,joins,limit,order,where"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("return db.select().from(users).where(eq(users.email, value)).limit(1)", f'{USERS} WHERE "users"."mail" = $1 LIMIT $2'),
        (
            "await tx.select({ id: posts.id }).from(schema.posts).where(and(inArray(posts.id, ids), isNull(posts.title)))"
            ".orderBy(desc(posts.id), asc(posts.title)).offset(other)",
            f'{POSTS} WHERE "posts"."id" IN ($1) AND "posts"."title" IS NULL '
            'ORDER BY "posts"."id" DESC, "posts"."title" OFFSET $2',
        ),
        (
            "await db.select().from(people).where(or(ilike(people.role, value), not(between(people.createdAt, a, b))))",
            f'{USERS} WHERE ("users"."role" ILIKE $1 OR NOT ("users"."created_at" BETWEEN $2 AND $3))',
        ),
        (
            "await db.select().from(posts).innerJoin(users, eq(posts.authorId, users.id)).where(ne(users.role, value))",
            'FROM "posts" JOIN "users" AS "users" ON "posts"."author_id" = "users"."id" WHERE "users"."role" <> $1',
        ),
        (
            "const author = alias(users, 'author');\n"
            "await db.select({ id: posts.id }).from(posts).leftJoin(author, eq(author.id, posts.authorId))",
            'FROM "posts" LEFT JOIN "users" AS "author" ON "author"."id" = "posts"."author_id"',
        ),
        (
            "await db.select({ n: count() }).from(users).where(sql`${users.data} ->> 'plan' = ${value}`)",
            f"{USERS} WHERE (\"users\".\"data\" ->> 'plan' = $1)",
        ),
        (
            "await db.select({ id: users.id }).from(users).orderBy(cosineDistance(users.embedding, value)).limit(5)",
            f'{USERS} ORDER BY ("users"."embedding" <=> $1) LIMIT $2',
        ),
        (
            "const near = sql`${users.embedding} <=> ${value}`;\n"
            "await db.select({ id: users.id }).from(users).orderBy(near).limit(5)",
            f'{USERS} ORDER BY "users"."embedding" <=> $1 LIMIT $2',
        ),
        (
            "return db.query.users.findFirst({ where: eq(users.id, value), orderBy: [desc(users.createdAt)] })",
            f'{USERS} WHERE "users"."id" = $1 ORDER BY "users"."created_at" DESC LIMIT $2',
        ),
        (
            "return db.query.posts.findMany({ where: (table, { eq }) => eq(table.title, value), limit: 10, offset: other })",
            f'{POSTS} WHERE "posts"."title" = $1 LIMIT $2 OFFSET $3',
        ),
        ("return db.$count(posts, eq(posts.authorId, value))", f'{POSTS} WHERE "posts"."author_id" = $1'),
        ("await db.select().from(invoices)", 'FROM "billing"."invoices"'),
        ("await db.insert(posts).values({ title: value, authorId: other })",
         'INSERT INTO "posts" ("title", "author_id") VALUES ($1, $2)'),
        ("await db.insert(posts).values({ title }).onConflictDoNothing()",
         'INSERT INTO "posts" ("title") VALUES ($1) ON CONFLICT DO NOTHING'),
        ("await db.update(users).set({ role: value }).where(eq(users.id, other))",
         'UPDATE "users" SET "role" = $1, "updated_at" = $2 WHERE "users"."id" = $3'),
        ("await db.delete(posts).where(eq(posts.id, value)).returning()", 'DELETE FROM "posts" WHERE "posts"."id" = $1'),
        ("await db.select().from(posts).where(eq(posts.id, value)).for('update', { skipLocked: true })",
         f'{POSTS} WHERE "posts"."id" = $1 FOR UPDATE SKIP LOCKED'),
        ("const q = db.select().from(posts);\nconst rows = await q;", POSTS),
        ("await db.select({ n: sql<number>`count(*)` }).from(posts).where(sql<boolean>`${posts.id} > ${value}`)",
         f'{POSTS} WHERE ("posts"."id" > $1)'),
        ("await db.select({ n: sql<number>`count(*)`.mapWith(Number) }).from(posts)", POSTS),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await db.select().from(posts).where(sql`exists (select 1 from ${users} where ${users.id} = ${posts.authorId})`)",
         'FROM "posts" WHERE (exists (select $1 from "users" where "users"."id" = "posts"."author_id"))'),
        ("const theirs = db.select({ id: users.id }).from(users).where(eq(users.role, value));\n"
         "await db.select().from(posts).where(inArray(posts.authorId, theirs))",
         'FROM "posts" WHERE "posts"."author_id" IN (SELECT "users"."id" FROM "users" WHERE "users"."role" = $1)'),
        ("await db.delete(posts).where(notExists(db.select().from(users).where(eq(users.id, posts.authorId))))",
         'DELETE FROM "posts" WHERE NOT EXISTS (SELECT "users"."id", "users"."mail", "users"."role", "users"."embedding", '
         '"users"."data", "users"."created_at", "users"."updated_at" FROM "users" WHERE "users"."id" = "posts"."author_id")'),
    ],
)  # fmt: skip
def test_queries_within_others_are_read(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


def test_rows_that_functions_of_the_file_make() -> None:
    tables = 'export const posts = pgTable("posts", { id: serial().primaryKey(), title: text(), tag: text() });'
    code = """
        import { posts } from "./schema";
        const toRow = (post: Post) => ({ id: post.id, title: post.title });
        export const one = (db, post) => {
          const row = toRow(post);
          return db.insert(posts).values(row).onConflictDoUpdate({ target: posts.id, set: { title: row.title } });
        };
        export const all = (db, found) => db.insert(posts).values(found.map(toRow));
        export const other = (db, found) => db.insert(posts).values(elsewhere(found));
    """
    _, calls = read({"schema.ts": tables, "app.ts": code})
    assert [(call.text, call.partial) for call in calls] == [
        ('INSERT INTO "posts" ("id", "title") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET "title" = $3', ()),
        ('INSERT INTO "posts" ("id", "title") VALUES ($1, $2)', ()),
        ('INSERT INTO "posts" VALUES ($1)', ("columns",)),
    ]


def test_all_columns_of_a_table_may_be_spread() -> None:
    tables = """
        export const posts = pgTable("posts", { id: serial().primaryKey(), title: text() });
    """
    code = """
        import { posts } from "./schema";
        const columns = getTableColumns(posts);
        const chosen = { ...columns, lower: sql`lower(${posts.title})` };
        export const all = (db) => db.select(chosen).from(posts);
    """
    call = only(read({"schema.ts": tables, "app.ts": code})[1])
    assert (call.text, call.partial) == (
        'SELECT "posts"."id", "posts"."title", lower("posts"."title") FROM "posts"',
        (),
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await db.select().from(posts).where(and(eq(posts.id, value), other ? eq(posts.title, other) : undefined))",
         f'{POSTS} WHERE "posts"."id" = $1 where'),
        ("const all = [eq(posts.id, value)];\nif (other) all.push(eq(posts.title, other));\n"
         "await db.select().from(posts).where(and(...all))", f'{POSTS} WHERE "posts"."id" = $1 where'),
        ("const all = [eq(posts.id, value)];\nawait db.select().from(posts).where(and(...all))",
         f'{POSTS} WHERE "posts"."id" = $1'),
        ("await db.select().from(posts).where(restrict(value))", f"{POSTS} where"),
        ("await db.select().from(posts).where(or(eq(posts.id, value), other))", f"{POSTS} where"),
        ("await db.select().from(posts).where(inArray(posts.id, db.select({ id: links.a }).from(other)))", f"{POSTS} where"),
        ("await db.select().from(posts).where(sql`exists (select 1 from ${other(users)})`)", f"{POSTS} where"),
        ("const where = value ? and(eq(posts.id, 1), eq(posts.title, value)) : eq(posts.id, 1);\n"
         "await db.select().from(posts).where(where)", f'{POSTS} WHERE "posts"."id" = $1 where'),
        ("await db.select().from(posts).where(sql`${posts.title} = 'a' ${other} nonsense`)", f"{POSTS} where"),
        ("let q = db.select().from(posts).$dynamic();\nif (value) q = q.where(eq(posts.id, value));\nawait q",
         f"{POSTS} {EVERYTHING}"),
        ("const q = db.select().from(posts);\nif (value) q.where(eq(posts.id, value));\nawait q", f"{POSTS} {EVERYTHING}"),
        ("await db.select({ n: sum2(posts.id) }).from(posts)", f"{POSTS} columns,expressions"),
        ("await db.query.users.findMany({ with: { posts: true } })", f"{USERS} columns,joins"),
        ("await db.query.users.findMany(options)", f"{USERS} {EVERYTHING}"),
        ("await db.insert(posts).values(rows)", 'INSERT INTO "posts" VALUES ($1) columns'),
        ("await db.update(posts).set({ title, ...rest })", 'UPDATE "posts" SET "title" = $1 columns'),
        ("await db.select().from(jobs)", 'FROM "app_jobs" columns,joins'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "supabase.from('users').select('id')",
        "const open = db.select().from(posts).as('open')",
        "seen.delete(value)",
        "cache.insert(unknown).values({ id })",
        "// await db.select().from(users)",
        "const text = 'db.select().from(users)'",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_a_variable_of_a_tables_name_is_no_table() -> None:
    _, calls = read({"db/schema.ts": SCHEMA, "a.ts": "export const f = (db, users) => db.select().from(users)"})
    assert calls == ()


def test_the_place_is_the_line_of_the_verb() -> None:
    code = 'import { posts } from "./schema";\nexport const all = async () =>\n  await db\n    .select()\n    .from(posts)\n'
    call = only(read({"db/schema.ts": SCHEMA, "a.ts": code})[1])
    assert (call.location.line, call.function, call.orm) == (4, "all", "drizzle")


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    for code in ("db.select().from(" * 3_000, "and(" * 3_000, "db.select().from(users).where(" + "and(" * 2_000,
                 "export const users = pgTable(", "const a = a;\ndb.select().from(users).where(a)"):  # fmt: skip
        read({"db/schema.ts": SCHEMA, "a.ts": f'import {{ users }} from "./schema";\n{code}'})


def test_a_parameter_hides_the_table_of_its_name() -> None:
    _, calls = read(
        {
            "db/schema.ts": 'import { pgTable, text } from "drizzle-orm/pg-core";\n'
            'export const plans = pgTable("plans", { id: text("id") });\n'
            'export const users = pgTable("users", { id: text("id") });\n',
            "lib/mail.ts": 'import { eq } from "drizzle-orm";\nimport { plans, users } from "../db/schema";\n'
            "export async function welcome(plans: any) {\n  const id = plans.id;\n"
            "  await db.select().from(users).where(eq(users.id, id));\n}\n",
        }
    )
    assert [call.text.partition(" WHERE ")[2] for call in calls] == ['"users"."id" = $1']


def test_tables_made_with_what_another_file_declares() -> None:
    helpers = """
        import { pgSchema, timestamp, varchar } from "drizzle-orm/pg-core";
        export const app = pgSchema("app");
        export const vectors = customType<{ data: number[] }>({ dataType() { return "vector(3)"; } });
        export function moment(name: string) { return timestamp(name, { withTimezone: true }); }
        export const key = (name: string) => {
          const column = varchar(name, { length: 24 }).notNull();
          return column;
        };
        export function moments() { return { createdAt: moment("created_at").notNull() }; }
    """
    tables = """
        import { text } from "drizzle-orm/pg-core";
        import { app as schema, key, moment, moments } from "./helpers";
        export const notes = schema.table("notes", { id: key("note_id").primaryKey(), ...moments(), seen: moment("seen_at") });
        export const lists = unknown.table("lists", { id: key("id") });
    """
    code = """
        import { notes } from "./tables";
        export const latest = (db) => db.select().from(notes).where(eq(notes.id, 1)).orderBy(desc(notes.createdAt));
    """
    models, calls = read({"db/helpers.ts": helpers, "db/tables.ts": tables, "app.ts": code})

    [notes] = models
    assert (notes.schema, notes.table, notes.complete) == ("app", "notes", True)
    assert [(column.name, column.type, column.length, column.nullable) for column in notes.columns] == [
        ("note_id", "varchar", 24, False),
        ("created_at", "timestamp", None, False),
        ("seen_at", "timestamp", None, True),
    ]
    assert tail(only(calls)) == 'FROM "app"."notes" WHERE "notes"."note_id" = $1 ORDER BY "notes"."created_at" DESC'
