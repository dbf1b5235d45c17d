from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Location, Outcome, Reason, Severity
from tests.checks.schema.declared import USERS
from tests.checks.survey import examine
from tests.servers import Database

CHECK = "schema.model-without-table"
SCHEMA = """
    CREATE SCHEMA app;
    CREATE TABLE app.users (id bigint PRIMARY KEY, email text);
    CREATE TABLE posts (id bigint PRIMARY KEY, title text);
    CREATE VIEW shown AS SELECT id FROM posts;
"""
MODELS = (
    USERS
    + """
class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    slug: Mapped[str]

class Shown(Base):
    __tablename__ = "shown"
    id: Mapped[int] = mapped_column(primary_key=True)

class OldPost(Base):
    __tablename__ = "shown"
    id: Mapped[int] = mapped_column(primary_key=True)
    dropped: Mapped[str]

class Gone(Base):
    __tablename__ = "gone"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
)
OTHERS = """
from sqlalchemy.orm import Mapped, mapped_column
from other import Base

class Elsewhere(Base):
    __tablename__ = "elsewhere"
    id: Mapped[int] = mapped_column(primary_key=True)

class AlsoElsewhere(Base):
    __tablename__ = "also_elsewhere"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


def test_models_of_tables_and_columns_that_are_not_there(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    database.execute(SCHEMA)
    result = examine(database, CHECK, repository({"api/models.py": MODELS, "services/other/models.py": OTHERS}))
    found = {entry.subject.name: entry for entry in result.findings}
    assert set(found) == {"public.posts", "public.gone"}
    assert found["public.posts"].observed == {"model": "Post", "orm": "sqlalchemy", "missing_columns": ["slug"]}
    assert found["public.posts"].locations == (Location("api/models.py", 16),)
    assert found["public.gone"].locations == (Location("api/models.py", 27),)
    assert {entry.severity for entry in result.findings} == {Severity.HIGH}
    assert (result.examined, result.of, result.unmet) == (5, 5, 2)


def test_models_of_another_database(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    database.execute(SCHEMA)
    result = examine(database, CHECK, repository({"services/other/models.py": OTHERS}))
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NEEDS_ANSWER)
    assert examine(database, CHECK, repository({"a.py": "x = 1"})).outcome is Outcome.NOT_APPLICABLE


def test_many_tables_that_are_not_there_are_one_finding(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    numbers = range(12)
    head = "from sqlalchemy import Column, Integer\nfrom base import Base\n"
    classes = "".join(
        f'class M{number}(Base):\n    __tablename__ = "m{number}"\n    id = Column(Integer)\n' for number in numbers
    )
    for number in range(6):
        database.execute(f"CREATE TABLE m{number} (id int)")
    (only,) = examine(database, CHECK, repository({"models.py": head + classes})).findings
    assert (only.subject.name, only.observed["missing_tables"]) == ("models.py", [f"public.m{n}" for n in range(6, 12)])


def test_tables_of_a_platform_are_its_own(database: Database, repository: Callable[[Mapping[str, str]], Path]) -> None:
    database.execute("CREATE TABLE posts (id bigint PRIMARY KEY)")
    table = "{ Row: { id: number }; Insert: { id?: number }; Update: { id?: number }; Relationships: [] }"
    types = (
        "export type Json = string | number\nexport type Database = {\n"
        f"  storage: {{\n    Tables: {{\n      buckets: {table}\n      objects: {table}\n    }}\n  }}\n"
        f"  public: {{\n    Tables: {{\n      posts: {table}\n      gone: {table}\n    }}\n  }}\n}}\n"
    )
    client = 'import { createClient } from "@supabase/supabase-js";\nconst c = createClient<Database>(u, k);\nc.from("posts");\n'

    result = examine(database, CHECK, repository=repository({"lib/database.types.ts": types, "lib/c.ts": client}))

    assert [finding.subject.name for finding in result.findings] == ["public.gone"]
