"""Migrations of Rails, read where no schema.rb sums them up."""

from __future__ import annotations

import pytest

from checks.evidence.repository.declarations import DeclarationReader
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.django import Project
from checks.evidence.repository.scripts import Migrations
from checks.model import Location

FIRST = """\
class CreatePosts < ActiveRecord::Migration[7.1]
  def change
    create_table :authors, id: :uuid do |t|
      t.string :email, null: false, index: { unique: true }
      t.timestamps
    end
    create_table :posts do |t|
      t.references :author, type: :uuid, null: false, foreign_key: { on_delete: :cascade }
      t.belongs_to :subject, polymorphic: true
      t.string :title, :slug, limit: 80
      t.decimal :price, precision: 8, scale: 2, default: 0
      t.column :tags, :string, array: true
      t.datetime :seen_at
      t.index [:title, :slug], name: "posts_by_title"
      t.check_constraint "price > 0", name: "paid"
    end
    create_join_table :posts, :tags
    create_table(:gone) { |t| t.integer :x }
  end
end
"""
SECOND = """\
class Later < ActiveRecord::Migration[7.1]
  disable_ddl_transaction!

  def up
    rename_column :posts, :slug, :path
    change_column :posts, :title, :text, null: false
    change_column_null :posts, :price, false
    change_column_default :posts, :title, from: nil, to: "x"
    add_index :posts, :path, algorithm: :concurrently, where: "path IS NOT NULL"
    remove_index :posts, name: "posts_by_title"
    change_table :authors, bulk: true do |t|
      t.integer :age
      t.remove :created_at
    end
    reversible do |dir|
      dir.up { add_column :authors, :name, :string }
      dir.down { add_column :authors, :never, :string }
    end
    safety_assured { add_check_constraint :authors, "age > 0", validate: false }
    execute <<~SQL
      CREATE VIEW grown AS SELECT age FROM authors;
    SQL
    add_column :authors, :once, :integer unless column_exists?(:authors, :once)
    add_column :authors, :perhaps, :integer if ENV["PERHAPS"]
    drop_table :gone
    Author.update_all(name: "x")
  end

  def down
    drop_table :posts
  end
end
"""
FILES = {"db/migrate/2_later.rb": SECOND, "db/migrate/1_create_posts.rb": FIRST}


def read(files: dict[str, str]) -> Migrations:
    reader = DeclarationReader()
    for path, text in files.items():
        reader.read(SourceFile(path, text, path.rpartition(".")[2]))
    return reader.finish(Project(), list(files))


def test_what_the_migrations_leave_behind() -> None:
    (lineage,) = read(FILES).lineages
    assert (lineage.tool, lineage.folder, lineage.files, lineage.complete) == ("rails", "db/migrate", 2, True)
    assert "perhaps" in lineage.uncertain
    assert not {"once", "email"} & set(lineage.uncertain)
    tables = {table.name: table for table in lineage.tables}
    assert sorted(tables) == ["authors", "posts", "posts_tags"]
    assert [(column.name, column.type, column.not_null, column.has_default) for column in tables["posts"].columns] == [
        ("id", "bigint", True, True),
        ("author_id", "uuid", True, False),
        ("subject_type", "character varying", False, False),
        ("subject_id", "bigint", False, False),
        ("title", "text", True, True),
        ("price", "numeric(8,2)", True, True),
        ("tags", "character varying[]", False, False),
        ("seen_at", "timestamp(6) without time zone", False, False),
        ("path", "character varying(80)", False, False),
    ]
    assert [(entry.kind, entry.name, entry.columns, entry.on_delete) for entry in tables["posts"].constraints] == [
        ("primary_key", "posts_pkey", ("id",), ""),
        ("foreign_key", "fk_rails_04d13ef8c7", ("author_id",), "cascade"),
        ("check", "paid", (), ""),
    ]
    assert [(index.name, index.columns, index.unique, index.partial) for index in tables["posts"].indexes] == [
        ("index_posts_on_author_id", ("author_id",), False, False),
        ("index_posts_on_subject", ("subject_type", "subject_id"), False, False),
        ("index_posts_on_path", ("path",), False, True),
    ]
    assert [index.name for index in tables["authors"].indexes] == ["index_authors_on_email"]
    assert [column.name for column in tables["authors"].columns] == [
        "id",
        "email",
        "updated_at",
        "age",
        "name",
        "once",
        "perhaps",
    ]
    assert [(column.name, column.type) for column in tables["posts_tags"].columns] == [
        ("post_id", "bigint"),
        ("tag_id", "bigint"),
    ]
    assert [entry.subject.path for entry in lineage.objects] == [("public", "grown")]


def test_what_each_migration_does() -> None:
    found = read(FILES | {"db/schema.rb": "ActiveRecord::Schema[7.1].define(version: 2) do\nend\n"})
    assert [(file.path, file.folder, file.order) for file in found.files] == [
        ("db/migrate/1_create_posts.rb", "db/schema.rb", 0),
        ("db/migrate/2_later.rb", "db/schema.rb", 1),
    ]
    assert found.lineages == ()
    steps = {(step.kind, step.name): step for step in found.files[1].steps}
    index = steps["create_index", "index_posts_on_path"]
    assert (index.concurrently, index.in_transaction) == (True, False)
    assert index.location == Location("db/migrate/2_later.rb", 9)
    assert {kind for kind, _ in steps} >= {"rename_column", "drop_column", "drop_table", "set_not_null"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("[4.2]", ("integer", "timestamp without time zone")), ("[7.0]", ("bigint", "timestamp(6) without time zone"))],
)
def test_types_are_those_of_the_version(version: str, expected: tuple[str, str]) -> None:
    body = "    create_table :a do |t|\n      t.datetime :at\n    end\n"
    code = f"class A < ActiveRecord::Migration{version}\n  def change\n{body}  end\nend\n"
    (table,) = read({"db/migrate/1_a.rb": code}).lineages[0].tables
    assert tuple(column.type for column in table.columns) == expected


@pytest.mark.parametrize(
    "body",
    [
        "create_table :a do |t|\n" * 3_000,
        "if x\n" * 3_000 + "add_column :a, :b, :c\n",
        "add_index :a, [" * 3_000,
        'create_table "#{x}" do |t|\nend\nadd_column\nadd_column(*x)\nrename_table :a\nexecute x\nexecute <<~SQL\nx',
        "reversible { |d| " * 2_000,
        "create_table :a, " + "id: { type: " * 2_000,
    ],
    ids=range(6),
)
def test_hostile_migrations_never_crash(body: str) -> None:
    read({"db/migrate/1_a.rb": f"class A < ActiveRecord::Migration[7.0]\n  def change\n{body}\n  end\nend\n"})
