from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import CheckResult, Location, Outcome, Reason, Severity
from tests.checks.survey import examine, finding
from tests.servers import Database

MakeRepository = Callable[[Mapping[str, str | bytes]], Path]

FIRST = """
CREATE TYPE mood AS ENUM ('ok');
CREATE TABLE orgs (id bigserial PRIMARY KEY, name varchar(40) NOT NULL);
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id bigint REFERENCES orgs ON DELETE CASCADE,
  email text NOT NULL UNIQUE,
  age int CHECK (age > 0),
  price numeric(10, 2) DEFAULT 0,
  seen timestamp(3),
  moods mood[],
  note character varying
);
CREATE INDEX users_org ON users (org_id);
CREATE INDEX users_note ON users (note) WHERE note IS NOT NULL;
CREATE TABLE gone (id int);
CREATE TABLE events (at timestamptz, id int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE VIEW shown AS SELECT id FROM users;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
"""
SECOND = """
DROP TABLE gone;
ALTER TABLE users ALTER COLUMN org_id SET NOT NULL, ADD COLUMN nick text DEFAULT NULL;
ALTER TABLE users RENAME COLUMN age TO years;
ALTER TYPE mood RENAME TO feeling;
"""
MIGRATIONS = {"db/migrations/001_first.sql": FIRST, "db/migrations/002_second.sql": SECOND}


def build(database: Database, *more: str) -> None:
    for script in (FIRST, SECOND, *more):
        database.execute(script)


def drift(database: Database, root: Path) -> CheckResult:
    return examine(database, "schema.drift", root)


def test_a_database_that_its_migrations_built_has_none(database: Database, repository: MakeRepository) -> None:
    build(
        database,
        """
        CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        DROP TABLE events_2024;
        CREATE SCHEMA auth;
        CREATE TABLE auth.users (id uuid PRIMARY KEY);
        CREATE TABLE schema_migrations (version text);
        CREATE TABLE checkpoints (id int);
        ALTER INDEX users_org RENAME TO another_name;
        ALTER TABLE users DROP CONSTRAINT users_email_key;
        CREATE UNIQUE INDEX users_email ON users (email);
        """,
    )
    result = drift(database, repository({**MIGRATIONS, "db/migrations/002_second.down.sql": "DROP TABLE users;"}))
    assert [entry.title for entry in result.findings] == []
    assert (result.outcome, result.examined, result.of) == (Outcome.PASSED, 3, 3)


def test_what_differs_is_named(database: Database, repository: MakeRepository) -> None:
    build(
        database,
        """
        ALTER TABLE users ADD COLUMN by_hand int, DROP COLUMN nick, ALTER COLUMN email TYPE varchar(100);
        ALTER TABLE users ALTER COLUMN note SET NOT NULL, DROP CONSTRAINT users_org_id_fkey;
        DROP INDEX users_note;
        CREATE INDEX in_a_hurry ON users (seen);
        CREATE TABLE kept_by_hand (id int);
        """,
        "DROP TABLE events",
        "CREATE VIEW secret AS SELECT 1 AS one",
        "DROP TRIGGER touched ON users",
    )
    result = drift(database, repository(MIGRATIONS))
    found = {(entry.subject.name, entry.discriminator): entry for entry in result.findings}
    assert set(found) == {
        ("public.users", ""), ("public.users", "trigger"), ("public.kept_by_hand", ""), ("public.events", ""),
        ("public", "view"),
    }  # fmt: skip
    users = found[("public.users", "")]
    assert users.severity is Severity.HIGH
    assert users.observed == {
        "only_in_database": ["column by_hand", "index in_a_hurry (seen)"],
        "only_in_migrations": ["column nick", "foreign key users_org_id_fkey", "index users_note (note)"],
        "differs": [
            "column email is character varying(100), declared text", "column note is NOT NULL, declared to allow it",
        ],
        "migrations": "db/migrations",
    }  # fmt: skip
    assert Location("db/migrations/002_second.sql", 3) in users.locations
    assert Location("db/migrations/001_first.sql", 7) in users.locations
    assert found[("public.kept_by_hand", "")].severity is Severity.MEDIUM
    assert found[("public.events", "")].locations == (Location("db/migrations/001_first.sql", 17),)
    assert found[("public.users", "trigger")].severity is Severity.HIGH
    assert found[("public", "view")].severity is Severity.LOW


def test_what_goes_along_and_what_is_said_in_comments(database: Database, repository: MakeRepository) -> None:
    third = """/* `quoted` as MySQL does, in a remark */
-- ROLLBACK SAFETY: nothing follows from this line
CREATE TABLE twice (id int PRIMARY KEY UNIQUE);
ALTER FUNCTION touch() RENAME TO touch_now;
CREATE FUNCTION watch(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('CREATE TRIGGER watched BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION touch_now()', t); END $$;
SELECT watch('users');
"""
    fourth = "DROP FUNCTION touch_now CASCADE;"
    build(database, third)
    files = {**MIGRATIONS, "db/migrations/003.sql": third}
    assert [entry.title for entry in drift(database, repository(files)).findings] == []
    database.execute(fourth)
    assert [
        entry.title for entry in drift(database, repository({**files, "db/migrations/004.sql": fourth})).findings
    ] == []


def test_a_migration_that_did_not_run_is_one_finding(database: Database, repository: MakeRepository) -> None:
    build(database)
    third = "CREATE TABLE a (id int);\nCREATE TABLE b (id int, a_id int);\nALTER TABLE users ADD COLUMN c int;"
    result = drift(database, repository({**MIGRATIONS, "db/migrations/003_third.sql": third}))
    (only,) = result.findings
    assert only.subject.name == "db/migrations/003_third.sql"
    assert only.severity is Severity.HIGH
    assert only.observed["only_in_migrations"] == ["table public.a", "table public.b", "column c of public.users"]


def test_many_tables_of_nobody_are_one_finding(database: Database, repository: MakeRepository) -> None:
    build(database, *(f"CREATE TABLE odd_{number} (id int)" for number in range(7)))
    (only,) = drift(database, repository(MIGRATIONS)).findings
    assert (only.subject.kind, only.subject.name, only.observed["tables"]) == ("schema", "public", 7)


def test_nothing_follows_from_what_could_not_be_read(database: Database, repository: MakeRepository) -> None:
    build(database, "ALTER TABLE users DROP COLUMN nick")
    block = """
    DO $$ BEGIN
      IF EXISTS (SELECT 1 FROM information_schema.columns WHERE column_name = 'nick') THEN
        ALTER TABLE users DROP COLUMN nick;
      END IF;
    END $$;
    """
    root = repository({**MIGRATIONS, "db/migrations/003.sql": block})
    assert drift(database, root).findings == ()
    dynamic = block.replace(
        "ALTER TABLE users DROP COLUMN nick", "EXECUTE format('ALTER TABLE %I DROP COLUMN x', 'users')"
    )
    result = drift(database, repository({**MIGRATIONS, "db/migrations/003.sql": dynamic}))
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_PARSED)
    assert "db/migrations/003.sql" in (result.unlock or "")


def test_the_lineage_that_fits_is_compared(database: Database, repository: MakeRepository) -> None:
    build(database, "CREATE TABLE added (id int)")
    others = {f"services/other/migrations/00{n}.sql": f"CREATE TABLE other_{n} (id int);" for n in range(1, 6)}
    whole = {"schema.sql": FIRST.replace("CREATE TABLE gone (id int);", "CREATE TABLE added (id int);")}
    result = drift(database, repository({**MIGRATIONS, **others, **whole}))
    assert result.findings == ()
    result = drift(database, repository(others))
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NEEDS_ANSWER)
    assert drift(database, repository({"a.py": "x = 1"})).outcome is Outcome.NOT_APPLICABLE


def test_another_schema_by_search_path(database: Database, repository: MakeRepository) -> None:
    database.execute(
        "CREATE SCHEMA app; SET search_path = app; " + FIRST + SECOND + "ALTER TABLE users DROP COLUMN note;"
    )
    result = drift(database, repository(MIGRATIONS))
    assert finding(result, "app.users").observed["only_in_migrations"] == ["column note", "index users_note (note)"]
    assert len(result.findings) == 1


ALEMBIC = {
    "migrations/versions/b2.py": """
from alembic import op
import sqlalchemy as sa
revision = "b2"
down_revision = "a1"
def upgrade():
    with op.batch_alter_table("posts") as batch_op:
        batch_op.add_column(sa.Column("body", sa.LargeBinary(), nullable=False))
        batch_op.alter_column("title", existing_type=sa.Text(), type_=sa.String(200), nullable=False)
        batch_op.drop_constraint("uq_title", type_="unique")
    op.execute("CREATE TABLE raw (id bigserial PRIMARY KEY, x int)")
    op.create_foreign_key("fk_raw", "raw", "users", ["x"], ["id"], ondelete="SET NULL")
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("low", "users", [sa.text("lower(email)")], unique=True)
    else:
        op.create_table("never", sa.Column("id", sa.Integer()))
def downgrade():
    op.drop_table("posts")
""",
    "migrations/versions/z_first.py": """
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
revision: str = "a1"
down_revision: str | None = None
TABLE = "users"
def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=120), nullable=False, unique=True),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=True),
        sa.Column("made", sa.DateTime(timezone=True), index=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "posts",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("title", sa.Text()),
        sa.UniqueConstraint("user_id", "title", name="uq_title"),
    )
""",
}
BUILT_BY_ALEMBIC = """
CREATE TABLE users (id SERIAL NOT NULL, email VARCHAR(120) NOT NULL, data JSONB DEFAULT '{}',
  made TIMESTAMP WITH TIME ZONE, PRIMARY KEY (id), UNIQUE (email));
CREATE INDEX ix_users_made ON users (made);
CREATE TABLE posts (id UUID NOT NULL, user_id INTEGER NOT NULL, title VARCHAR(200) NOT NULL, body BYTEA NOT NULL,
  PRIMARY KEY (id), FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE);
CREATE TABLE raw (id bigserial PRIMARY KEY, x int);
ALTER TABLE raw ADD CONSTRAINT fk_raw FOREIGN KEY(x) REFERENCES users (id) ON DELETE SET NULL;
CREATE UNIQUE INDEX low ON users (lower(email));
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
"""


def test_alembic_revisions_in_their_order(database: Database, repository: MakeRepository) -> None:
    database.execute(BUILT_BY_ALEMBIC)
    root = repository(ALEMBIC)
    result = drift(database, root)
    assert ([entry.title for entry in result.findings], result.examined) == ([], 3)
    database.execute("ALTER TABLE posts ALTER COLUMN title TYPE text, ALTER COLUMN body DROP NOT NULL")
    (only,) = drift(database, root).findings
    assert only.observed["differs"] == [
        "column body allows NULL, declared NOT NULL",
        "column title is text, declared character varying(200)",
    ]
    assert only.locations == (Location("migrations/versions/b2.py", 8), Location("migrations/versions/b2.py", 9))


DJANGO = {
    "manage.py": "",
    "settings.py": 'AUTH_USER_MODEL = "shop.User"\n',
    "shop/migrations/0001_initial.py": """
import uuid
from django.conf import settings
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.CharField(max_length=100, unique=True)),
                ("groups", models.ManyToManyField(related_name="users", to="auth.group")),
            ],
            options={"db_table": "people"},
        ),
        migrations.CreateModel(
            name="Tag", fields=[("id", models.AutoField(primary_key=True)), ("name", models.SlugField())]
        ),
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True)),
                ("stock", models.PositiveIntegerField(default=0)),
                ("sku", models.CharField(max_length=30)),
                ("owner", models.ForeignKey(on_delete=models.CASCADE, to=settings.AUTH_USER_MODEL)),
                ("tags", models.ManyToManyField(to="shop.tag")),
            ],
            options={"unique_together": {("sku", "owner")}},
        ),
    ]
""",
    "shop/migrations/0002_more.py": """
from django.db import migrations, models
def copy(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update(sku="")
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RenameModel("Tag", "Label"),
        migrations.AlterField("product", "stock", models.BigIntegerField(null=True)),
        migrations.AddField("product", "price", models.DecimalField(max_digits=8, decimal_places=2, default=0)),
        migrations.AddIndex("product", models.Index(fields=["price"], name="by_price")),
        migrations.AlterUniqueTogether("product", set()),
        migrations.RunPython(copy),
        migrations.RunSQL("CREATE TABLE extra (id int PRIMARY KEY)", "DROP TABLE extra"),
    ]
""",
}
BUILT_BY_DJANGO = """
CREATE TABLE auth_group (id integer PRIMARY KEY);
CREATE TABLE django_migrations (id bigint PRIMARY KEY);
CREATE TABLE people (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, email varchar(100) NOT NULL UNIQUE);
CREATE INDEX people_email_like ON people (email varchar_pattern_ops);
CREATE TABLE people_groups (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
  user_id bigint NOT NULL REFERENCES people, group_id integer NOT NULL REFERENCES auth_group);
ALTER TABLE people_groups ADD CONSTRAINT people_groups_x_uniq UNIQUE (user_id, group_id);
CREATE INDEX a1 ON people_groups (user_id);
CREATE INDEX a2 ON people_groups (group_id);
CREATE TABLE shop_label (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name varchar(50) NOT NULL);
CREATE INDEX shop_tag_name_x ON shop_label (name);
CREATE INDEX shop_tag_name_x_like ON shop_label (name varchar_pattern_ops);
CREATE TABLE shop_product (id uuid PRIMARY KEY, stock bigint NULL, sku varchar(30) NOT NULL,
  owner_id bigint NOT NULL CONSTRAINT shop_product_owner_fk REFERENCES people, price numeric(8, 2) NOT NULL);
CREATE INDEX a3 ON shop_product (owner_id);
CREATE INDEX by_price ON shop_product (price);
CREATE TABLE shop_product_tags (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
  product_id uuid NOT NULL REFERENCES shop_product, label_id integer NOT NULL REFERENCES shop_label,
  UNIQUE (product_id, label_id));
CREATE INDEX a4 ON shop_product_tags (product_id);
CREATE INDEX a5 ON shop_product_tags (label_id);
CREATE TABLE extra (id int PRIMARY KEY);
"""


def test_django_migrations_in_their_order(database: Database, repository: MakeRepository) -> None:
    database.execute(BUILT_BY_DJANGO)
    root = repository(DJANGO)
    result = drift(database, root)
    assert ([entry.title for entry in result.findings], result.examined) == ([], 6)
    database.execute(
        "ALTER TABLE shop_product DROP COLUMN price; CREATE TABLE shop_odd (id int); CREATE TABLE odd (id int)"
    )
    found = drift(database, root).findings
    assert {entry.subject.name for entry in found} == {"public.shop_product", "public.shop_odd"}


RAILS = """
ActiveRecord::Schema[7.1].define(version: 2024_01_01_000000) do
  create_table "users", force: :cascade do |t|
    t.string "email", limit: 100, default: "", null: false
    t.datetime "created_at", null: false
    t.string "tags", default: [], array: true
    t.decimal "price", precision: 10, scale: 2
    t.index ["email"], name: "index_users_on_email", unique: true
    t.index "lower((email)::text)", name: "index_lower"
  end

  create_table "posts", id: :uuid, default: -> { "gen_random_uuid()" }, force: :cascade do |t|
    t.bigint "user_id", null: false
    t.index ["user_id"], name: "index_posts_on_user_id"
  end

  add_foreign_key "posts", "users", on_delete: :cascade
end
"""
BUILT_BY_RAILS = """
CREATE TABLE users (id bigserial PRIMARY KEY, email varchar(100) NOT NULL DEFAULT '', created_at timestamp(6) NOT NULL,
  tags varchar[] DEFAULT '{}', price numeric(10, 2));
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE INDEX index_lower ON users (lower(email::text));
CREATE TABLE posts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id bigint NOT NULL);
CREATE INDEX index_posts_on_user_id ON posts (user_id);
ALTER TABLE posts ADD CONSTRAINT fk_rails_1 FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
CREATE VIEW v AS SELECT 1 AS one;
"""


def test_the_schema_of_rails(database: Database, repository: MakeRepository) -> None:
    database.execute(BUILT_BY_RAILS)
    root = repository({"db/schema.rb": RAILS})
    result = drift(database, root)
    assert ([entry.title for entry in result.findings], result.examined) == ([], 2)
    database.execute("DROP INDEX index_lower; ALTER TABLE posts ALTER COLUMN user_id DROP NOT NULL")
    found = {entry.subject.name: entry.locations for entry in drift(database, root).findings}
    assert found == {"public.users": (Location("db/schema.rb", 9),), "public.posts": (Location("db/schema.rb", 13),)}


def test_values_of_types_and_defaults_are_compared(database: Database, repository: MakeRepository) -> None:
    migrations = {
        "db/migrations/001_first.sql": """
CREATE TYPE mood AS ENUM ('ok', 'low');
CREATE TYPE state AS ENUM ('new', 'done');
CREATE TYPE level AS ENUM ('a');
CREATE TABLE users (id bigserial PRIMARY KEY, mood mood NOT NULL DEFAULT 'ok', state state, level level,
  price int DEFAULT 3,
  score int, made timestamptz DEFAULT now());
CREATE TABLE orders (id bigserial PRIMARY KEY, mood mood);
""",
        "db/migrations/002_more.sql": """
ALTER TYPE state RENAME VALUE 'done' TO 'closed';
ALTER TYPE mood ADD VALUE 'high' AFTER 'ok';
DO $$ BEGIN IF EXISTS (SELECT 1 FROM users) THEN ALTER TYPE level ADD VALUE 'b'; END IF; END $$;
""",
    }
    database.execute(
        """
        CREATE TYPE mood AS ENUM ('low', 'ok', 'dire');
        CREATE TYPE state AS ENUM ('closed', 'new');
        CREATE TYPE level AS ENUM ('a', 'b');
        CREATE TABLE users (id bigserial PRIMARY KEY, mood mood NOT NULL DEFAULT 'ok', state state, level level, price int,
          score int DEFAULT 1, made timestamptz DEFAULT clock_timestamp());
        CREATE TABLE orders (id bigserial PRIMARY KEY, mood mood);
        """
    )
    result = drift(database, repository(migrations))
    assert {entry.subject.path for entry in result.findings} == {("public", "mood"), ("public", "users")}
    by_name = {entry.subject.path[-1]: entry for entry in result.findings}
    mood, users = by_name["mood"], by_name["users"]
    assert mood.observed["only_in_migrations"] == ["value high"]
    assert mood.observed["only_in_database"] == ["value dire"]
    assert mood.locations == (Location("db/migrations/002_more.sql", 3),)
    assert users.observed["differs"] == [
        "column price has no default, declared one",
        "column score has a default, declared none",
    ]
    assert users.locations == (Location("db/migrations/001_first.sql", 6), Location("db/migrations/001_first.sql", 7))
