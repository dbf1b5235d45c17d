"""What decides the criteria about plans over time: facts of real databases and repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from scorecards.facts.plans import generic_plans_fit, orm_statements_tested, plan_changes_noticed
from tests.checks.survey import survey
from tests.checks.workload import prepare, send
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

MODELS = """\
from django.db import models

class Order(models.Model):
    name = models.TextField()

def all_orders():
    return Order.objects.filter(name="x")
"""


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n    - run: pg_prove test/*.sql\n", "met"),
        ("tests/test_plans.py", 'def test_plan(db):\n    db.execute("EXPLAIN (FORMAT JSON) SELECT 1")\n', "met"),
        ("app/plans.py", 'def plan(db):\n    db.execute("EXPLAIN (FORMAT JSON) SELECT 1")\n', "unknown"),
        (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n    - run: pytest\n", "unknown"),
    ],
)
def test_tests_that_look_at_plans(repository: Repository, path: str, text: str, status: str) -> None:
    assert plan_changes_noticed(survey(None, repository({path: text}))).status == status


@pytest.mark.parametrize(
    ("tests", "status"),
    [
        ("def test_list(self):\n    with self.assertNumQueries(2):\n        all_orders()\n", "met"),
        ("# with self.assertNumQueries(2):\ndef test_list():\n    all_orders()\n", "unknown"),
    ],
)
def test_tests_that_count_what_the_orm_sends(repository: Repository, tests: str, status: str) -> None:
    code = {"requirements.txt": "django==5.2\n", "shop/models.py": MODELS, "tests/test_shop.py": tests}
    assert orm_statements_tested(survey(None, repository(code))).status == status


def test_without_an_orm_there_is_nothing_to_count(repository: Repository) -> None:
    verdict = orm_statements_tested(survey(None, repository({"app.py": 'db.execute("SELECT id FROM orders")\n'})))
    assert (verdict.status, verdict.observed) == ("not_applicable", "no ORM writes SQL here")


def test_one_plan_for_all_values_of_a_skewed_column(database: Database, repository: Repository) -> None:
    prepare(
        database,
        """
        CREATE TABLE events (id int PRIMARY KEY, tenant int, kind int);
        INSERT INTO events SELECT n, CASE WHEN n % 2 = 0 THEN 0 ELSE n % 400 END, n % 5 FROM generate_series(1, 40000) n;
        """,
    )
    application = database.connect()
    send(application, "SELECT count(*) FROM events WHERE kind = %s", [(1,)] * 5)
    assert generic_plans_fit(survey(database)).status == "met"
    send(application, "SELECT count(*) FROM events WHERE tenant = %s", [(1,)] * 5)

    unsure = generic_plans_fit(survey(database))
    assert (unsure.status, unsure.observed) == ("unknown", "skewed: events.tenant")
    prepares = repository({"app.py": 'pool = asyncpg.create_pool("postgresql://db/a", statement_cache_size=100)\n'})
    assert generic_plans_fit(survey(database, prepares)).status == "unmet"
    does_not = repository({"app.py": 'pool = asyncpg.create_pool("postgresql://db/a", statement_cache_size=0)\n'})
    assert generic_plans_fit(survey(database, does_not)).status == "met"
    name = database.dsn.rpartition("dbname=")[2].split()[0]
    database.execute(f"ALTER DATABASE {name} SET plan_cache_mode = force_custom_plan")
    assert generic_plans_fit(survey(database)).status == "met"
