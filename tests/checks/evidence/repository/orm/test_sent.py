"""Statements as ActiveRecord, GORM and Diesel send them are matched to the calls that do."""

from __future__ import annotations

import pytest

from checks.evidence.database.facts import Catalog, Column, Statement, Statements, Table
from checks.evidence.repository.facts import Repository
from checks.evidence.repository.matching import match_statements
from tests.checks.evidence.repository.orm.calls import read

COLUMNS = {1: ("id", "email", "role", "created_at"), 2: ("id", "user_id", "title")}
CATALOG = Catalog(
    tables=(Table(1, "public", "users", "table", "owner"), Table(2, "public", "posts", "table", "owner")),
    columns=tuple(
        Column(table, number, name, "text", "text")
        for table, names in COLUMNS.items()
        for number, name in enumerate(names, 1)
    ),
)
RUBY = {
    "db/schema.rb": 'create_table "users" do |t|\n  t.string "email"\n  t.integer "role"\n  t.datetime "created_at"\nend\n'
    'create_table "posts" do |t|\n  t.bigint "user_id"\n  t.string "title"\nend\n',
    "app/models/user.rb": "class User < ApplicationRecord\n  has_many :posts\nend\n",
    "app/models/post.rb": "class Post < ApplicationRecord\n  belongs_to :user\nend\n",
}
GO = {
    "m.go": 'package m\nimport "gorm.io/gorm"\ntype User struct {\n\tID int64 `gorm:"primaryKey"`\n\tEmail string\n\tRole int\n'
    '\tCreatedAt time.Time\n}\ntype Post struct {\n\tID int64 `gorm:"primaryKey"`\n\tUserID int64\n\tTitle string\n}\n'
}
RUST = {
    "schema.rs": "table! {\n    users (id) {\n        id -> Int4,\n        email -> Text,\n        role -> Int4,\n"
    "        created_at -> Timestamp,\n    }\n}\ntable! {\n    posts (id) {\n"
    "        id -> Int4,\n        user_id -> Int4,\n        title -> Text,\n    }\n}\n"
    "joinable!(posts -> users (user_id));\n"
}
ALL_OF_USERS = '"users"."id", "users"."email", "users"."role", "users"."created_at"'


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("User.find_by(email: e)", 'SELECT "users".* FROM "users" WHERE "users"."email" = $1 LIMIT $2'),
        ("User.where(role: [1, 2]).order(created_at: :desc).limit(5).to_a",
         'SELECT "users".* FROM "users" WHERE "users"."role" IN ($1, $2) ORDER BY "users"."created_at" DESC LIMIT $3'),
        ("User.where(role: 1).count", 'SELECT COUNT(*) FROM "users" WHERE "users"."role" = $1'),
        ("User.exists?(email: e)", 'SELECT $3 AS one FROM "users" WHERE "users"."email" = $1 LIMIT $2'),
        ("Post.joins(:user).where(users: { email: e }).pluck(:title)",
         'SELECT "posts"."title" FROM "posts" INNER JOIN "users" ON "users"."id" = "posts"."user_id" '
         'WHERE "users"."email" = $1'),
        ("Post.where(user_id: 1).update_all(title: t)", 'UPDATE "posts" SET "title" = $1 WHERE "posts"."user_id" = $2'),
        ("current_user.posts.where(title: t).delete_all",
         'DELETE FROM "posts" WHERE "posts"."user_id" = $1 AND "posts"."title" = $2'),
    ],
)  # fmt: skip
def test_activerecord(body: str, sent: str) -> None:
    assert _matched(RUBY | {"app/x.rb": f"class X\n  def f\n    {body}\n  end\nend\n"}, sent) == [("app/x.rb", 3)]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ('var u User\ndb.Where("email = ?", e).First(&u)',
         'SELECT * FROM "users" WHERE email = $1 ORDER BY "users"."id" LIMIT $2'),
        ('var p []Post\ndb.Where("user_id = ? AND title LIKE ?", 1, t).Order("id desc").Find(&p)',
         'SELECT * FROM "posts" WHERE user_id = $1 AND title LIKE $2 ORDER BY id desc'),
        ('var n int64\ndb.Model(&Post{}).Where("user_id = ?", 1).Count(&n)', 'SELECT count(*) FROM "posts" WHERE user_id = $1'),
        ('var p Post\ndb.Model(&Post{}).Where("id = ?", 1).Update("title", t)', 'UPDATE "posts" SET "title"=$1 WHERE id = $2'),
        ('var p Post\ndb.Where("user_id = ?", 1).Delete(&Post{})', 'DELETE FROM "posts" WHERE user_id = $1'),
    ],
)  # fmt: skip
def test_gorm(body: str, sent: str) -> None:
    assert _matched(GO | {"x.go": f"package m\nfunc F(db *gorm.DB) {{\n{body}\n}}\n"}, sent) == [("x.go", 4)]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("users::table.filter(users::email.eq(e)).first::<User>(conn)",
         f'SELECT {ALL_OF_USERS} FROM "users" WHERE ("users"."email" = $1) LIMIT $2'),
        ("posts::table.inner_join(users::table).filter(users::email.eq(e)).select(posts::title).load(conn)",
         'SELECT "posts"."title" FROM ("posts" INNER JOIN "users" ON ("posts"."user_id" = "users"."id")) '
         'WHERE ("users"."email" = $1)'),
        ("users::table.filter(users::role.eq_any(r)).order(users::id.desc()).limit(3).load(conn)",
         f'SELECT {ALL_OF_USERS} FROM "users" WHERE ("users"."role" = ANY($1)) ORDER BY "users"."id" DESC LIMIT $2'),
        ("diesel::update(posts::table.find(1)).set(posts::title.eq(t)).execute(conn)",
         'UPDATE "posts" SET "title" = $1 WHERE ("posts"."id" = $2)'),
        ("diesel::delete(posts::table.filter(posts::user_id.eq(1))).execute(conn)",
         'DELETE FROM "posts" WHERE ("posts"."user_id" = $1)'),
    ],
)  # fmt: skip
def test_diesel(body: str, sent: str) -> None:
    code = f"use crate::schema::{{posts, users}};\nfn f() {{\n    {body}\n}}\n"
    assert _matched(RUST | {"x.rs": code}, sent) == [("x.rs", 3)]


def _matched(files: dict[str, str], sent: str) -> list[tuple[str, int]]:
    models, calls = read(files)
    ran = Statements("1.12", None, 0, 0, (Statement("1", sent, 1, 1.0, 1.0, 1),))
    found = match_statements(Repository("app", models=models, calls=calls), ran, CATALOG, {})
    return [(match.location.path, match.location.line) for match in found.matches]
