from __future__ import annotations

import pytest

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.ledger import default_name
from checks.evidence.repository.migrations import is_migration, read_migrations
from checks.evidence.repository.scripts import Migrations
from checks.model import Location, Subject


def read(files: dict[str, str]) -> Migrations:
    return read_migrations(SourceFile(path, text, "sql") for path, text in files.items())


def places(files: dict[str, str]) -> dict[str, str]:
    """`kind name` of every object with its file and line; an alteration is marked."""
    found = {}
    for entry in read(files).entries:
        altered = " altered" * (entry.action == "alter")
        found[f"{entry.subject.kind} {entry.subject.name}{altered}"] = f"{entry.location.path}:{entry.location.line}"
    return found


def test_each_clause_has_its_own_line() -> None:
    found = places({
        "migrations/1.sql": (
            "-- the start\nCREATE TABLE users (\n  id bigserial PRIMARY KEY,\n  email text UNIQUE,\n"
            "  org int REFERENCES orgs (id),\n"
            "  age int CHECK (age > 0),\n  UNIQUE (org, email),\n  CONSTRAINT named FOREIGN KEY (org)\n    REFERENCES orgs\n);\n"
            "CREATE INDEX ON users (lower(email), org);\n"
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS byorg\n  ON users (org);\n"
        )
    })  # fmt: skip
    lines = {name: int(place.rpartition(":")[2]) for name, place in found.items()}
    assert lines == {
        "table public.users": 2, "column public.users.id": 3, "sequence public.users_id_seq": 3,
        "constraint public.users.users_pkey": 3, "index public.users_pkey": 3, "column public.users.email": 4,
        "constraint public.users.users_email_key": 4, "index public.users_email_key": 4, "column public.users.org": 5,
        "constraint public.users.users_org_fkey": 5, "column public.users.age": 6, "constraint public.users.users_age_check": 6,
        "constraint public.users.users_org_email_key": 7, "index public.users_org_email_key": 7,
        "constraint public.users.named": 8, "index public.users_lower_org_idx": 11, "index public.byorg": 12,
    }  # fmt: skip


NAMED_BY_THE_SERVER = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('ok');
CREATE TABLE app.a (id serial PRIMARY KEY, b int UNIQUE, c int CHECK (c > 0), d int, CHECK (c > d), CHECK (d > c));
CREATE TABLE "Order" (id int GENERATED ALWAYS AS IDENTITY, "userId" int, a_id int REFERENCES app.a, PRIMARY KEY (id, "userId"));
ALTER TABLE "Order" ADD FOREIGN KEY (a_id) REFERENCES app.a (b);
ALTER TABLE "Order" ADD COLUMN at timestamptz UNIQUE, ADD UNIQUE (at, a_id);
CREATE INDEX ON "Order" ("userId", (a_id + 1), lower("userId"::text));
CREATE INDEX ON "Order" ("userId");
CREATE INDEX ON "Order" ("userId");
CREATE TABLE a_very_long_table_name_that_goes_on_and_on (
  a_column_with_a_rather_long_name_too int UNIQUE CHECK (a_column_with_a_rather_long_name_too > 1));
CREATE TABLE ranges (during tstzrange, EXCLUDE USING gist (during WITH &&));
CREATE VIEW v AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one;
CREATE FUNCTION app.f(a int, OUT b text, c varchar(10)[]) LANGUAGE sql AS $$ SELECT 'x' $$;
DO $$ BEGIN
  ALTER TABLE app.a ADD CONSTRAINT in_block CHECK (d > 0);
EXCEPTION WHEN duplicate_object THEN null; END $$;
CREATE TABLE gone (id int PRIMARY KEY); CREATE INDEX gone_i ON gone (id); DROP TABLE gone;
CREATE TABLE old (id int PRIMARY KEY, x int); ALTER TABLE old RENAME TO new; ALTER TABLE new RENAME COLUMN x TO y;
ALTER TABLE new DROP COLUMN id;
SET search_path = app, public;
CREATE TABLE unqualified (id int);
"""


def test_names_are_those_that_the_server_gives(database) -> None:  # type: ignore[no-untyped-def]
    with database.connect() as connection:
        connection.execute(NAMED_BY_THE_SERVER)
        rows = connection.execute("""
            select case relkind when 'i' then 'index' when 'S' then 'sequence' when 'r' then 'table' else 'view' end,
                   nspname, relname, null
            from pg_class c join pg_namespace n on n.oid = relnamespace
            where nspname in ('app', 'public') and relkind in ('r', 'i', 'S', 'v', 'm')
            union all
            select 'constraint', nspname, relname, conname from pg_constraint o
            join pg_class c on c.oid = conrelid join pg_namespace n on n.oid = relnamespace
            where nspname in ('app', 'public') and contype <> 'n'
            union all
            select 'column', nspname, relname, attname from pg_attribute a
            join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
            where nspname in ('app', 'public') and relkind = 'r' and attnum > 0 and not attisdropped
            union all
            select 'function', nspname, proname, replace(oidvectortypes(proargtypes), ', ', ',')
            from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname in ('app', 'public')
            union all
            select 'type', nspname, typname, null from pg_type t join pg_namespace n on n.oid = typnamespace
            where nspname in ('app', 'public') and typtype in ('e', 'd')
        """).fetchall()  # fmt: skip
    server = {Subject(kind, tuple(part for part in path if part is not None)) for kind, *path in rows}
    declared = {
        entry.subject for entry in read({"migrations/1.sql": NAMED_BY_THE_SERVER}).entries if entry.action == "create"
    }
    assert {subject for subject in declared if subject.kind != "schema"} == server


def test_long_names_are_cut_as_the_server_cuts_them() -> None:
    assert default_name("a" * 40, "b" * 40, "fkey") == "a" * 29 + "_" + "b" * 28 + "_fkey"
    assert len(default_name("é" * 40, "b" * 40, "idx").encode()) <= 63


def test_later_statements_alter_and_drop() -> None:
    found = places({
        "db/migrations/10_last.sql": "ALTER TABLE a ALTER COLUMN b SET NOT NULL;\nDROP INDEX i2;\n"
        "ALTER TABLE a DROP CONSTRAINT k;",
        "db/migrations/2_next.sql": "CREATE INDEX i1 ON a (b);\nCREATE INDEX i2 ON a (b);\n"
        "ALTER TABLE a ENABLE ROW LEVEL SECURITY;",
        "db/migrations/1_first.sql": "CREATE TABLE a (b int, CONSTRAINT k UNIQUE (b));",
        "db/migrations/1_first.down.sql": "DROP TABLE a;",
    })  # fmt: skip
    assert found == {
        "table public.a": "db/migrations/1_first.sql:1",
        "column public.a.b": "db/migrations/1_first.sql:1",
        "index public.i1": "db/migrations/2_next.sql:1",
        "table public.a altered": "db/migrations/2_next.sql:3",
        "column public.a.b altered": "db/migrations/10_last.sql:1",
    }


def test_folders_of_tools() -> None:
    found = places({
        "prisma/migrations/2_b/migration.sql": 'ALTER TABLE "User" ADD COLUMN "fullName" TEXT;',
        "prisma/migrations/1_a/migration.sql": 'CREATE TABLE "User" ("id" TEXT NOT NULL,\n'
        ' CONSTRAINT "User_pkey" PRIMARY KEY ("id"));',
        "other/migrations/1/up.sql": "CREATE TABLE b (c int);",
        "other/migrations/1/down.sql": "DROP TABLE b;",
        "goose/1.sql": "-- +goose Up\nCREATE TABLE g (h int);\n-- +goose Down\nDROP TABLE g;",
        "db/schema.sql": "CREATE TABLE b (c int);",
    })  # fmt: skip
    assert found['column public."User"."fullName"'] == "prisma/migrations/2_b/migration.sql:1"
    assert found['constraint public."User"."User_pkey"'] == "prisma/migrations/1_a/migration.sql:2"
    assert found["table public.g"] == "goose/1.sql:2"
    both = [entry.location for entry in read({
        "db/schema.sql": "CREATE TABLE b (c int);", "other/migrations/1/up.sql": "CREATE TABLE b (c int);"
    }).entries if entry.subject == Subject("table", ("public", "b"))]  # fmt: skip
    assert both == [Location("other/migrations/1/up.sql", 1), Location("db/schema.sql", 1)]


def test_versions_of_diesel_are_ordered_without_their_dashes() -> None:
    files = {
        "migrations/20170428154714_first/up.sql": "CREATE TABLE a (b int);",
        "migrations/20170804200817_second/up.sql": "ALTER TABLE a ADD c int;",
        "migrations/2017-09-23-182408_third/up.sql": "ALTER TABLE a DROP c;",
        "migrations/2026-06-05-120000-0000_fourth/up.sql": "ALTER TABLE a ADD d int;",
        "migrations/2026-06-26-100902_fifth/up.sql": "ALTER TABLE a RENAME d TO e;",
    }
    found = {
        name: place for name, place in places(files).items() if name.startswith("column") and "altered" not in name
    }
    assert set(found) == {"column public.a.b", "column public.a.e"}
    numbered = places({"m/10_b/up.sql": "ALTER TABLE a ADD c int;", "m/2_a/up.sql": "CREATE TABLE a (b int);"})
    assert numbered["column public.a.c"] == "m/10_b/up.sql:1"


def test_other_systems_are_left_out() -> None:
    assert places({"drizzle/0.sql": "CREATE TABLE `users` (`id` integer PRIMARY KEY AUTOINCREMENT);"}) == {}


def test_what_the_grammar_refuses_is_partly_read_and_said() -> None:
    read_back = read({
        "migrations/1.sql": "CREATE TABLE {{ schema }}.a (b int);\nCREATE TABLE tenants (id int {{ extra }});\n"
        "CREATE INDEX CONCURRENTLY i ON app.t (b) {{ where }};\nCREATE TABLE fine (id int);\nCREATE TABLE (;"
    })  # fmt: skip
    assert {entry.subject.name for entry in read_back.entries} == {
        "public.tenants",
        "app.i",
        "public.fine",
        "public.fine.id",
    }
    assert [location.line for location in read_back.unparsed] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE " + "(" * 10_000,
        "CREATE TABLE a (" * 5_000,
        "DO $$ " + "ALTER TABLE a " * 5_000 + "$$",
        "'",
        "\x00;",
        "CREATE",
    ],
)
def test_hostile_migrations_never_crash(text: str) -> None:
    read({"migrations/1.sql": text})


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("supabase/migrations/2023_init.sql", "", True), ("lib/db/migrations/0000_x.sql", "", True), ("V1_2__add.sql", "", True),
        ("db/structure.sql", "", True), ("sql/setup.sql", "CREATE TABLE a (b int);", True),
        ("queries/users.sql", "SELECT 1;", False),
    ],
)  # fmt: skip
def test_which_files_are_migrations(path: str, text: str, expected: bool) -> None:
    assert is_migration(SourceFile(path, text, "sql")) is expected


def test_prisma_orders_its_folders_letter_by_letter() -> None:
    files = {
        "prisma/migrations/20250409154352_first/migration.sql": "CREATE TABLE users (id int);",
        "prisma/migrations/20250625_short/migration.sql": "ALTER TABLE users ADD COLUMN name text;",
    }
    (lineage,) = read(files).lineages
    assert [column.name for column in lineage.tables[0].columns] == ["id", "name"]
