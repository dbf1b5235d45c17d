"""Facts about indexes on real databases and repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scorecards.facts.indexing import fixed_predicates_served, indexes_built_concurrently, uniqueness_promised
from tests.checks.survey import survey
from tests.servers import Database

Repository = Callable[[Mapping[str, str]], Path]


def test_parts_of_a_table_that_statements_always_ask_for(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE jobs (id bigint PRIMARY KEY, sent_at timestamptz, owner text);
        INSERT INTO jobs SELECT n, CASE WHEN n % 100 > 0 THEN now() END, 'o' || n FROM generate_series(1, 20000) n;
        """,
        "ANALYZE",
        "SELECT owner FROM jobs WHERE sent_at IS NOT NULL",
    )
    assert fixed_predicates_served(survey(database)).status == "not_applicable"

    database.execute("SELECT owner FROM jobs WHERE sent_at IS NULL")
    verdict = fixed_predicates_served(survey(database))
    assert (verdict.status, verdict.strength) == ("unmet", "measured")
    assert verdict.observed == "no index serves public.jobs where sent_at is null"

    database.execute(
        "CREATE INDEX ON jobs (owner) WHERE sent_at IS NULL", "SELECT owner FROM jobs WHERE sent_at IS NULL"
    )
    assert fixed_predicates_served(survey(database)).status == "met"


def test_how_migrations_build_indexes(database: Database, repository: Repository) -> None:
    table = "CREATE TABLE t (id int, a int, b int);"
    database.execute(table)
    first = {"db/migrations/0001_first.sql": table}
    cautious = {"db/migrations/0002_index.sql": "CREATE INDEX CONCURRENTLY t_a ON t (a);"}
    blocking = {"db/migrations/0003_index.sql": "CREATE INDEX t_b ON t (b);"}

    def judged(files: Mapping[str, str]) -> str:
        return indexes_built_concurrently(survey(database, repository(files))).status

    assert judged({"app.py": "x = 1"}) == "not_applicable"
    assert judged({**first, "db/migrations/0002_column.sql": "ALTER TABLE t ADD c int;"}) == "unknown"
    assert judged({**first, **cautious}) == "met"
    assert judged({**first, **cautious, **blocking}) == "unmet"


def test_whether_the_code_promises_uniqueness(database: Database, repository: Repository) -> None:
    database.execute("CREATE TABLE people (id int PRIMARY KEY, email text)")
    model = (
        "from django.db import models\n\n\nclass Person(models.Model):\n    email = models.TextField({})\n\n"
        "    class Meta:\n        db_table = 'people'\n"
    )
    unique, plain = {"people/models.py": model.format("unique=True")}, {"people/models.py": model.format("")}

    assert uniqueness_promised(survey(database, repository(unique))).status == "met"
    assert uniqueness_promised(survey(database, repository(plain))).status == "unknown"
