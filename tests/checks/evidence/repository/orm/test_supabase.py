from __future__ import annotations

import pytest

from checks.evidence.repository.facts import ModelRelation
from tests.checks.evidence.repository.orm.calls import read
from tests.checks.evidence.repository.orm.test_access import matched

TYPES = """
    export type Database = {
      public: {
        Tables: {
          users: {
            Row: { id: string; email: string; age: number | null }
            Insert: { id?: string }
            Relationships: []
          }
          posts: {
            Row: { id: string; user_id: string; title: string; tags: string[] | null }
            Relationships: [
              { foreignKeyName: "posts_user_id_fkey"; columns: ["user_id"]; isOneToOne: false
                referencedRelation: "users"; referencedColumns: ["id"] }
            ]
          }
          labels: { Row: { id: string; name: string }, Relationships: [] }
          post_labels: {
            Row: { post_id: string; label_id: string }
            Relationships: [
              { foreignKeyName: "a"; columns: ["post_id"]; referencedRelation: "posts"; referencedColumns: ["id"] },
              { foreignKeyName: "b"; columns: ["label_id"]; referencedRelation: "labels"; referencedColumns: ["id"] }
            ]
          }
        }
        Views: { [_ in never]: never }
      }
      billing: { Tables: { invoices: { Row: { id: number }, Relationships: [] } } }
    }
"""


def test_tables_of_generated_types() -> None:
    models, _ = read({"types.ts": TYPES})
    found = {model.name: model for model in models}
    assert [(model.schema, model.table, model.orm) for model in models] == [
        (None, "users", "supabase"),
        (None, "posts", "supabase"),
        (None, "labels", "supabase"),
        (None, "post_labels", "supabase"),
        ("billing", "invoices", "supabase"),
    ]
    assert [(column.name, column.type, column.nullable) for column in found["users"].columns] == [
        ("id", "string", False),
        ("email", "string", False),
        ("age", "number", True),
    ]
    assert found["posts"].relations == (ModelRelation("posts_user_id_fkey", "users", ("user_id",), ("id",)),)


def calls_of(code: str, path: str = "db.ts") -> list[str]:
    header = 'import { createClient } from "@supabase/supabase-js";\nconst TABLE = "users";\n'
    _, calls = read({"types.ts": TYPES, path: f"{header}export async function work(x, y) {{\n{code}\n}}\n"})
    return [f"{call.text} {','.join(call.partial)}".strip() for call in calls]


USERS = 'SELECT "users".* FROM "users"'
EVERYTHING = "columns,expressions,joins,limit,order,where"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await supabase.from('users').select('id, mail:email').eq('email', x).limit(5)",
         'SELECT "users"."id", "users"."email" FROM "users" WHERE "users"."email" = $1 LIMIT $2'),
        ("await (await createClient()).from(TABLE).select().gte('age', 3).is('email', null).maybeSingle()",
         f'{USERS} WHERE "users"."age" >= $1 AND "users"."email" IS NULL'),
        ("await supabase.schema('billing').from('invoices').select('id').in('id', x).order('id', { ascending: false })",
         'SELECT "invoices"."id" FROM "billing"."invoices" WHERE "invoices"."id" IN ($1) ORDER BY "invoices"."id" DESC'),
        ("await supabase.from('users').select('*').or(`age.gt.${x},and(email.eq.a,age.is.null)`)",
         f'{USERS} WHERE ("users"."age" > $1 OR ("users"."email" = $2 AND "users"."age" IS NULL))'),
        ("await supabase.from('users').select('*').not('email', 'is', null).match({ age: 3 }).range(10, 20)",
         f'{USERS} WHERE "users"."email" IS NOT NULL AND "users"."age" = $1 LIMIT $2 OFFSET $3'),
        ("await supabase.from('posts').select('meta->>kind, title').contains('tags', ['a']).filter('meta->>kind', 'eq', x)",
         'SELECT ("posts"."meta" ->> \'kind\'), "posts"."title" FROM "posts" WHERE "posts"."tags" @> $1 '
         'AND ("posts"."meta" ->> \'kind\') = $2'),
        ("await supabase.from('users').select('*', { count: 'exact', head: true })", 'SELECT count(*) FROM "users"'),
        ("await supabase.from('posts').select('id, author:users!inner(email)').eq('author.email', x)",
         'SELECT "posts"."id", "author"."email" FROM "posts" JOIN "users" AS "author" ON "posts"."user_id" = "author"."id" '
         'WHERE "author"."email" = $1 columns'),
        ("await supabase.from('users').select('id, posts(title)')",
         'SELECT "users"."id", "posts"."title" FROM "users" LEFT JOIN "posts" AS "posts" ON "users"."id" = "posts"."user_id" '
         "columns"),
        ("await supabase.from('posts').select('id, labels(name)')",
         'SELECT "posts"."id", "labels"."name" FROM "posts" LEFT JOIN "post_labels" AS "post_labels_1" ON "posts"."id" = '
         '"post_labels_1"."post_id" LEFT JOIN "labels" AS "labels" ON "labels"."id" = "post_labels_1"."label_id" columns'),
        ("await supabase.from('users').insert({ email: x, age: y }).select()",
         'INSERT INTO "users" ("email", "age") VALUES ($1, $2)'),
        ("await supabase.from('users').insert(x.map((e) => ({ email: e })))", 'INSERT INTO "users" ("email") VALUES ($1)'),
        ("await supabase.from('users').upsert({ id: x })", 'INSERT INTO "users" ("id") VALUES ($1) columns'),
        ("await supabase.from('users').update({ email: x }).eq('id', y)",
         'UPDATE "users" SET "email" = $1 WHERE "users"."id" = $2'),
        ("return supabase.from('users').delete().eq('id', x)", 'DELETE FROM "users" WHERE "users"."id" = $1'),
        ("await supabase.rpc('match_documents', { query_embedding: x, match_count: 5 })",
         'SELECT * FROM "match_documents"("query_embedding" => $1, "match_count" => $2)'),
        ("let q = supabase.from('users').select('id').eq('age', 1);\nq = q.order('id');\nconst { data } = await q;",
         'SELECT "users"."id" FROM "users" WHERE "users"."age" = $1 ORDER BY "users"."id"'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("let q = supabase.from('users').select('*');\nif (x) q = q.eq('age', x);\nconst { data } = await q;", f"{USERS} where"),
        ("await supabase.from('users').select(x)", 'SELECT FROM "users" columns,expressions,joins'),
        ("await supabase.from('users').select('*').eq(x, y)", f"{USERS} where"),
        ("await supabase.from('users').select('*').or(x)", f"{USERS} where"),
        ("await supabase.from('users').select('*').order(x)", f"{USERS} order"),
        ("await supabase.from('users').insert(x)", 'INSERT INTO "users" VALUES ($1) columns'),
        ("await supabase.from('users').select('id, strangers(name)')", 'SELECT "users"."id" FROM "users" columns,joins'),
        ("const q = supabase.from('users').select('*');\nawait page(q)", f"{USERS} {EVERYTHING}"),
        ("await supabase.rpc('f', x)", 'SELECT * FROM "f"() columns'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "await supabase.storage.from('files').upload(x, y)",
        "const a = Array.from('users').map(f)",
        "Buffer.from('users', 'base64')",
        "await supabase.from(x).select('*')",
        "await supabase.from('users; drop').select('*')",
        "await db.select().from('users')",
        "// await supabase.from('users').select('*')",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def python_calls(code: str) -> list[str]:
    body = "\n".join(f"    {line}" for line in code.splitlines())
    text = f"from supabase import create_client\nTABLE = 'users'\n\nasync def work(self, x, y):\n{body}\n"
    _, calls = read({"types.ts": TYPES, "db.py": text})
    return [f"{call.text} {','.join(call.partial)}".strip() for call in calls]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("supabase.table('users').select('id', 'email').eq('email', x).order('id', desc=True).limit(1).execute()",
         'SELECT "users"."id", "users"."email" FROM "users" WHERE "users"."email" = $1 ORDER BY "users"."id" DESC LIMIT $2'),
        ("r = await self.db.table(TABLE).select('*', count='exact').in_('id', x).not_.is_('email', 'null').execute()",
         f'{USERS} WHERE "users"."id" IN ($1) AND "users"."email" IS NOT NULL'),
        ("client.from_('users').insert({'email': x, 'age': "
         "3}).execute()", 'INSERT INTO "users" ("email", "age") VALUES ($1, $2)'),
        ("row = {'email': x}\nclient.table('users').update(row).eq('id', y).execute()",
         'UPDATE "users" SET "email" = $1 WHERE "users"."id" = $2'),
        ("client.table('users').delete().eq('id', x).execute()", 'DELETE FROM "users" WHERE "users"."id" = $1'),
        ("client.rpc('match_documents', {'n': x}).execute()", 'SELECT * FROM "match_documents"("n" => $1)'),
        ("client.table('posts').select('id, users(email)').execute()",
         'SELECT "posts"."id", "users"."email" FROM "posts" LEFT JOIN "users" AS "users" ON "posts"."user_id" = '
         '"users"."id" columns'),
        ("q = client.table('users').select('*')\nif x:\n    q = q.eq('age', x)\nreturn q.execute()", f"{USERS} where"),
        ("q = client.table('users').select('*').eq('age', x)\nq = q.order('id')\nreturn q.execute()",
         f'{USERS} WHERE "users"."age" = $1 ORDER BY "users"."id"'),
        ("row['a'] = 1\nclient.table('users').insert(row).execute()", 'INSERT INTO "users" VALUES ($1) columns'),
    ],
)  # fmt: skip
def test_python_calls_become_sql(code: str, expected: str) -> None:
    assert python_calls(code) == [expected]


def test_what_is_no_call_of_python_is_none() -> None:
    assert python_calls("supabase.storage.from_('files').upload(x)\nq = client.table('users').select('*')") == []


SENT = """WITH pgrst_source AS ( {} ) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total,
    coalesce(json_agg(_postgrest_t), '[]') AS body FROM ( SELECT * FROM pgrst_source ) _postgrest_t"""
BODY = """(SELECT $1 AS json_data) pgrst_payload, LATERAL (SELECT "email" FROM json_to_record(pgrst_payload.json_data)
    AS _("email" text)) pgrst_body"""


@pytest.mark.parametrize(
    ("code", "inner"),
    [
        ("await supabase.from('users').select('id').eq('email', x)",
         'SELECT "public"."users"."id" FROM "public"."users" WHERE "public"."users"."email" = $1 LIMIT $2 OFFSET $3'),
        ("await supabase.from('users').select('id').not('email', 'is', null).eq('id', x)",
         'SELECT "public"."users"."id" FROM "public"."users" WHERE NOT "public"."users"."email" IS NULL AND '
         '"public"."users"."id" = $1'),
        ("await supabase.from('users').select('*').order('id').limit(5)",
         'SELECT "public"."users".* FROM "public"."users" ORDER BY "public"."users"."id" LIMIT $2 OFFSET $3'),
        ("await supabase.from('posts').select('id, author:users(email)').eq('title', x)",
         'SELECT "public"."posts"."id", row_to_json("posts_author_1".*)::jsonb AS "author" FROM "public"."posts" LEFT '
         'JOIN LATERAL '
         '( SELECT "author_1"."email" FROM "public"."users" AS "author_1" WHERE "author_1"."id" = "public"."posts"."user_id" ) '
         'AS "posts_author_1" ON TRUE WHERE "public"."posts"."title" = $1'),
        ("await supabase.from('users').update({ email: x }).eq('id', y)",
         f'UPDATE "public"."users" SET "email" = "pgrst_body"."email" FROM {BODY} WHERE "public"."users"."id" = $2 RETURNING 1'),
        ("await supabase.from('users').insert({ email: x })",
         f'INSERT INTO "public"."users"("email") SELECT "pgrst_body"."email" FROM {BODY} RETURNING 1'),
        ("await supabase.from('users').delete().eq('id', y)",
         'DELETE FROM "public"."users" WHERE "public"."users"."id" = $1 RETURNING 1'),
        ("await supabase.rpc('nearest', { email: x })",
         f'SELECT pgrst_call.* FROM {BODY}, LATERAL "public"."nearest"("email" := pgrst_body."email") pgrst_call'),
    ],
)  # fmt: skip
def test_what_postgrest_sent_matches_its_call(code: str, inner: str) -> None:
    header = "import { createClient } from '@supabase/supabase-js'\n"
    _, calls = read({"types.ts": TYPES, "db.ts": f"{header}export async function f(x, y) {{\n{code}\n}}\n"})
    assert matched(list(calls), SENT.format(inner)) == [(3, "1", "pattern")]
    assert matched(list(calls), SENT.format(inner.replace('"email" = ', '"name" = ').replace("nearest", "farthest")
                   .replace('"id" = $', '"name" = $').replace('("email")', '("name")').replace('BY "public"."users"."id"',
                   'BY "public"."users"."name"').replace('"title" = ', '"id" = '))) == []  # fmt: skip


def test_a_count_besides_is_no_other_access() -> None:
    header = "import { createClient } from '@supabase/supabase-js'\n"
    code = "await supabase.from('users').select('*', { count: 'exact', head: true }).eq('email', x)"
    _, calls = read({"db.ts": f"{header}export async function f(x, y) {{\n{code}\n}}\n"})
    source = 'SELECT "public"."users".* FROM "public"."users" WHERE "public"."users"."email" = $1 LIMIT $2 OFFSET $3'
    sent = (
        f"WITH pgrst_source AS ({source}), pgrst_source_count AS (SELECT 1 FROM public.users WHERE public.users.email = $1) "
        "SELECT (SELECT pg_catalog.count(*) FROM pgrst_source_count) AS total_result_set FROM pgrst_source _postgrest_t"
    )
    assert matched(list(calls), sent) == [(3, "1", "pattern")]


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    header = "import { createClient } from '@supabase/supabase-js'\n"
    for code in ("supabase.from('users').select('" + "a(" * 3_000 + "')",
                 "supabase.from('users').select('*').or('" + "and(" * 3_000 + "')",
                 "supabase.from('users')" + ".eq('a', 1)" * 3_000, "const s = s;\nawait supabase.from(s).select(s)"):  # fmt: skip
        read({"types.ts": TYPES, "db.ts": header + code})
