"""Calls of relations."""

from __future__ import annotations

import time

import pytest

from tests.checks.evidence.repository.orm.calls import only, read, tail
from tests.checks.evidence.repository.orm.rails_code import PERSON, SCHEMA, of, sent


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Person.find(params[:id])", 'FROM "people" WHERE "people"."id" = $1 LIMIT $2'),
        ("Person.find_by!(:email => email)", 'FROM "people" WHERE "people"."email" = $1 LIMIT $2'),
        ("Person.where(status: [1, 2]).where.not(name: nil).order(:name, id: :desc).limit(5).to_a",
         'FROM "people" WHERE "people"."status" IN ($1) AND "people"."name" IS NOT NULL ORDER BY "people"."name", '
         '"people"."id" DESC LIMIT $2'),
        ("Person.where('email ILIKE ? OR name = :n', a).count", 'FROM "people" WHERE (email ILIKE $1 OR name = $2)'),
        ("Person.active.first", 'FROM "people" WHERE "people"."status" = $1 ORDER BY "people"."name" LIMIT $2'),
        ("Person.where(created_at: from..to).last",
         'FROM "people" WHERE "people"."created_at" BETWEEN $1 AND $2 ORDER BY "people"."id" DESC LIMIT $3'),
        ("Blog::Post.joins(:author).where(people: { email: e }).pluck(:title)",
         'FROM "blog_posts" JOIN "people" ON "people"."id" = "blog_posts"."author_id" WHERE "people"."email" = $1'),
        ("Blog::Post.where(author: person).update_all(title: 'x')",
         'UPDATE "blog_posts" SET "title" = $1 WHERE "blog_posts"."author_id" = $2'),
        ("Person.where(id: Blog::Post.where(title: t).select(:author_id)).to_a",
         'FROM "people" WHERE "people"."id" IN '
         '(SELECT "blog_posts"."author_id" FROM "blog_posts" WHERE "blog_posts"."title" = $1)'),
        ("current_person.posts.any?", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 LIMIT $2'),
        ("current_person.posts.any? { |post| post.title }", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1'),
        ("current_person.posts.size", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1'),
        ("Person.order(:id).page(params[:page]).per(20).to_a", 'FROM "people" ORDER BY "people"."id" LIMIT $1 OFFSET $2'),
        ("Person.where(id: ids).delete_all", 'DELETE FROM "people" WHERE "people"."id" IN ($1)'),
        ("Person.includes(:posts).exists?(email: e)", 'FROM "people" WHERE "people"."email" = $1 LIMIT $2'),
        ("Person.find_each { |p| p }", 'FROM "people" ORDER BY "people"."id" LIMIT $1'),
        ("Person.where(id: 1).lock.first", 'FROM "people" WHERE "people"."id" = $1 ORDER BY "people"."id" LIMIT $2 FOR UPDATE'),
        ("Blog::Note.where(title: t).to_a", 'FROM "blog_posts" WHERE "blog_posts"."type" = $1 AND "blog_posts"."title" = $2'),
        ("Person.active.find_by_email!(x)",
         'FROM "people" WHERE "people"."status" = $1 AND "people"."email" = $2 ORDER BY "people"."name" LIMIT $3'),
        ("Person.find_by_name_and_status(x, y)",
         'FROM "people" WHERE "people"."name" = $1 AND "people"."status" = $2 LIMIT $3'),
        ("current_person.posts.where(title: t).to_a",
         'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 AND "blog_posts"."title" = $2'),
    ],
)  # fmt: skip
def test_calls(body: str, expected: str) -> None:
    assert sent(body) == (expected, ())


@pytest.mark.parametrize(
    ("body", "expected", "partial"),
    [
        ("Person.create!(email: e, name: n)", 'INSERT INTO "people" ("email", "name") VALUES ($1, $2)', ("columns",)),
        ("Person.create { |person| person.email = e }", 'INSERT INTO "people" ("email") VALUES ($1)', ("columns",)),
        ("Person.where(visible(me)).to_a", 'FROM "people"', ("where",)),
        ("Person.where(id: Blog::Post.select(:author_id).merge(other)).to_a", 'FROM "people"', ("where",)),
        ("Person.find(wanted)", 'FROM "people" WHERE "people"."id" IN ($1)', ("limit",)),
        ("Person.in_order_of(:id, ids).to_a", 'FROM "people" WHERE "people"."id" IN ($1)', ("order",)),
        ("@people = Person.where(status: 1)", 'FROM "people" WHERE "people"."status" = $1',
         ("expressions", "joins", "limit", "order", "where")),
        ("Person.odd(1).first", 'FROM "people" LIMIT $1', ("expressions", "joins", "limit", "order", "where")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(body: str, expected: str, partial: tuple[str, ...]) -> None:
    assert sent(body) == (expected, partial)


def test_a_class_asks_for_its_own_rows() -> None:
    _, calls = read(of(""))
    assert tail(only(calls)) == 'FROM "people" WHERE created_at > $1 ORDER BY "people"."created_at" DESC'
    assert (only(calls).location.line, only(calls).function) == (10, "recent")


def test_associations_of_a_class_are_asked_in_its_own_methods() -> None:
    files = of("") | {
        "app/models/person.rb": "class Person < ApplicationRecord\n"
        '  has_many :posts, -> { order(:title) }, class_name: "Blog::Post", foreign_key: :author_id\n'
        "  def busy?\n    posts.count > 9\n  end\n  def other\n    posts = []\n    posts.count\n  end\nend\n"
    }
    _, calls = read(files)
    assert (only(calls).text, only(calls).partial) == (
        'SELECT count(*) FROM "blog_posts" WHERE "blog_posts"."author_id" = $1',
        ("joins", "order", "where"),
    )
    _, calls = read(of("current_person.posts.create(title: t)"))
    (made,) = (call for call in calls if call.location.path == "app/x.rb")
    assert made.text == 'INSERT INTO "blog_posts" ("author_id", "title") VALUES ($1, $2)'


@pytest.mark.parametrize(
    "code",
    [
        "class A < B\n" * 5_000, "Person.where(" * 3_000, "Person" + ".where(id: 1)" * 3_000,
        "class Person < Person\nend\n" * 100,
        "Person.where(people: {" * 1_000, "module A\n" * 3_000 + "class B < ApplicationRecord",
        'create_table "x" do |t|\n' * 3_000,
    ],
    ids=range(7),
)  # fmt: skip
def test_hostile_code_never_crashes_or_hangs(code: str) -> None:
    started = time.process_time()
    read(
        {
            "db/schema.rb": SCHEMA + code,
            "app/models/person.rb": PERSON,
            "app/a.rb": code,
            "app/b.rb": f"def f\n{code}\nend",
        }
    )
    assert time.process_time() - started < 10


def test_a_relation_of_no_rows_sends_nothing() -> None:
    _, calls = read(of("Person.none\n    Person.active.none.where(id: 1).to_a\n    x = Person.active.arel.constraints"))
    assert [call for call in calls if call.location.path == "app/x.rb"] == []


def test_a_block_asks_the_rows_themselves() -> None:
    _, calls = read(of("Person.where(status: 1).any?(&:odd?)\n    Person.where(status: 1).count { |one| one.odd? }"))
    assert {tail(call) for call in calls if call.location.path == "app/x.rb"} == {
        'FROM "people" WHERE "people"."status" = $1'
    }


def test_what_an_association_is_narrowed_by_elsewhere_is_not_read_but_told() -> None:
    _, calls = read(of("current_person.posts.shown.where(title: t).to_a\n    current_person.posts.shown"))
    assert [(tail(call), "where" in call.partial) for call in calls if call.location.path == "app/x.rb"] == [
        ('FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 AND "blog_posts"."title" = $2', True)
    ]


def test_columns_of_a_constant_are_not_all_columns() -> None:
    _, calls = read(of("Person.pluck(*NAMES)\n    Person.where(status: 1).pick(*NAMES)"))
    assert [call.partial for call in calls if call.location.path == "app/x.rb"] == [("columns",), ("columns",)]


def test_a_relation_within_one_that_cannot_be_read_is_told_as_a_part() -> None:
    _, calls = read(of("Person.where(id: Blog::Post.where(title: x).select(:author_id)).first"))
    assert [call.part for call in calls if call.function == "show"] == [False]
    _, calls = read(of("query.where(id: Blog::Post.where(title: x))"))
    assert [call.text for call in calls if call.part] == [
        'SELECT "blog_posts".* FROM "blog_posts" WHERE "blog_posts"."title" = $1'
    ]
