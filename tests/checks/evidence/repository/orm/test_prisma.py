from __future__ import annotations

import pytest

from checks.evidence.repository.facts import ModelIndex, ModelRelation
from checks.model import Location
from tests.checks.evidence.repository.orm.calls import only, read, tail

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL") // https://example.org
}

enum Role {
  ADMIN
  MEMBER
}

model User {
  id        String   @id @default(cuid())
  email     String   @unique @map("mail") @db.VarChar(255)
  name      String? // shown
  role      Role     @default(MEMBER)
  data      Json
  tags      String[]
  embedding Unsupported("vector(384)")?
  createdAt DateTime @default(now()) @map("created_at")
  updatedAt DateTime @updatedAt @map("updated_at")
  posts     Post[]

  @@index([role, createdAt(sort: Desc)], map: "by_role")
  @@map("users")
  @@schema("app")
}

model Post {
  id        Int     @id
  projectId String
  slug      String
  title     String?
  authorId  String  @map("author_id")
  author    User    @relation(fields: [authorId], references: [id])

  @@unique([projectId, slug])
  @@index([title], type: Gin)
}
"""


def test_the_schema_is_read() -> None:
    (user, post), _ = read({"prisma/schema.prisma": SCHEMA})
    assert (user.schema, user.table, user.location) == ("app", "users", Location("prisma/schema.prisma", 12))
    columns = {column.attribute: column for column in user.columns}
    assert list(columns) == ["id", "email", "name", "role", "data", "tags", "embedding", "createdAt", "updatedAt"]
    email = columns["email"]
    assert (email.name, email.type, email.length, email.unique, email.nullable) == ("mail", "VarChar", 255, True, False)
    assert email.location == Location("prisma/schema.prisma", 14)
    assert (columns["name"].nullable, columns["role"].values) == (True, ("ADMIN", "MEMBER"))
    assert (columns["embedding"].dimensions, columns["tags"].type) == (384, "String[]")
    assert columns["updatedAt"].on_update
    assert user.relations == (ModelRelation("posts", "Post", many=True),)
    assert user.indexes == (ModelIndex(("role", "created_at"), "by_role"),)
    assert post.relations == (ModelRelation("author", "User", ("author_id",), ("id",)),)
    assert post.indexes == (ModelIndex(("projectId", "slug"), unique=True), ModelIndex(("title",), method="gin"))


def test_a_schema_for_another_system_is_none_of_ours() -> None:
    assert read({"schema.prisma": SCHEMA.replace('"postgresql"', '"mysql"')}) == ((), ())


def calls_of(code: str, schema: str = SCHEMA) -> list[str]:
    text = f"export async function work(value, other) {{\n{code}\n}}\n"
    _, calls = read({"prisma/schema.prisma": schema, "src/work.ts": text})
    return [f"{tail(call)} {','.join(call.partial)}".strip() for call in calls]


USERS, POSTS = 'FROM "app"."users"', 'FROM "Post"'
AUTHOR = 'LEFT JOIN "app"."users" AS "j0" ON "j0"."id" = "Post"."author_id"'
EVERYTHING = "columns,expressions,joins,limit,order,where"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await prisma.user.findUnique({ where: { email: value } })", f'{USERS} WHERE "users"."mail" = $1 LIMIT $2'),
        ("await ctx.prisma.post.findUniqueOrThrow({ where: { projectId_slug: { projectId, slug: value } } })",
         f'{POSTS} WHERE "Post"."projectId" = $1 AND "Post"."slug" = $2 LIMIT $3'),
        ("return this.prisma.post.findMany({ where: { authorId: value, title: null }, "
         "orderBy: { id: 'desc' }, take: 20, skip: other })",
         f'{POSTS} WHERE "Post"."author_id" = $1 AND "Post"."title" IS NULL ORDER BY "Post"."id" DESC LIMIT $2 OFFSET $3'),
        ("await tx.user.findMany({ where: { createdAt: { gte: value, lt: other }, "
         "role: { in: [Role.ADMIN] }, name: { not: null } } })",
         f'{USERS} WHERE "users"."created_at" >= $1 AND "users"."created_at" < $2 AND "users"."role" IN ($3) '
         'AND "users"."name" IS NOT NULL'),
        ("await prisma.user.findMany({ where: { OR: [{ name: { contains: value, mode: 'insensitive' } }, { email: value }], "
         "NOT: { role: other }, AND: [{ id: value }] } })",
         f'{USERS} WHERE (("users"."name" ILIKE $1) OR ("users"."mail" = $2)) '
         'AND NOT ("users"."role" = $3) AND "users"."id" = $4'),
        ("const where = { authorId: value };\nawait prisma.post.count({ where })", f'{POSTS} WHERE "Post"."author_id" = $1'),
        ("await prisma.post.findFirst({ orderBy: [{ title: { sort: 'asc', nulls: 'last' } }, { id: 'asc' }] })",
         f'{POSTS} ORDER BY "Post"."title" NULLS LAST, "Post"."id" LIMIT $1'),
        ("await prisma.post.create({ data: { id: 1, projectId: value, author: { connect: { id: other } } } })",
         'INSERT INTO "Post" ("id", "projectId", "author_id") VALUES ($1, $2, $3)'),
        ("await prisma.user.update({ where: { id: value }, data: { name: other, role: undefined } })",
         'UPDATE "app"."users" SET "name" = $1, "updated_at" = $2 WHERE "users"."id" = $3'),
        ("await prisma.post.deleteMany({ where: { id: { in: ids } } })", 'DELETE FROM "Post" WHERE "Post"."id" IN ($1)'),
        ("await prisma.post.createMany({ data: rows.map((row) => ({ id: row.id, slug: row.slug })) })",
         'INSERT INTO "Post" ("id", "slug") VALUES ($1, $2)'),
        ("await prisma.post.findMany({ where: { author: { is: { name: value } }, title: other } })",
         f'{POSTS} {AUTHOR} WHERE "j0"."name" = $1 AND "Post"."title" = $2'),
        ("await prisma.post.updateMany({ where: { author: { name: value } }, data: { title: null } })",
         'UPDATE "Post" SET "title" = $1 '
         'WHERE "Post"."author_id" IN (SELECT "t1"."id" FROM "app"."users" AS "t1" WHERE "t1"."name" = $2)'),
        ("await prisma.user.findMany({ where: { posts: { some: { title: value } } } })",
         f'{USERS} WHERE "users"."id" IN (SELECT "t1"."author_id" FROM "Post" AS "t1" WHERE "t1"."title" = $1)'),
        ("await prisma.user.count({ where: { posts: { none: {} } } })",
         f'{USERS} WHERE "users"."id" NOT IN (SELECT "t1"."author_id" FROM "Post" AS "t1")'),
        ("await prisma.user.count({ where: { posts: { every: { slug: value } } } })",
         f'{USERS} WHERE "users"."id" NOT IN (SELECT "t1"."author_id" FROM "Post" AS "t1" WHERE NOT ("t1"."slug" = $1))'),
        ("await prisma.post.findMany({ where: { author: { isNot: null } } })", f'{POSTS} WHERE "Post"."author_id" IS NOT NULL'),
        ("const more = { title: other };\nawait prisma.post.findMany({ where: { id: value, ...more } })",
         f'{POSTS} WHERE "Post"."id" = $1 AND "Post"."title" = $2'),
        ("await prisma.post.update({ where: { id: value }, data: other ? { slug: other, title: null } : { slug: value } })",
         'UPDATE "Post" SET "slug" = $1 WHERE "Post"."id" = $2 columns'),
        ("await prisma.user.count({ where: { data: { path: ['plan'], equals: value }, name: { not: Prisma.DbNull } } })",
         f'{USERS} WHERE ("users"."data" #> $1) = $2 AND "users"."name" IS NOT NULL'),
        ("await prisma.post.findMany({ where: { author: null } })", f'{POSTS} WHERE "Post"."author_id" IS NULL'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await prisma.post.findMany({ where: { id: value, ...more } })", f'{POSTS} WHERE "Post"."id" = $1 where'),
        ("await prisma.post.findMany({ where: { id: value, title: other ? other : undefined } })",
         f'{POSTS} WHERE "Post"."id" = $1 where'),
        ("await prisma.post.findMany({ where: { title: other ?? undefined } })", f"{POSTS} where"),
        ("await prisma.post.findMany({ where: { author: { name: value, ...more } } })",
         f'{POSTS} {AUTHOR} WHERE "j0"."name" = $1 where'),
        ("await prisma.user.findMany({ where: { posts: { some: more, every: { title: value, ...more } } } })", f"{USERS} where"),
        ("await prisma.post.findMany({ where })", f"{POSTS} where"),
        ("const where = {};\nif (value) where.title = value;\nawait prisma.post.findMany({ where })", f"{POSTS} where"),
        ("await prisma.post.findMany({ cursor: { id: value }, take: -5, orderBy: order })", f"{POSTS} LIMIT $1 order,where"),
        ("await prisma.post.findMany({ distinct: ['title'] })", f"{POSTS} limit"),
        ("await prisma.post.findMany(options)", f"{POSTS} {EVERYTHING}"),
        ("await prisma.post.update({ where: { id: value }, data })",
         'UPDATE "Post" SET $1 WHERE "Post"."id" = $2 columns'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


def test_relations_are_read_and_written_by_statements_of_their_own() -> None:
    assert calls_of("await prisma.post.findMany({ include: { author: true } })") == [
        POSTS,
        f'{USERS} WHERE "users"."id" IN ($1)',
    ]
    include = (
        "{ posts: { where: { title: value }, orderBy: { id: 'asc' }, take: 5, select: { slug: true, author: true } } }"
    )
    assert calls_of(f"await prisma.user.findUnique({{ where: {{ id: value }}, include: {include} }})") == [
        f'{POSTS} WHERE "Post"."author_id" IN ($1) AND "Post"."title" = $2 ORDER BY "Post"."id" columns,limit',
        f'{USERS} WHERE "users"."id" = $1 LIMIT $2',
        f'{USERS} WHERE "users"."id" IN ($1)',
    ]
    data = "{ email: value, posts: { create: [{ slug: other }] } }"
    assert calls_of(f"await prisma.user.create({{ data: {data} }})") == [
        'INSERT INTO "Post" ("author_id", "slug") VALUES ($1, $2)',
        'INSERT INTO "app"."users" ("mail") VALUES ($1)',
    ]


def test_rows_are_connected_through_the_relation_of_that_name() -> None:
    schema = """
        model Team {
          id      Int    @id
          members User[] @relation("membership")
          admins  User[] @relation(name: "administration")
        }
        model User {
          id      Int   @id
          teamId  Int?
          adminId Int?
          team    Team? @relation(name: "membership", fields: [teamId], references: [id])
          adminOf Team? @relation("administration", fields: [adminId], references: [id])
        }
    """
    assert calls_of(
        "await prisma.team.update({ where: { id: value }, data: { admins: { connect: { id: other } } } })", schema
    ) == [
        'FROM "Team" WHERE "Team"."id" = $1 LIMIT $2 columns',
        'UPDATE "User" SET "adminId" = $1 WHERE "User"."id" = $2',
    ]
    assert calls_of("await prisma.team.findFirst({ select: { members: { select: { id: true } } } })", schema) == [
        'FROM "User" WHERE "User"."teamId" IN ($1)',
        'FROM "Team" LIMIT $1 columns',
    ]


def test_objects_that_another_module_exports() -> None:
    shared = """
        const inner = { id: true };
        export const shown = { ...inner, email: true } satisfies Prisma.UserSelect;
        export const live = Prisma.validator<Prisma.PostWhereInput>()({ title: null });
    """
    code = """
        import { shown, live as open } from "./shared";
        export const one = (id) => prisma.user.findFirst({ where: { id }, select: { ...shown, name: true } });
        export const all = () => prisma.post.count({ where: open });
        export const some = (live) => prisma.post.count({ where: live });
    """
    _, calls = read({"prisma/schema.prisma": SCHEMA, "src/shared.ts": shared, "src/work.ts": code})
    assert [(call.text, call.partial) for call in calls] == [
        (
            'SELECT "users"."id", "users"."mail", "users"."name" FROM "app"."users" WHERE "users"."id" = $1 LIMIT $2',
            (),
        ),
        ('SELECT count(*) FROM "Post" WHERE "Post"."title" IS NULL', ()),
        ('SELECT count(*) FROM "Post"', ("where",)),
    ]


def test_an_upsert_is_the_databases_own_where_it_can_be() -> None:
    assert calls_of(
        "await prisma.post.upsert({ where: { id: value }, create: { id: value, slug: other }, update: { slug } })"
    ) == ['INSERT INTO "Post" ("id", "slug") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET "slug" = $3']
    key = "projectId_slug: { projectId: value, slug: other }"
    assert calls_of(
        f"await prisma.post.upsert({{ where: {{ {key} }}, create: {{ projectId: value, slug: other }}, update: {{}} }})"
    ) == ['INSERT INTO "Post" ("projectId", "slug") VALUES ($1, $2) ON CONFLICT ("projectId", "slug") DO NOTHING']
    assert calls_of(
        "await prisma.user.upsert({ where: { id: value }, create: { email: other }, update: { name: null } })"
    ) == [
        'INSERT INTO "app"."users" ("mail") VALUES ($1)',
        f'{USERS} WHERE "users"."id" = $1 LIMIT $2 columns',
        'UPDATE "app"."users" SET "name" = $1, "updated_at" = $2 WHERE "users"."id" = $3',
    ]
    besides = calls_of(
        "await prisma.post.upsert({ where: { id: value, projectId }, create: { id: value, projectId }, update: { slug } })"
    )
    assert 'INSERT INTO "Post" ("id", "projectId") VALUES ($1, $2)' in besides
    assert len(besides) == 3


def test_an_include_that_joins_changes_the_statement() -> None:
    schema = SCHEMA + '\ngenerator client {\n  previewFeatures = ["relationJoins"]\n}\n'
    assert calls_of("await prisma.post.findMany({ include: { author: true } })", schema) == [f"{POSTS} columns,joins"]


@pytest.mark.parametrize(
    "code",
    [
        "await stripe.user.create({ data: {} })",
        "await prisma.unknown.findMany()",
        "await prisma.$transaction(work)",
        "users.update(value)",
        "// prisma.user.findMany()",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_columns_and_limits_are_those_of_the_call() -> None:
    code = "export const one = () => prisma.user.findFirst({ select: { id: true, email: true } });"
    call = only(read({"s.prisma": SCHEMA, "a.ts": code})[1])
    assert call.text == 'SELECT "users"."id", "users"."mail" FROM "app"."users" LIMIT $1'
    assert (call.limit, call.function, call.location) == (1, "one", Location("a.ts", 1))


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    nested = "prisma.user.findMany({ where: " + "{ AND: [" * 2_000
    for code in (nested, "prisma.user.findMany(" * 3_000, "const where = where;\nprisma.user.findMany({ where })"):
        read({"s.prisma": SCHEMA, "a.ts": code})
    read({"s.prisma": "model A {\n" * 2_000 + "\x00" * 100})
