from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from checks.evidence.database.facts import Server, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.model import Outcome
from tests.checks.survey import conclude, survey
from tests.servers import Database

NAME = "plans.one-sided-workload"
DAY_MS = 86_400_000.0
READ, WRITE = "SELECT name FROM users WHERE id = $1", "UPDATE users SET name = $1 WHERE id = $2"
LOCKING, WITHIN = "SELECT id FROM users FOR UPDATE", "WITH old AS (DELETE FROM users RETURNING id) SELECT id FROM old"


@pytest.fixture
def observed(database: Database) -> Evidence:
    database.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
    return survey(database, limits={"window_days": 0})


def with_work(observed: Evidence, days: float, **cores: float) -> Evidence:
    """Statements that kept so many cores busy for so many days."""
    texts = {"read": READ, "write": WRITE, "locking": LOCKING, "within": WITHIN}
    server = observed.get(Server)
    since = server.observed_at - dt.timedelta(days=days)
    entries = tuple(
        Statement(str(number), texts[kind], 1000, busy * days * DAY_MS, busy * days * DAY_MS / 1000, 1000)
        for number, (kind, busy) in enumerate(cores.items(), 1)
    )
    return msgspec.structs.replace(
        observed,
        server=msgspec.structs.replace(server, statistics_since=since, started_at=since),
        statements=Statements("1.10", since, 0, 0, entries),
    )


def test_mostly_reads_and_mostly_writes(observed: Evidence) -> None:
    (reads,) = conclude(with_work(observed, 7, read=2.9, write=0.1), NAME).findings
    (writes,) = conclude(with_work(observed, 7, read=0.05, write=0.5, locking=0.2, within=0.2), NAME).findings

    assert reads.title == "Reads take 97% of the time of all statements, which keep 3.0 cores busy"
    assert (reads.observed["read_share"], reads.observed["busy_cores"]) == (0.9667, 3.0)
    assert writes.title.startswith("Writes take 95% of the time of all statements, ")
    assert "standby takes none of it" in writes.fix.summary


@pytest.mark.parametrize(
    ("days", "cores"), [(7, {"read": 2, "write": 0.5}), (7, {"read": 0.2}), (0.01, {"read": 3})],
    ids=["of both kinds", "of little", "of a moment"],
)  # fmt: skip
def test_work_that_says_nothing(observed: Evidence, days: float, cores: dict[str, float]) -> None:
    assert conclude(with_work(observed, days, **cores), NAME).outcome is Outcome.PASSED


def test_no_work(observed: Evidence) -> None:
    assert conclude(with_work(observed, 7), NAME).outcome is Outcome.NOT_APPLICABLE
