"""Rows that are written."""

from __future__ import annotations

import textwrap

import pytest

from tests.checks.evidence.repository.orm.calls import read, tail
from tests.checks.evidence.repository.orm.rails_code import PERSON, SCHEMA, of


def test_rows_that_the_request_is_for() -> None:
    code = """
        class PostsController
          def index
            Current.person.posts.where(title: "x").to_a
          end
          def create
            @post = authorize Current.person.posts.new(post_params)
            @post.save
          end
          def rename
            Current.person.update!(name: "x")
            Current.settings.update!(name: "x")
          end
        end
    """
    _, calls = read(of("") | {"app/x.rb": code})
    assert [(call.function, tail(call)) for call in calls if call.location.path == "app/x.rb"] == [
        ("index", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 AND "blog_posts"."title" = $2'),
        ("create", 'INSERT INTO "blog_posts" ("author_id") VALUES ($1)'),
        ("rename", 'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2'),
    ]


def test_rows_that_are_found_and_written_at_once() -> None:
    code = """
        def work(key)
          Person.find(key).update!(name: "x")
          current_person.posts.find_by(title: "x")&.destroy
          Person.create(name: "x").update!(status: 1)
          settings.find(key).update!(name: "x")
        end
    """
    _, calls = read(of("") | {"app/x.rb": code})
    assert [call.text for call in calls if call.text.startswith(("UPDATE", "DELETE"))] == [
        'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2',
        'DELETE FROM "blog_posts" WHERE "blog_posts"."id" = $1',
    ]


def test_attributes_that_are_assigned_together() -> None:
    code = """
        def work(key)
          person = Person.find_or_initialize_by(email: key)
          person.assign_attributes(
            name: "x",
            status: rank(key)
          )
          person.save!
        end
        def given
          person = Person.find_or_initialize_by(email: key)
          person.assign_attributes(person_params)
          person.save!
        end
        def unchanged
          person = Person.find_or_initialize_by(email: key)
          person.save!
        end
    """
    _, calls = read(of("") | {"app/x.rb": code})
    assert [(call.function, call.text, call.partial) for call in calls if call.text.startswith("UPDATE")] == [
        ("work", 'UPDATE "people" SET "name" = $1, "status" = $2 WHERE "people"."id" = $3', ("columns",)),
        ("given", 'UPDATE "people" SET $1 WHERE "people"."id" = $2', ("columns",)),
    ]


def test_a_class_makes_a_row_of_its_own() -> None:
    person = """
        class Person < ApplicationRecord
          def self.invite(email)
            person = new(email: email)
            person.save!
          end
        end
    """
    _, calls = read(of("") | {"app/models/person.rb": person})
    assert [call.text for call in calls] == ['INSERT INTO "people" ("email") VALUES ($1)']


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("@note = Blog::Note.new(title: t)\n@note.author = me\n@note.save!",
         ['INSERT INTO "blog_posts" ("title", "author_id") VALUES ($1, $2) columns']),
        ("post = current_person.posts.build(:title => t)\nreturn if post.save",
         ['INSERT INTO "blog_posts" ("author_id", "title") VALUES ($1, $2) columns']),
        ("current_person.name = n\ncurrent_person.save", ['UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2 columns']),
        ("@person.update!(name: n, status: 1)", ['UPDATE "people" SET "name" = $1, "status" = $2 WHERE "people"."id" = $3']),
        ("person.update_attribute(:name, n)", ['UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2']),
        ("person.update(person_params)", ['UPDATE "people" SET $1 WHERE "people"."id" = $2 columns']),
        ("person = Person.find(1)\nperson.destroy",
         ['DELETE FROM "people" WHERE "people"."id" = $1', 'FROM "people" WHERE "people"."id" = $1 LIMIT $2']),
        ("@post.author.update(name: n)", ['UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2']),
        ("Person.find_by_token_for(:reset, token)", ['FROM "people" WHERE "people"."id" = $1 LIMIT $2']),
        ("current_person\n  .posts\n  .pluck(:title)", ['FROM "blog_posts" WHERE "blog_posts"."author_id" = $1']),
        ("human = Person.find_by_token_for(:reset, token)\nhuman.save!",
         ['FROM "people" WHERE "people"."id" = $1 LIMIT $2', 'UPDATE "people" SET $1 WHERE "people"."id" = $2 columns']),
        ("person.save", []),
        ("person = parse(text)\nperson.destroy", []),
        ("names.each { |person| person.destroy }", []),
        ("cache.delete(key)", []),
        ("person.delete(:name)", []),
    ],
)  # fmt: skip
def test_rows_that_are_written(body: str, expected: list[str]) -> None:
    _, calls = read(of(body))
    mine = [call for call in calls if call.location.path == "app/x.rb"]
    assert sorted(f"{tail(call)} {','.join(call.partial)}".strip() for call in mine) == expected


def test_a_class_writes_its_own_row_but_where_it_says_how() -> None:
    person = PERSON.replace("default_scopes = 1", "def hide\n  update!(status: 0)\nend\ndef destroy\n  hide\nend")
    _, calls = read(of("person = Person.new\nperson.destroy") | {"app/models/person.rb": person})
    assert [tail(call) for call in calls if call.text.startswith(("UPDATE", "DELETE"))] == [
        'UPDATE "people" SET "status" = $1 WHERE "people"."id" = $2'
    ]


def test_a_variable_that_another_method_sets_holds_what_that_says() -> None:
    code = """\
        class NotesController
          def update
            @post.update(name: n)
            @note.update(title: t)
            @note.destroy
            @person.destroy
          end

          def set_post
            @post = Person.find(1)
            @note ||= notebook.page
            @person = load_person
          end
        end
        """
    _, calls = read(of("") | {"app/x.rb": code})
    assert sorted(tail(call) for call in calls if call.text.startswith(("UPDATE", "DELETE"))) == [
        'DELETE FROM "people" WHERE "people"."id" = $1',
        'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2',
    ]


def test_the_primary_key_that_a_class_says_is_the_one() -> None:
    schema = """\
        CREATE TABLE public.people (
            id bigint NOT NULL,
            kind character varying NOT NULL,
            name text
        )
        PARTITION BY LIST (kind);
        ALTER TABLE ONLY public.people
            ADD CONSTRAINT people_pkey PRIMARY KEY (id, kind);
        """
    person = "class Person < ApplicationRecord\n  self.primary_key = :id\nend\n"
    _, calls = read(
        {
            "db/structure.sql": textwrap.dedent(schema),
            "app/models/person.rb": person,
            "app/x.rb": "def hide\n  person = Person.find(params[:id])\n  person.destroy\nend\n",
        }
    )
    assert sorted(f"{tail(call)} {','.join(call.partial)}".strip() for call in calls) == [
        'DELETE FROM "people" WHERE "people"."id" = $1',
        'FROM "people" WHERE "people"."id" = $1 LIMIT $2',
    ]


def test_rows_are_followed_along_associations() -> None:
    person = """
        class Person < ApplicationRecord
          has_many :posts, class_name: "Blog::Post", foreign_key: :author_id
          has_many :readers, through: :posts, class_name: "Person"
        end
    """
    post = """
        module Blog
          class Post < ApplicationRecord
            belongs_to :author, class_name: "Person"
            def rename
              author.posts.where(title: "a").update_all(title: "b")
            end
          end
        end
    """
    code = """
        class PostsController
          def show
            @post.author.posts.find_by(title: "x")
          end
          def create
            @draft = @post.author.posts.build(title: "x")
            @draft.save
          end
          def readers
            @person.readers.order(:name).to_a
          end
          def rename
            author.update!(name: "x")
          end
        end
    """
    files = {"db/schema.rb": SCHEMA, "app/models/person.rb": person, "app/models/blog/post.rb": post, "app/x.rb": code}
    _, calls = read(files)
    assert [(call.location.path[-7:], call.function, tail(call), call.partial) for call in calls] == [
        ("post.rb", "rename",
         'UPDATE "blog_posts" SET "title" = $1 WHERE "blog_posts"."author_id" = $2 AND "blog_posts"."title" = $3', ()),
        ("pp/x.rb", "show", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 AND "blog_posts"."title" = $2 LIMIT $3', ()),
        ("pp/x.rb", "create", 'INSERT INTO "blog_posts" ("author_id", "title") VALUES ($1, $2)', ("columns",)),
        ("pp/x.rb", "readers", 'FROM "people" ORDER BY "people"."name"', ("joins", "order", "where")),
        ("pp/x.rb", "rename", 'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2', ()),
    ]  # fmt: skip


def test_the_class_of_a_row_and_rows_in_passing() -> None:
    person = """
        class Person < ApplicationRecord
          def rename(other)
            self.class.unscoped.where(id: id).update_all(name: other)
          end
        end
    """
    code = """
        class A
          def work(x)
            Person.find(x).tap do |someone|
              someone.update!(name: "x")
            end
          end
        end
    """
    _, calls = read({"db/schema.rb": SCHEMA, "app/models/person.rb": person, "app/x.rb": code})
    assert [tail(call) for call in calls if call.text.startswith("UPDATE")] == [
        'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2',
        'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2',
    ]


def test_rows_that_a_relation_is_gone_through_for() -> None:
    code = """
        def work(names)
          Person.active.where(email: nil).find_each do |someone|
            someone.update!(name: "x")
          end
          late = current_person.posts.order(:title)
          late.each { |one| one.destroy }
          names.each { |person| person.destroy }
          Person.pluck(:name).each { |person| person.destroy }
          late.group_by(&:title).each { |post| post.destroy }
          late.each_with_index { |one, place| one.update!(title: place) }
          late.group_by(&:title).map { |post, others| post.destroy }
        end
    """
    _, calls = read(of("") | {"app/x.rb": code})
    assert [(call.location.line, call.text) for call in calls if call.text.startswith(("UPDATE", "DELETE"))] == [
        (4, 'UPDATE "people" SET "name" = $1 WHERE "people"."id" = $2'),
        (7, 'DELETE FROM "blog_posts" WHERE "blog_posts"."id" = $1'),
        (11, 'UPDATE "blog_posts" SET "title" = $1 WHERE "blog_posts"."id" = $2'),
    ]


def test_one_other_row_is_built() -> None:
    person = (
        "class Person < ApplicationRecord\n  has_one :draft, class_name: 'Blog::Post', foreign_key: :author_id\nend\n"
    )
    code = """
        def work(key)
          draft = current_person.build_draft(title: "x")
          draft.save!
          report = current_person.build_report(title: "x")
          report.save!
        end
    """
    _, calls = read(of("") | {"app/models/person.rb": person, "app/x.rb": code})
    assert [call.text for call in calls] == ['INSERT INTO "blog_posts" ("author_id", "title") VALUES ($1, $2)']


def test_a_method_of_a_class_gives_a_row_to_a_variable_that_is_called_like_it() -> None:
    person = "class Person < ApplicationRecord\n  def self.pop\n    lookup\n  end\nend\n"
    code = """
        def work
          person = Person.pop
          person.update!(name: "x")
          other = Person.pop
          other.update!(name: "x")
          current_person = Person.settings
          current_person.update!(name: "x")
        end
    """
    _, calls = read(of("") | {"app/models/person.rb": person, "app/x.rb": code})
    assert [call.location.line for call in calls if call.text.startswith("UPDATE")] == [4]


def test_rows_of_a_row_that_was_found_are_its_own() -> None:
    code = """
        def work(key)
          post = Person.find_by_email(key).posts.create(title: "x")
          post.update!(title: "y")
          name = Person.find_by(email: key).name.first
          name.destroy
        end
    """
    _, calls = read(of("") | {"app/x.rb": code})
    assert [(call.location.line, tail(call)) for call in calls if call.location.path == "app/x.rb"] == [
        (3, 'FROM "people" WHERE "people"."email" = $1 LIMIT $2'),
        (4, 'UPDATE "blog_posts" SET "title" = $1 WHERE "blog_posts"."id" = $2'),
        (5, 'FROM "people" WHERE "people"."email" = $1 LIMIT $2'),
    ]
