from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.checklist import run_check
from checks.model import Outcome
from checks.registry import all_checks
from scorecards.facts import PRECONDITIONS
from tests.checks.survey import survey
from tests.servers import Database

# What an application without vectors may still have: text columns, arrays, updates, tables with TOAST.
ABOUT_OTHERS = {"hybrid.json-in-text", "hybrid.toast-heavy-table", "hybrid.toast-compression", "hybrid.toast-bloat"}


def test_an_application_without_vectors_and_documents(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    """Each check says by which fact it does not apply."""
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE users (id bigint PRIMARY KEY, name text)")
    database.connect().execute("SELECT name FROM users WHERE id = 4")
    code = repository({"app.py": "import psycopg\ndef f(c):\n    c.execute('SELECT name FROM users')\n"})
    evidence = survey(database, code)

    results = {name: run_check(check, evidence) for name, check in all_checks().items() if name.startswith("hybrid.")}

    applying = {name for name, result in results.items() if result.outcome is not Outcome.NOT_APPLICABLE}
    assert applying == ABOUT_OTHERS
    assert all(result.fact for result in results.values() if result.outcome is Outcome.NOT_APPLICABLE)
    assert PRECONDITIONS["vectors"](evidence) == "no vector column, no array of embeddings and no vector-store client"
