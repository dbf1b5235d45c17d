from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Outcome, Severity
from tests.checks.schema.declared import USERS
from tests.checks.survey import conclude, names, survey
from tests.servers import Database

Repositories = Callable[[Mapping[str, str | bytes]], Path]

PRISMA = """
datasource db {
  provider = "postgresql"
}
enum Role {
  admin
  member
}
model users {
  id       Int     @id
  email    String  @unique
  login    String  @unique
  name     String
  nick     String?
  made     String?
  tags     String[]
  bio      String? @db.VarChar(200)
  motto    String? @db.VarChar(10)
  posts    posts[]
  @@unique([name, nick])
}
model posts {
  id        Int    @id
  user_id   Int
  author_id Int
  editor_id Int?
  org_id    Int
  author    users  @relation(fields: [author_id], references: [id], onDelete: Cascade)
  editor    users? @relation("e", fields: [editor_id], references: [id], onDelete: NoAction)
  user      users  @relation("u", fields: [user_id], references: [id])
  writer    users  @relation("w", fields: [org_id], references: [id])
}
enum Plan {
  STARTER @map("basic") // what it was called before
  PLUS    @map("plus")
  @@map("plans")
}
enum Mood {
  good
  bad
  odd // not in the database
}
model accounts {
  id    Int   @id
  plan  Plan
  was   Plan?
  mood  Mood
  other Mood?
}
"""
DRIZZLE = """
import { pgTable, integer, text, varchar } from "drizzle-orm/pg-core";
export const tickets = pgTable("tickets", {
  id: integer("id").primaryKey(),
  status: text("status", { enum: ["open", "closed"] }).notNull(),
  kind: text("kind", { enum: ["a", "b"] }).notNull(),
  mood: text("mood", { enum: ["good", "bad"] }).notNull(),
  size: text("size", { enum: ["small", "large", "it's"] }).notNull(),
  rank: text("rank", { enum: ["HIGH", "low"] }).notNull(),
  hue: text("hue", { enum: ["r", "g", "b"] }).notNull(),
});
"""
SCHEMA = """
CREATE TABLE users (
    id int PRIMARY KEY, email text NOT NULL, login text NOT NULL UNIQUE, name text, nick text NOT NULL,
    made text NOT NULL DEFAULT 'x', tags text[], bio varchar(100), motto varchar(20)
);
CREATE UNIQUE INDEX one_name ON users (lower(name), nick);
CREATE TABLE posts (
    id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, author_id int NOT NULL REFERENCES users,
    editor_id int REFERENCES users ON DELETE RESTRICT, org_id int NOT NULL
);
CREATE TYPE moods AS ENUM ('good', 'bad');
CREATE TYPE sizes AS ENUM ('small', 'large', 'huge');
CREATE TYPE ranks AS ENUM ('low', 'high');
CREATE TYPE hues AS ENUM ('red', 'green', 'blue');
CREATE TYPE plans AS ENUM ('basic', 'plus');
CREATE TABLE accounts (id int PRIMARY KEY, plan plans NOT NULL, was plans, mood moods NOT NULL, other moods);
CREATE TABLE tickets (
    id int PRIMARY KEY, status text NOT NULL, kind text NOT NULL CHECK (kind IN ('a', 'b')), mood moods NOT NULL,
    size sizes NOT NULL, rank ranks NOT NULL, hue hues NOT NULL
);
"""


def test_what_models_promise_and_the_database_does_not_keep(database: Database, repository: Repositories) -> None:
    database.execute(SCHEMA)
    evidence = survey(database, repository({"prisma/schema.prisma": PRISMA, "src/schema.ts": DRIZZLE}))

    (unique,) = conclude(evidence, "schema.uniqueness-only-in-code").findings
    assert (unique.subject.name, unique.severity) == ("public.users.email", Severity.HIGH)
    assert unique.fix.sql == "CREATE UNIQUE INDEX CONCURRENTLY users_email_key ON public.users (email);"
    assert [place.path for place in unique.locations] == ["prisma/schema.prisma"]

    (nulls,) = conclude(evidence, "schema.nullability-differs-from-code").findings
    assert (nulls.subject.name, nulls.severity) == ("public.users", Severity.MEDIUM)
    assert nulls.observed == {"nullable_in_database": ["name"], "required_by_database": ["nick"]}

    values, both, labels = sorted(
        conclude(evidence, "schema.allowed-values-only-in-code").findings,
        key=lambda found: (len(found.subject.path), found.subject.name),
    )
    assert both.observed == {
        "columns": ["public.accounts.mood", "public.accounts.other"], "only_in_code": ["odd"], "only_in_database": [],
    }  # fmt: skip
    assert both.title == (
        "public.accounts.mood is of the enumerated type public.moods, as 1 more column is: the code knows 'odd', "
        "which the type refuses"
    )
    assert (labels.subject.name, labels.severity) == ("public.tickets.size", Severity.MEDIUM)
    assert labels.observed["only_in_code"] == ["it's"]
    assert labels.observed["only_in_database"] == ["huge"]
    assert labels.fix.sql == "ALTER TYPE public.sizes ADD VALUE 'it''s';"
    database.execute(labels.fix.sql)
    assert (values.subject.name, values.observed["columns"]) == ("public.tickets", ["status"])
    assert values.fix.sql is not None
    assert "CHECK (status IN ('open', 'closed')) NOT VALID" in values.fix.sql
    for statement in values.fix.sql.splitlines():
        database.execute(statement)

    (length,) = conclude(evidence, "schema.length-differs-from-code").findings
    assert length.observed["columns"] == {"bio": [100, 200]}

    (action,) = conclude(evidence, "schema.delete-action-differs-from-code").findings
    assert action.subject.name == "public.posts.posts_author_id_fkey"
    assert (action.observed["in_database"], action.observed["in_code"]) == ("no action", "cascade")
    assert action.fix.sql is not None
    for statement in action.fix.sql.splitlines():
        database.execute(statement)

    (missing,) = conclude(evidence, "schema.missing-foreign-key").findings
    assert (missing.subject.name, missing.observed["known_by"]) == ("public.posts.org_id", ["model"])
    assert missing.observed["references"] == "public.users.id"

    for id in ("uniqueness-only-in-code", "nullability-differs-from-code", "length-differs-from-code"):
        alone = survey(database, repository({"a.py": "x = 1"}))
        assert conclude(alone, f"schema.{id}").outcome is Outcome.NOT_APPLICABLE


RAILS_SCHEMA = """
ActiveRecord::Schema[7.1].define(version: 1) do
  create_table "accounts" do |t|
    t.string "email"
    t.string "slug"
    t.string "code"
    t.string "tag"
    t.bigint "org_id"
    t.bigint "thing_id"
    t.string "thing_type"
  end
end
"""
RAILS_MODEL = """
class Account < ApplicationRecord
  belongs_to :thing, polymorphic: true
  validates :slug, uniqueness: { scope: :org_id }
  validates :tag, uniqueness: { scope: %i[org_id thing_id] }
  validates :code, uniqueness: { conditions: -> { where(gone: false) } }
  validates :email, presence: true, uniqueness: { case_sensitive: false }
end
"""


def test_validations_of_rails(database: Database, repository: Repositories) -> None:
    database.execute(
        "CREATE TABLE accounts (id bigserial PRIMARY KEY, email varchar, slug varchar, code varchar, tag varchar, "
        "org_id bigint, thing_id bigint, thing_type varchar, UNIQUE (tag, org_id, thing_id))",
        "CREATE UNIQUE INDEX one_code ON accounts (code) WHERE org_id IS NULL",
        "CREATE UNIQUE INDEX one_email ON accounts (email)",
    )
    evidence = survey(database, repository({"db/schema.rb": RAILS_SCHEMA, "app/models/account.rb": RAILS_MODEL}))
    (unique,) = conclude(evidence, "schema.uniqueness-only-in-code").findings
    assert (unique.subject.name, unique.observed["columns"]) == ("public.accounts", ["slug", "org_id"])
    (cases,) = conclude(evidence, "schema.case-sensitivity-differs-from-code").findings
    assert (cases.subject.name, cases.observed["index"]) == ("public.accounts.email", "one_email")
    database.execute("DROP INDEX one_email", "CREATE UNIQUE INDEX by_case ON accounts (lower(email))")
    evidence = survey(database, repository({"db/schema.rb": RAILS_SCHEMA, "app/models/account.rb": RAILS_MODEL}))
    assert conclude(evidence, "schema.case-sensitivity-differs-from-code").findings == ()
    assert conclude(evidence, "schema.missing-foreign-key").findings == ()


LOOK = """
from sqlalchemy import select
from models import Folder, Member, User

def add(session, email):
    found = session.execute(select(User).where(User.email == email)).scalar_one_or_none()
    if found is None:
        session.add(User(email=email))

def join(session, org):
    found = session.execute(select(Member).where(Member.org == org)).scalar_one_or_none()
    if found is None:
        session.add(Member(org=org, person=1))

def top(session, name):
    found = session.execute(select(Folder).where(Folder.name == name, Folder.parent.is_(None))).scalar_one_or_none()
    if found is None:
        session.add(Folder(name=name))

def below(session, name, parent):
    found = session.execute(select(Folder).where(Folder.name == name, Folder.parent == parent)).scalar_one_or_none()
    if found is None:
        session.add(Folder(name=name, parent=parent))
"""
MODELS = (
    USERS
    + """
class Member(Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    org: Mapped[int]
    person: Mapped[int]

class Folder(Base):
    __tablename__ = "folders"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent: Mapped[int | None]
"""
)


def test_a_look_before_an_insert(database: Database, repository: Repositories) -> None:
    database.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL)",
        "CREATE TABLE members (id serial PRIMARY KEY, org int NOT NULL, person int NOT NULL, UNIQUE (org, person))",
    )
    database.execute("CREATE TABLE folders (id serial PRIMARY KEY, name text NOT NULL, parent int)")
    evidence = survey(database, repository({"models.py": MODELS, "app.py": LOOK}))
    unique, folders = sorted(
        conclude(evidence, "schema.uniqueness-only-in-code").findings, key=lambda found: -len(found.subject.path)
    )
    assert (folders.subject.name, folders.observed["columns"]) == ("public.folders", ["name", "parent"])
    assert [place.line for place in folders.locations] == [21, 16]
    assert (unique.subject.name, unique.severity) == ("public.users.email", Severity.MEDIUM)
    assert [(place.path, place.line) for place in unique.locations] == [("app.py", 6)]


REMEMBERED = """
datasource db {
  provider = "postgresql"
}
model Memory {
  id      Int    @id @default(autoincrement())
  content String
  owner   Int
}
model Digest {
  id     Int    @id @default(autoincrement())
  owner  Int
  status String
}
model Outcome {
  id      Int @id @default(autoincrement())
  message Int
}
"""
REMEMBER = """
export async function remember(owner: number, content: string) {
  const existing = await prisma.memory.findFirst({ where: { owner, content }, select: { id: true } });
  if (existing) return;
  await prisma.memory.create({ data: { owner, content } });
}
export async function digest(owner: number) {
  const pending = await prisma.digest.findFirst({ where: { owner, status: "PENDING" } });
  if (pending) return pending;
  return await prisma.digest.create({ data: { owner, status: "PENDING" } });
}
export async function outcomes(message: number) {
  const known = await prisma.outcome.findMany({ where: { message } });
  if (known.length > 0) return known.map((each) => each.id);
  await prisma.outcome.create({ data: { message } });
}
"""


def test_what_a_look_before_an_insert_promises(database: Database, repository: Repositories) -> None:
    database.execute(
        'CREATE TABLE "Memory" (id serial PRIMARY KEY, content text NOT NULL, owner int NOT NULL)',
        'CREATE TABLE "Digest" (id serial PRIMARY KEY, owner int NOT NULL, status text NOT NULL)',
        'CREATE TABLE "Outcome" (id serial PRIMARY KEY, message int NOT NULL)',
    )
    path = repository({"prisma/schema.prisma": REMEMBERED, "src/memory.ts": REMEMBER})
    evidence = survey(database, path)

    digest, memory = sorted(
        conclude(evidence, "schema.uniqueness-only-in-code").findings, key=lambda found: found.subject.name
    )

    # There may be many outcomes of a message: code that asks for all of them says so.
    assert digest.title.startswith('owner of public."Digest" is unique for one value of status, only as long as nobody')
    assert digest.fix.sql is None
    assert "one on (owner) WHERE status is the value" in digest.fix.summary
    assert memory.title.startswith('content, owner of public."Memory" are unique only as long as nobody')
    assert memory.fix.sql is not None
    assert memory.fix.sql.endswith('ON public."Memory" (owner, md5(content));')
    assert memory.fix.undo is not None
    database.execute(memory.fix.sql, memory.fix.undo, memory.fix.sql)
    assert names(conclude(survey(database, path), "schema.uniqueness-only-in-code")) == {'public."Digest"'}


def test_values_of_a_sequence_are_unique_without_an_index(database: Database, repository: Repositories) -> None:
    database.execute(
        "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"
    )
    model = (
        "class Note < ApplicationRecord\n  validates :id, uniqueness: true\n  validates :day, uniqueness: true\nend\n"
    )
    schema = (
        "ActiveRecord::Schema[7.1].define(version: 1) do\n  create_table 'notes' do |t|\n    t.date 'day'\n  end\nend\n"
    )
    evidence = survey(database, repository({"db/schema.rb": schema, "app/models/note.rb": model}))
    (found,) = conclude(evidence, "schema.uniqueness-only-in-code").findings
    assert found.subject.name == "public.notes.day"


REMARKED = """
import { pgTable, integer, boolean, text } from "drizzle-orm/pg-core";
export const users = pgTable("users", { id: integer("id").primaryKey() });
export const ledger = pgTable("ledger", {
  id: integer("id").primaryKey(),
  /**
   * Deliberately not a foreign key, and neither is `actorUserId`:
   * a row outlives what it mentions.
   */
  userId: integer("user_id").notNull(),
  actorUserId: integer("actor_user_id").notNull(),
  ownerUserId: integer("owner_user_id").notNull(),
  editorUserId: integer("editor_user_id"), // no fk constraint, users go
  // with a foreign key soon
  payerUserId: integer("payer_user_id"),
  blocked: boolean("blocked").notNull().default(false),
  open: boolean("open").default(false),
  vector: text("vector"),
  word: text("word"),
});
"""


def test_what_the_code_says_it_knows(database: Database, repository: Repositories) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY)",
        "CREATE TABLE ledger (id int PRIMARY KEY, user_id int NOT NULL, actor_user_id int NOT NULL, "
        "owner_user_id int NOT NULL, editor_user_id int, payer_user_id int, blocked boolean DEFAULT false, "
        "open boolean DEFAULT false, vector text NOT NULL CONSTRAINT vector_not_null_check CHECK (vector IS NOT NULL), "
        "word text NOT NULL)",
    )
    evidence = survey(database, repository({"src/schema.ts": REMARKED}))

    assert names(conclude(evidence, "schema.missing-foreign-key")) == {
        "public.ledger.owner_user_id", "public.ledger.payer_user_id",
    }  # fmt: skip
    (nulls,) = conclude(evidence, "schema.nullability-differs-from-code").findings
    assert nulls.observed == {"nullable_in_database": ["blocked"], "required_by_database": ["word"]}
    assert names(conclude(evidence, "schema.nullable-boolean")) == {"public.ledger.open"}


SEQUELIZE = """
import { Sequelize, DataTypes, Model } from 'sequelize';
const define = { timestamps: false };
export const User = sequelize.define('User', { name: DataTypes.TEXT }, { tableName: 'users', timestamps: false });
export const Post = sequelize.define('Post', {
  userId: { type: DataTypes.INTEGER, references: { model: 'users', key: 'id' }, onDelete: 'CASCADE' },
  authorId: DataTypes.INTEGER, editorId: DataTypes.INTEGER, ownerId: DataTypes.INTEGER, readerId: DataTypes.INTEGER,
}, { tableName: 'posts', timestamps: false });
Post.belongsTo(User, { as: 'author', foreignKey: 'authorId', onDelete: 'SET NULL' });
Post.belongsTo(User, { as: 'editor', foreignKey: 'editorId', onDelete: 'RESTRICT' });
Post.belongsTo(User, { as: 'owner', foreignKey: 'ownerId', onDelete: 'CASCADE', hooks: true });
Post.belongsTo(User, { as: 'reader', foreignKey: 'readerId' });
User.hasMany(Post, { as: 'read', foreignKey: 'readerId', onDelete: 'cascade' });
"""


def test_delete_actions_of_sequelize(database: Database, repository: Repositories) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
        'CREATE TABLE posts (id int PRIMARY KEY, "userId" int REFERENCES users, '
        '"authorId" int REFERENCES users ON DELETE SET NULL, '
        '"editorId" int REFERENCES users, "ownerId" int REFERENCES users, '
        '"readerId" int REFERENCES users ON DELETE SET NULL)',
    )
    evidence = survey(database, repository({"models.ts": SEQUELIZE}))

    result = conclude(evidence, "schema.delete-action-differs-from-code")

    assert {
        found.subject.path[-1]: (found.observed["in_database"], found.observed["in_code"]) for found in result.findings
    } == {"posts_userId_fkey": ("no action", "cascade"), "posts_readerId_fkey": ("set null", "cascade")}
    assert result.examined == 4


DEPENDENTS = """
class User < ApplicationRecord
  has_many :posts, dependent: :destroy_async
  has_many :notes, dependent: :nullify
  has_many :bills, dependent: :restrict_with_error
  has_many :logs, dependent: :destroy
  has_many :marks, dependent: :nullify
  has_many :plain
  has_many :open_tasks, -> { where(open: true) }, class_name: "Task", dependent: :nullify
  has_many :pictures, as: :owner, dependent: :destroy_async
end
"""


def test_dependents_of_rails_that_the_foreign_key_thwarts(database: Database, repository: Repositories) -> None:
    actions = {"posts": "NO ACTION", "notes": "CASCADE", "bills": "CASCADE", "logs": "NO ACTION", "marks": "SET NULL",
               "tasks": "CASCADE"}  # fmt: skip
    database.execute(
        "CREATE TABLE users (id bigserial PRIMARY KEY)",
        "CREATE TABLE pictures (id bigserial PRIMARY KEY, owner_id bigint, owner_type text)",
        *(
            f"CREATE TABLE {name} (id bigserial PRIMARY KEY, user_id bigint REFERENCES users ON DELETE {action})"
            for name, action in actions.items()
        ),
    )
    classes = "".join(f"class {name[:-1].title()} < ApplicationRecord\nend\n" for name in (*actions, "pictures"))
    tables = "".join(f'  create_table "{name}" do |t|\n    t.bigint "user_id"\n  end\n' for name in ("users", *actions))
    schema = f"ActiveRecord::Schema[7.1].define(version: 1) do\n{tables}end\n"
    files = {"db/schema.rb": schema, "app/models/user.rb": DEPENDENTS, "app/models/others.rb": classes}

    result = conclude(survey(database, repository(files)), "schema.delete-action-differs-from-code")

    assert {found.subject.path[1]: found.observed["in_code"] for found in result.findings} == {
        "posts": "destroy_async",
        "notes": "nullify",
        "bills": "restrict_with_error",
    }
    assert all(found.locations[0].path == "app/models/user.rb" for found in result.findings)
