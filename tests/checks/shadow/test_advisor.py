from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import PlanNode, Statement, Statements, Usage
from checks.shadow.advisor import advise
from checks.shadow.clone import Shadow
from tests.checks.survey import survey
from tests.servers import Database, cache_folder

SCHEMA = (
    "CREATE TABLE users (id int PRIMARY KEY, email text, country text)",
    "CREATE TABLE messages (id int PRIMARY KEY, user_id int REFERENCES users, status text, sent timestamptz, body text)",
    "INSERT INTO users SELECT i, 'u' || i, 'c' || i % 50 FROM generate_series(1, 5000) AS i",
    "INSERT INTO messages SELECT i, 1 + i * 7919 % 5000, 's' || i % 3, now() - i * interval '1 minute', repeat('x', 80) "
    "FROM generate_series(1, 60000) AS i",
    "VACUUM ANALYZE",
)
BY_USER = "SELECT id, body FROM messages WHERE user_id = $1 ORDER BY sent DESC"
BY_EMAIL = "SELECT id FROM users WHERE email = $1"
BY_KEY = "SELECT body FROM messages WHERE id = $1"


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Path | None:
    major: int | None = pytestconfig.getoption("major")
    return None if major is None else cache_folder() / str(major) / "bin"


def test_a_set_within_its_budget(database: Database, programs: Path | None) -> None:
    database.execute(*SCHEMA)
    entries = tuple(
        Statement(str(number), text, calls, calls * 1.0, 1.0, calls)
        for number, (text, calls) in enumerate(((BY_USER, 1000), (BY_EMAIL, 100), (BY_KEY, 1000)), 1)
    )
    evidence = msgspec.structs.replace(
        survey(database), statements=Statements("1.12", None, 0, 0, entries), usage=Usage()
    )

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        before = [shadow.explain(text) for text in (BY_USER, BY_EMAIL, BY_KEY)]
        ample = advise(shadow, evidence, budget_bytes=64 << 20)
        none = advise(shadow, evidence, budget_bytes=0)

    assert all(isinstance(plan, PlanNode) for plan in before)
    assert {(entry.table[1], entry.statements) for entry in ample.indexes} == {("messages", ("1",)), ("users", ("2",))}
    assert all(entry.definition.startswith(("(user_id", "(email")) for entry in ample.indexes)
    assert ample.saved > 0.9
    assert 0 < ample.bytes < 64 << 20
    assert all(entry.cost_after <= entry.cost_before * 1.01 for entry in ample.statements)
    assert none.indexes == ()
    assert none.saved == 0.0
