"""What classes say: tables, scopes, associations, concerns."""

from __future__ import annotations

from tests.checks.evidence.repository.orm.calls import only, read, tail
from tests.checks.evidence.repository.orm.rails_code import POST, SCHEMA, of


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


def test_an_association_by_a_column_that_is_not_there_is_none() -> None:
    keyed = "class Person < ApplicationRecord\n  has_many :posts, class_name: 'Blog::Post', query_constraints: [:a, :b]\nend\n"
    _, calls = read(of("current_person.posts.to_a") | {"app/models/person.rb": keyed})
    assert calls == ()


def test_a_module_with_a_base_class_of_its_own_has_models() -> None:
    base = "module Blog\n  class ApplicationRecord < ::ApplicationRecord\n    self.abstract_class = true\n  end\nend\n"
    post = "module Blog\n  class Post < Blog::ApplicationRecord\n  end\nend\n"
    _, calls = read(
        of("Blog::Post.find(1)") | {"app/models/blog/application_record.rb": base, "app/models/blog/post.rb": post}
    )
    assert [tail(call) for call in calls if call.location.path == "app/x.rb"] == [
        'FROM "blog_posts" WHERE "blog_posts"."id" = $1 LIMIT $2'
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


def test_labels_of_an_enumeration_are_scopes() -> None:
    person = """
        class Person < ApplicationRecord
          enum :status, { active: 0, "retired" => 1 }
          enum name: [:one, :two], _prefix: true
          def self.oldest
            active.order(:id).first
          end
        end
    """
    files = of("Person.not_retired.count\n    Person.name_one.count\n    Person.two.count") | {
        "app/models/person.rb": person
    }
    _, calls = read(files)
    assert [(tail(call), call.partial) for call in calls] == [
        ('FROM "people" WHERE "people"."status" = $1 ORDER BY "people"."id" LIMIT $2', ()),
        ('FROM "people" WHERE "people"."status" <> $1', ()),
    ]
    for labels in ("%i[active retired].index_with(&:to_s)", "[:active, :retired].freeze", "%w[active retired]"):
        person = f"class Person < ApplicationRecord\n  enum :status, {labels}\nend\n"
        _, calls = read(of("Person.retired.count") | {"app/models/person.rb": person})
        assert tail(only(calls)) == 'FROM "people" WHERE "people"."status" = $1'


def test_a_default_scope_is_part_of_every_statement() -> None:
    person = """
        class Person < ApplicationRecord
          default_scope { named.where(status: 1) }
          scope :named, -> { where.not(name: nil) }
        end
    """
    asked = "Person.where(email: e).to_a\n    Person.unscoped.where(email: e).to_a\n    Person.create!(email: e)"
    _, calls = read(of(asked) | {"app/models/person.rb": person})
    assert [(tail(call), call.partial) for call in calls] == [
        ('FROM "people" WHERE "people"."name" IS NOT NULL AND "people"."status" = $1 AND "people"."email" = $2', ()),
        ('FROM "people" WHERE "people"."email" = $1', ()),
        ('INSERT INTO "people" ("email") VALUES ($1)', ("columns",)),
    ]
    strange = "class Person < ApplicationRecord\n  default_scope { kept }\nend\n"
    _, calls = read(of("Person.find_by(email: e)") | {"app/models/person.rb": strange})
    assert (tail(only(calls)), only(calls).partial) == (
        'FROM "people" WHERE "people"."email" = $1 LIMIT $2',
        ("order", "where"),
    )


def test_scopes_that_ask_for_each_other_end() -> None:
    person = """
        class Person < ApplicationRecord
          scope :one, -> { two.where(status: 1) }
          scope :two, -> { one.where(status: 2) }
        end
    """
    _, calls = read(of("Person.one.to_a") | {"app/models/person.rb": person})
    assert "where" in only(calls).partial


def test_a_module_says_what_stands_before_the_names_of_its_tables() -> None:
    module = 'module Admin\n  module Press\n    def self.table_name_prefix\n      "blog_"\n    end\n  end\nend\n'
    post = "class Admin::Press::Post < ApplicationRecord\nend\n"
    files = {"app/models/admin/press.rb": module, "app/models/admin/press/post.rb": post}
    files["app/models/admin/press/named.rb"] = (
        "module Admin\n  module Press\n    module Named\n      extend ActiveSupport::Concern\n    end\n  end\nend\n"
    )
    files["app/models/admin/post.rb"] = "class Admin::Post < ApplicationRecord\nend\n"
    models, _ = read(of("") | files)
    assert {model.name: model.table for model in models if "Admin" in model.name} == {
        "Admin::Press::Post": "blog_posts"
    }


def test_associations_through_others_lead_to_what_the_other_names() -> None:
    person = """
        class Person < ApplicationRecord
          has_many :posts, class_name: "Blog::Post", foreign_key: :author_id
          has_many :writers, through: :posts, source: :author
          has_many :authors, through: :posts
          has_many :strangers, through: :posts, source: :stranger

          def drafts
            posts.where(title: nil)
          end

          def odd_writers
            writers.odd
          end

          def names
            title.downcase
          end
          scope :odd, ->(x) { x ? where(status: x) : all }
        end
    """
    asked = [
        f"current_person.{name}.pluck(:id)"
        for name in ("writers", "authors", "strangers", "drafts", "odd_writers", "names")
    ]
    _, calls = read(of("\n    ".join(asked)) | {"app/models/person.rb": person})
    assert [(call.location.line, tail(call)) for call in calls if call.location.path == "app/x.rb"] == [
        (3, 'FROM "people"'),
        (4, 'FROM "people"'),
        (6, 'FROM "blog_posts" WHERE "blog_posts"."author_id" = $1'),
        (7, 'FROM "people"'),
    ]
    assert all("where" in call.partial for call in calls if call.location.path == "app/x.rb")


def test_a_variable_may_be_written_together() -> None:
    schema = 'create_table "web_hooks", force: :cascade do |t|\n  t.string "url"\nend\n'
    files = {"db/schema.rb": schema, "app/models/web_hook.rb": "class WebHook < ApplicationRecord\nend\n"}
    _, calls = read(files | {"app/x.rb": "def work(webhook)\n  webhook.destroy!\nend\n"})
    assert only(calls).text == 'DELETE FROM "web_hooks" WHERE "web_hooks"."id" = $1'


def test_states_of_a_machine_are_scopes() -> None:
    person = """
        class Person < ApplicationRecord
          include AASM
          aasm column: :status, whiny_persistence: true do
            state :invited, initial: true
            state :active, :retired
            event(:retire) { transitions from: :active, to: :retired }
          end
        end
    """
    _, calls = read(of("Person.retired.where(name: n).count") | {"app/models/person.rb": person})
    assert (tail(only(calls)), only(calls).partial) == (
        'FROM "people" WHERE "people"."status" = $1 AND "people"."name" = $2',
        (),
    )


def test_a_row_may_be_asked_for_by_its_slug() -> None:
    _, calls = read(of("Person.friendly.find(params[:id])"))
    (asked,) = (call for call in calls if call.location.path == "app/x.rb")
    assert (tail(asked), asked.partial) == ('FROM "people" LIMIT $1', ("where",))


def test_a_class_within_a_class_has_the_table_of_both_names() -> None:
    schema = "".join(
        f'create_table "{name}" do |t|\n  t.string "name"\nend\n' for name in ("tasks", "admin_audit_tasks")
    )
    task = "class Admin::Audit::Task < ApplicationRecord\nend\n"
    models, _ = read({"db/schema.rb": schema, "app/models/admin/audit/task.rb": task})
    assert [model.table for model in models] == ["admin_audit_tasks"]
