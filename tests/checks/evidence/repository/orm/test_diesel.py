from __future__ import annotations

import time

import pytest

from tests.checks.evidence.repository.orm.calls import only, read, tail

SCHEMA = """\
    // @generated automatically by Diesel CLI.
    diesel::table! {
        use diesel::sql_types::*;
        app.users (id) {
            id -> Int4,
            #[max_length = 255]
            email -> Varchar,
            #[sql_name = "type"]
            kind -> Nullable<Text>,
            deleted -> Bool,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        posts (id) {
            id -> Int4,
            user_id -> Int4,
            title -> Text,
        }
    }

    diesel::joinable!(posts -> users (user_id));
    """
FORMS = """\
    #[derive(Insertable)]
    #[diesel(table_name = posts)]
    pub struct PostForm {
        pub user_id: i32,
        pub title: Option<String>,
    }
    """
HEAD = "use crate::schema::{posts, users};\nuse diesel::prelude::*;\n"


def of(body: str, parameters: str = "conn: &mut C", head: str = HEAD) -> dict[str, str]:
    code = f"{head}pub async fn f({parameters}) -> R {{\n{body}\n}}\n"
    return {"src/schema.rs": SCHEMA, "src/forms.rs": FORMS, "src/store.rs": code}


def test_tables() -> None:
    models, _ = read({"src/schema.rs": SCHEMA})
    users, posts = models
    assert (users.name, users.table, users.schema, users.orm, users.location.line) == (
        "users",
        "users",
        "app",
        "diesel",
        4,
    )
    assert [
        (c.attribute, c.name, c.type, c.length, c.nullable, c.primary_key, c.location.line) for c in users.columns
    ] == [
        ("id", "id", "Int4", None, False, True, 5),
        ("email", "email", "Varchar", 255, False, False, 7),
        ("kind", "type", "Text", None, True, False, 9),
        ("deleted", "deleted", "Bool", None, False, False, 10),
        ("created_at", "created_at", "Timestamptz", None, False, False, 11),
    ]
    assert [(link.target, link.columns) for link in posts.relations] == [("users", ("user_id",))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("users::table.filter(users::email.eq(email)).first::<User>(conn).await",
         'FROM "app"."users" WHERE "users"."email" = $1 LIMIT $2'),
        ("users::table.find(id).first(conn)", 'FROM "app"."users" WHERE "users"."id" = $1 LIMIT $2'),
        ("posts::table.inner_join(users::table).filter(users::deleted.eq(false).and(posts::title.ilike(t))).select(posts::id)"
         ".order_by((posts::title.desc(), posts::id)).limit(10).offset(o).load::<i32>(conn)",
         'FROM "posts" JOIN "app"."users" ON "posts"."user_id" = "users"."id" WHERE ("users"."deleted" = $1 AND '
         '"posts"."title" ILIKE $2) ORDER BY "posts"."title" DESC, "posts"."id" LIMIT $3 OFFSET $4'),
        ("posts::table.left_join(users::table.on(users::id.eq(posts::user_id))).select(posts::id).get_results(conn)",
         'FROM "posts" LEFT JOIN "app"."users" ON "users"."id" = "posts"."user_id"'),
        ("users::table.filter(users::kind.is_null().or(users::id.eq_any(ids))).count().get_result::<i64>(conn)",
         'FROM "app"."users" WHERE ("users"."type" IS NULL OR "users"."id" IN ($1))'),
        ("diesel::update(users::table.find(id)).set((users::email.eq(e), users::deleted.eq(true))).execute(conn)",
         'UPDATE "app"."users" SET "email" = $1, "deleted" = $2 WHERE "users"."id" = $3'),
        ("diesel::delete(posts::table).filter(posts::user_id.eq(id)).execute(conn)",
         'DELETE FROM "posts" WHERE "posts"."user_id" = $1'),
        ("diesel::insert_into(posts::table).values((posts::user_id.eq(1), posts::title.eq(t))).execute(conn)",
         'INSERT INTO "posts" ("user_id", "title") VALUES ($1, $2)'),
        ("users::table.filter(not(users::deleted)).for_update().skip_locked().load(conn)",
         'FROM "app"."users" WHERE NOT ("users"."deleted") FOR UPDATE SKIP LOCKED'),
        ("users::table.filter(lower(users::email).eq(lower(e))).load(conn)",
         'FROM "app"."users" WHERE lower("users"."email") = $1'),
    ],
)  # fmt: skip
def test_calls(body: str, expected: str) -> None:
    _, calls = read(of(body))
    call = only(calls)
    assert tail(call) == expected
    assert (call.partial, call.location.line, call.function, call.orm) == ((), 4, "f", "diesel")


def test_rows_are_structs() -> None:
    _, calls = read(of("insert_into(posts::table).values(form).execute(conn)", "form: &PostForm"))
    assert (only(calls).text, only(calls).partial) == ('INSERT INTO "posts" ("user_id", "title") VALUES ($1, $2)', ())
    _, calls = read(of("insert_into(posts::table).values(form).execute(conn)", "form: &Unknown"))
    assert only(calls).partial == ("columns",)


def test_names_that_a_function_opens() -> None:
    body = "use crate::schema::posts::dsl::*;\nposts.filter(user_id.eq(owner)).select(title).load(conn)"
    _, calls = read(of(body, head=""))
    assert only(calls).text == 'SELECT "posts"."title" FROM "posts" WHERE "posts"."user_id" = $1'
    body = "use crate::schema::posts::dsl as p;\np::posts.filter(p::user_id.eq(user_id)).select(p::title).load(conn)"
    _, calls = read(of(body, "user_id: i32", head="fn g() { use crate::schema::posts::dsl::*; }\n"))
    assert only(calls).text == 'SELECT "posts"."title" FROM "posts" WHERE "posts"."user_id" = $1'


def test_what_cannot_be_read_is_told() -> None:
    _, calls = read(of("users::table.filter(visible(me)).select(users::id).load(conn)"))
    assert only(calls).partial == ("where",)
    _, calls = read(of("let mut q = users::table.into_boxed();\nif x { q = q.filter(users::id.eq(1)); }\nq.load(conn)"))
    assert only(calls).partial == ("limit", "order", "where")
    _, calls = read(of("users::table.inner_join(posts::table)"))
    assert only(calls).part
    _, calls = read(of("uplete(users::table.filter(users::id.eq(1))).set_null(users::email).get_result(conn)"))
    assert (tail(only(calls)), only(calls).part) == ('FROM "app"."users" WHERE "users"."id" = $1', True)
    _, calls = read(of("users::table.on(users::id.eq(1))"))
    assert calls == ()


@pytest.mark.parametrize(
    "code",
    [
        "table! {" * 5_000, "diesel::table! { users (id) {" + "id -> Int4,\n" * 20_000, "users::table" + ".filter(a)" * 3_000,
        "users::table.filter(" + "not(" * 3_000,
        "users::table.filter(users::id.eq(1)" + ".and(users::id.eq(1))" * 2_000 + ").load(c)",
        "#[diesel(table_name = users)]" * 5_000, "use users::dsl::*; " * 3_000,
    ],
    ids=range(7),
)  # fmt: skip
def test_hostile_code_never_crashes_or_hangs(code: str) -> None:
    started = time.process_time()
    read({"src/schema.rs": SCHEMA, "src/a.rs": "use diesel;\n" + code, "src/b.rs": f"use diesel; fn f() {{ {code} }}"})
    assert time.process_time() - started < 10


def test_functions_that_begin_a_query() -> None:
    head = (
        f"{HEAD}fn joins() -> _ {{\n    posts::table.inner_join(users::table)\n}}\n"
        "impl Crud for Post {\n    type InsertForm = PostForm;\n}\n"
    )
    _, calls = read(of("joins().filter(users::email.eq(e)).select(posts::id).load(conn)", head=head))
    assert tail(only(calls)) == (
        'FROM "posts" JOIN "app"."users" ON "posts"."user_id" = "users"."id" WHERE "users"."email" = $1'
    )
    _, calls = read(of("let q = users::table.filter(users::id.eq(1));\nselect(exists(q)).get_result(conn)"))
    assert (tail(only(calls)), only(calls).partial) == ('FROM "app"."users" WHERE "users"."id" = $1', ("columns",))


def test_all_columns_of_a_table_that_is_joined() -> None:
    code = """
        use crate::schema::{posts, users};
        pub fn authors(conn: &mut PgConnection) -> QueryResult<Vec<User>> {
            posts::table.inner_join(users::table).filter(posts::title.eq("x")).select(posts::all_columns).load(conn)
        }
        pub fn owners(conn: &mut PgConnection) -> QueryResult<Vec<Post>> {
            users::table.inner_join(posts::table).select(posts::all_columns).load(conn)
        }
    """
    _, calls = read({"src/schema.rs": SCHEMA, "src/a.rs": code})
    assert [call.text.partition(" FROM ")[0] for call in calls] == [
        'SELECT "posts"."id", "posts"."user_id", "posts"."title"',
        'SELECT "posts"."id", "posts"."user_id", "posts"."title"',
    ]
    assert [call.partial for call in calls] == [(), ()]
