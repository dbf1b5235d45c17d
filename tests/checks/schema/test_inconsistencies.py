from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Severity
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

MODELS = """
class Runner < ApplicationRecord
  belongs_to :creator, class_name: 'User'
  belongs_to :owner, class_name: 'User'
  belongs_to :thing, polymorphic: true
end
class User < ApplicationRecord
end
"""
TABLES = """
ActiveRecord::Schema[7.1].define(version: 1) do
  create_table "users" do |t|
  end
  create_table "runners" do |t|
    t.integer "creator_id"
    t.bigint "owner_id"
    t.integer "thing_id"
    t.string "thing_type"
  end
end
"""
SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, active boolean, is_admin boolean, locked boolean);
    CREATE TABLE runners (id bigint PRIMARY KEY, creator_id int, owner_id bigint, thing_id int, thing_type text,
        active int, is_admin boolean, locked int);
    CREATE SCHEMA other;
    CREATE TABLE other.users (id bigint PRIMARY KEY, active int);
"""


def test_columns_that_hold_the_same_thing(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    database.execute(SCHEMA)
    evidence = survey(database, repository({"db/schema.rb": TABLES, "app/models/user.rb": MODELS}))

    odd = conclude(evidence, "schema.inconsistent-column-type")

    assert names(odd) == {"public.runners.creator_id", "public.runners.active"}
    assert finding(odd, "public.runners.active").severity is Severity.LOW
    assert finding(odd, "public.runners.creator_id").title == (
        "Column public.runners.creator_id is integer, while public.users.id, which the code relates it to, is bigint"
    )
