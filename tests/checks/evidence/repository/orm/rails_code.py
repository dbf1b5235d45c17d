"""An application of Rails that the tests of ActiveRecord put their code into."""

from __future__ import annotations

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
