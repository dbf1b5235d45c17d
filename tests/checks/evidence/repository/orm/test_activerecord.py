from __future__ import annotations

import textwrap
import time

import pytest

from tests.checks.evidence.repository.orm.calls import only, read, tail

SCHEMA = """\
    ActiveRecord::Schema[7.1].define(version: 1) do
      create_table "people", force: :cascade do |t|
        t.string "email", limit: 255, null: false
        t.string "name"
        t.integer "status"
        t.datetime "created_at", null: false
        t.index ["email"], name: "x"
      end
      create_table "blog_posts", id: :uuid do |t|
        t.bigint "author_id", null: false
        t.string "type"
        t.string "title"
      end
    end
    """
PERSON = """\
    class Person < ApplicationRecord
      has_many :posts, class_name: "Blog::Post", foreign_key: :author_id
      enum :status, { active: 0 }
      validates :email, presence: true, uniqueness: { scope: :status }
      scope :active, -> { where(status: 1).order(:name) }
      scope :odd, ->(x) { x ? where(status: x) : all }
      default_scopes = 1

      def self.recent
        where("created_at > ?", 1.day.ago).order(created_at: :desc).to_a
      end
    end
    """
POST = """\
    module Blog
      class Post < ApplicationRecord
        belongs_to :author, class_name: "Person"
      end
      class Note < Post
      end
    end
    """


def of(body: str) -> dict[str, str]:
    code = f"class PeopleController\n  def show\n    {body}\n  end\nend\n"
    return {"db/schema.rb": SCHEMA, "app/models/person.rb": PERSON, "app/models/blog/post.rb": POST, "app/x.rb": code}


def sent(body: str) -> tuple[str, tuple[str, ...]]:
    _, calls = read(of(body))
    call = only(tuple(call for call in calls if call.location.path == "app/x.rb" and not call.part))
    assert (call.orm, call.function, call.location.line) == ("activerecord", "show", 3)
    return tail(call), call.partial


def test_models() -> None:
    models, _ = read(of(""))
    person, post, note = (next(m for m in models if m.name == n) for n in ("Person", "Blog::Post", "Blog::Note"))
    assert (person.table, post.table, note.table) == ("people", "blog_posts", "blog_posts")
    assert [(c.name, c.type, c.length, c.nullable, c.primary_key, c.location.line) for c in person.columns][:3] == [
        ("id", "bigint", None, False, True, 2),
        ("email", "string", 255, False, False, 3),
        ("name", "string", None, True, False, 4),
    ]
    assert (post.columns[0].name, post.columns[0].type) == ("id", "uuid")
    assert [(link.attribute, link.target, link.columns, link.references, link.many) for link in person.relations] == [
        ("posts", "Blog::Post", (), ("author_id",), True)
    ]
    assert [(link.attribute, link.target, link.columns) for link in post.relations] == [
        ("author", "Person", ("author_id",))
    ]
    assert [(index.columns, index.unique, index.partial) for index in person.indexes] == [
        (("status", "email"), True, False)
    ]


def test_columns_of_a_dump() -> None:
    dump = (
        "CREATE TABLE public.people (\n    id bigint NOT NULL,\n    name character varying(40) DEFAULT ''::character varying,\n"
        "    CONSTRAINT c CHECK ((id > 0))\n);\n\nALTER TABLE ONLY public.people\n    ADD CONSTRAINT people_pkey PRIMARY KEY "
        "(id);\n"
    )
    models, _ = read({"db/structure.sql": dump, "app/models/person.rb": "class Person < ApplicationRecord\nend\n"})
    assert [(c.name, c.type, c.length, c.nullable, c.primary_key, c.location.line) for c in models[0].columns] == [
        ("id", "bigint", None, False, True, 2),
        ("name", "character varying", 40, True, False, 3),
    ]


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


def test_an_association_by_a_column_that_is_not_there_is_none() -> None:
    keyed = "class Person < ApplicationRecord\n  has_many :posts, class_name: 'Blog::Post', query_constraints: [:a, :b]\nend\n"
    _, calls = read(of("current_person.posts.to_a") | {"app/models/person.rb": keyed})
    assert calls == ()


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


def test_a_module_with_a_base_class_of_its_own_has_models() -> None:
    base = "module Blog\n  class ApplicationRecord < ::ApplicationRecord\n    self.abstract_class = true\n  end\nend\n"
    post = "module Blog\n  class Post < Blog::ApplicationRecord\n  end\nend\n"
    _, calls = read(
        of("Blog::Post.find(1)") | {"app/models/blog/application_record.rb": base, "app/models/blog/post.rb": post}
    )
    assert [tail(call) for call in calls if call.location.path == "app/x.rb"] == [
        'FROM "blog_posts" WHERE "blog_posts"."id" = $1 LIMIT $2'
    ]


def test_a_relation_of_no_rows_sends_nothing() -> None:
    _, calls = read(of("Person.none\n    Person.active.none.where(id: 1).to_a\n    x = Person.active.arel.constraints"))
    assert [call for call in calls if call.location.path == "app/x.rb"] == []


def test_a_block_asks_the_rows_themselves() -> None:
    _, calls = read(of("Person.where(status: 1).any?(&:odd?)\n    Person.where(status: 1).count { |one| one.odd? }"))
    assert {tail(call) for call in calls if call.location.path == "app/x.rb"} == {
        'FROM "people" WHERE "people"."status" = $1'
    }


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


def test_a_table_may_be_named_by_a_symbol_and_a_finder_by_what_is_no_column_is_of_its_own() -> None:
    person = "class Human < ApplicationRecord\n  self.table_name = :people\nend\n"
    _, calls = read(
        of("Human.find_by_email(x)\n    Human.find_by_login(x)\n    Human.find_by_sql(x)")
        | {"app/models/human.rb": person}
    )
    assert [tail(call) for call in calls if call.location.path == "app/x.rb"] == [
        'FROM "people" WHERE "people"."email" = $1 LIMIT $2',
        'FROM "people"',
    ]
    assert [call.partial == () for call in calls if call.location.path == "app/x.rb"] == [True, False]


def test_a_method_of_relations_does_not_write_every_row() -> None:
    person = "class Person < ApplicationRecord\n  def self.seen\n    update_all(status: 1)\n  end\nend\n"
    _, calls = read(of("Person.update_all(status: 2)") | {"app/models/person.rb": person})
    assert {(call.location.path, call.text, call.partial) for call in calls} == {
        ("app/models/person.rb", 'UPDATE "people" SET "status" = $1', ("where",)),
        ("app/x.rb", 'UPDATE "people" SET "status" = $1', ()),
    }


def test_what_an_association_is_narrowed_by_elsewhere_is_not_read_but_told() -> None:
    _, calls = read(of("current_person.posts.shown.where(title: t).to_a\n    current_person.posts.shown"))
    assert [(tail(call), "where" in call.partial) for call in calls if call.location.path == "app/x.rb"] == [
        ('FROM "blog_posts" WHERE "blog_posts"."author_id" = $1 AND "blog_posts"."title" = $2', True)
    ]


def test_columns_of_a_constant_are_not_all_columns() -> None:
    _, calls = read(of("Person.pluck(*NAMES)\n    Person.where(status: 1).pick(*NAMES)"))
    assert [call.partial for call in calls if call.location.path == "app/x.rb"] == [("columns",), ("columns",)]


def test_concerns_are_parts_of_the_classes_that_include_them() -> None:
    concern = """
        module Authored
          extend ActiveSupport::Concern
          included do
            has_many :notes, class_name: "Blog::Post", foreign_key: :author_id
            scope :named, -> { where.not(name: nil) }
          end
          class_methods do
            def newest
              named.order(created_at: :desc).first
            end
          end
          def titles
            notes.pluck(:title)
          end
        end
    """
    shared = "module Shared\n  extend ActiveSupport::Concern\n  def all_rows\n    update!(name: 1)\n  end\nend\n"
    person = "class Person < ApplicationRecord\n  include Authored, Shared\nend\n"
    post = "module Blog\n  class Post < ApplicationRecord\n    include Shared\n  end\nend\n"
    files = {"db/schema.rb": SCHEMA, "app/models/person.rb": person, "app/models/blog/post.rb": post}
    _, calls = read(files | {"app/models/concerns/authored.rb": concern, "app/models/concerns/shared.rb": shared})
    assert [(call.function, tail(call), call.partial) for call in calls] == [
        ("newest", 'FROM "people" WHERE "people"."name" IS NOT NULL ORDER BY "people"."created_at" DESC LIMIT $1', ()),
        ("titles", 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1', ()),
    ]


def test_a_relation_within_one_that_cannot_be_read_is_told_as_a_part() -> None:
    _, calls = read(of("Person.where(id: Blog::Post.where(title: x).select(:author_id)).first"))
    assert [call.part for call in calls if call.function == "show"] == [False]
    _, calls = read(of("query.where(id: Blog::Post.where(title: x))"))
    assert [call.text for call in calls if call.part] == [
        'SELECT "blog_posts".* FROM "blog_posts" WHERE "blog_posts"."title" = $1'
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


def test_a_method_that_gives_a_relation_is_like_an_association() -> None:
    person = """
        class Person < ApplicationRecord
          def drafts
            ::Blog::Post.where(author_id: id)
          end
          def forget
            drafts.delete_all
          end
          def newest
            Blog::Post.where(author_id: id).first
          end
        end
    """
    code = "class A\n  def work(person)\n    person.drafts.delete_all\n    person.newest.touch_all\n  end\nend\n"
    files = {"db/schema.rb": SCHEMA, "app/models/person.rb": person, "app/models/blog/post.rb": POST, "app/x.rb": code}
    _, calls = read(files)
    assert [(call.function, call.text) for call in calls if call.text.startswith("DELETE")] == [
        ("forget", 'DELETE FROM "blog_posts"'),
        ("work", 'DELETE FROM "blog_posts"'),
    ]
    assert all("where" in call.partial for call in calls if call.text.startswith("DELETE"))


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


def test_methods_of_the_class_that_give_relations_go_on() -> None:
    person = """
        class Person < ApplicationRecord
          class << self
            def late(time)
              where("created_at < ?", time)
            end
            def rename_late(time)
              late(time).update_all(name: "x")
            end
          end
        end
    """
    code = "class A\n  def work(x)\n    Person.late(x).find_each { |person| p person }\n  end\nend\n"
    _, calls = read({"db/schema.rb": SCHEMA, "app/models/person.rb": person, "app/x.rb": code})
    assert [(call.function, tail(call), "where" in call.partial) for call in calls] == [
        ("late", 'FROM "people" WHERE created_at < $1', True),
        ("rename_late", 'UPDATE "people" SET "name" = $1', True),
        ("work", 'FROM "people" ORDER BY "people"."id" LIMIT $1', True),
    ]
