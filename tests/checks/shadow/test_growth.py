from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from checks.errors import UsageError
from checks.evidence import store
from checks.evidence.database.facts import Catalog, PlanNode, Server, Statement, Statements, TableUsage, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import CodeStatement, Match, Repository
from checks.growth import Growth
from checks.model import Location
from checks.shadow.clone import Shadow
from checks.shadow.curves import breaking_factor, exponent_of
from checks.shadow.growth import grow
from checks.shadow.paces import paces
from checks.shadow.workload import with_limits
from tests.checks.survey import conclude, names, survey
from tests.servers import Database, cache_folder

SCHEMA = (
    "CREATE TABLE plans (id int PRIMARY KEY, name text, last_update timestamptz DEFAULT now())",
    "CREATE TABLE users (id int PRIMARY KEY, plan_id int REFERENCES plans, email text, created_at timestamptz DEFAULT now())",
    "CREATE TABLE messages (id int, user_id int REFERENCES users, body text, PRIMARY KEY (id)) WITH (fillfactor = 90)",
    "INSERT INTO plans (id, name) SELECT i, 'p' FROM generate_series(1, 4) AS i",
    "INSERT INTO users SELECT i, 1 + i % 4, 'u' || i FROM generate_series(1, 2000) AS i",
    "INSERT INTO messages SELECT i, 1 + i % 2000, repeat('x', 80) || i FROM generate_series(1, 40000) AS i",
    "CREATE INDEX ON messages (user_id)",
    "VACUUM ANALYZE",
)
BY_KEY = "SELECT * FROM messages WHERE id = $1"
BY_BODY = "SELECT id FROM messages WHERE body = $1 LIMIT $2"
OF_PLAN = "SELECT u.email, p.name FROM users u JOIN plans p ON p.id = u.plan_id ORDER BY u.email"
OF_USER = "SELECT * FROM messages WHERE user_id = $1"


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Path | None:
    major: int | None = pytestconfig.getoption("major")
    return None if major is None else cache_folder() / str(major) / "bin"


def ran(evidence: Evidence, **means: tuple[str, float]) -> Evidence:
    """The evidence, as if these statements had run, each so many milliseconds on average."""
    entries = tuple(
        Statement(str(number), text, 50, 50 * mean, mean, 50) for number, (text, mean) in enumerate(means.values(), 1)
    )
    return msgspec.structs.replace(evidence, statements=Statements("1.12", None, 0, 0, entries))


def counted(evidence: Evidence, days: float, **inserted: int) -> Evidence:
    """The evidence, as if the statistics covered so many days, and these rows had been inserted in them."""
    catalog, server = evidence.get(Catalog), evidence.get(Server)
    rows = tuple(
        TableUsage(table.oid, 0, 0, 0, inserted.get(table.name, 0), 0, 0, 0, int(table.rows or 0), 0, 0)
        for table in catalog.tables
    )
    since = server.observed_at - dt.timedelta(days=days)
    return msgspec.structs.replace(
        evidence, usage=Usage(rows), server=msgspec.structs.replace(server, started_at=since, statistics_since=since)
    )


def test_what_grows_and_what_breaks_first(database: Database, programs: Path | None) -> None:
    database.execute(*SCHEMA)
    evidence = ran(survey(database), a=(BY_KEY, 0.02), b=(BY_BODY, 8.0), c=(OF_PLAN, 3.0), d=(OF_USER, 0.1), e=("SELECT 1", 1.0),
                   f=("SELECT * FROM nowhere", 1.0))  # fmt: skip

    code = (
        CodeStatement(Location("app/pages.py", 7), "python", BY_BODY.replace("id FROM", "body FROM")),
        CodeStatement(Location("app/pages.py", 9), "python", BY_KEY),
        CodeStatement(Location("app/pages.py", 11), "python", "SELECT $1 FROM messages", holes=1),
    )
    matches = (Match("1", code[1].location, "text"),)
    evidence = msgspec.structs.replace(evidence, repository=Repository("app", statements=code, matches=matches))
    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        before = {statement: shadow.explain(statement) for statement in (BY_KEY, OF_PLAN, OF_USER)}
        growth = grow(shadow, evidence)
        after = {statement: shadow.explain(statement) for statement in before}
        asked = grow(shadow, evidence, factors=(10, 100), asked={"public.messages": 100})
        with pytest.raises(UsageError, match="there is no such table"):
            grow(shadow, evidence, asked={"nothing": 10})

    assert before == after
    assert all(isinstance(plan, PlanNode) for plan in before.values())
    assert growth.factors == (1.0, 10.0, 100.0, 1000.0)
    assert {table.name: table.exponent for table in growth.tables} == {"messages": 1.0, "users": 1.0, "plans": 0.0}
    assert next(entry.statement for entry in growth.breaking) == "2"
    scan, by_key, listing, of_user = (growth.by_statement[id] for id in ("2", "1", "3", "4"))
    assert scan.exponent is not None
    assert 0.9 < scan.exponent < 1.1
    assert scan.breaks_at is not None
    assert 10 < scan.breaks_at.factor < 16
    assert by_key.exponent is not None
    assert by_key.exponent < 0.1
    assert by_key.breaks_at is None
    # Each user has as many messages as before: a foreign key's values grow with what it points to.
    assert of_user.exponent is not None
    assert of_user.exponent < 0.15
    assert listing.exponent is not None
    assert listing.exponent > 0.9
    assert growth.unplanned == 2
    # What never ran has a curve, and no mean that could pass anything.
    (unrun,) = [entry for entry in growth.statements if ":" in entry.statement]
    assert unrun.statement == "app/pages.py:7"
    assert (unrun.exponent or 0) > 0.5
    assert unrun.mean_ms is None
    assert unrun.breaks_at is None
    assert {table.name: table.exponent for table in asked.tables} == {"messages": 1.0, "users": 0.0, "plans": 0.0}
    assert asked.by_statement["3"].exponent == 0.0
    # With as many users as before, each has a hundred times the messages.
    assert (asked.by_statement["4"].exponent or 0) > 0.8

    kept = msgspec.structs.replace(evidence, growth=growth)
    again = store.decode(store.encode(kept))
    assert again.get(Growth) == growth
    assert names(conclude(again, "plans.breaks-first")) == set()
    soon = conclude(msgspec.structs.replace(kept, growth=_sooner(growth)), "plans.breaks-first")
    assert names(soon) == {"2"}
    assert "times as large" in soon.findings[0].title


def _sooner(growth: Growth) -> Growth:
    entry = growth.by_statement["2"]
    assert entry.breaks_at is not None
    entry = msgspec.structs.replace(entry, breaks_at=msgspec.structs.replace(entry.breaks_at, factor=4.0))
    others = tuple(one for one in growth.statements if one.statement != "2")
    return msgspec.structs.replace(growth, statements=(entry, *others))


def test_a_table_that_passes_32_tb_is_cut_there(database: Database, programs: Path | None) -> None:
    database.execute(*SCHEMA)
    evidence = ran(survey(database), a=(BY_BODY, 8.0))

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        growth = grow(shadow, evidence, factors=(1e5, 1e8), asked={"messages": 1e8})

    assert growth.skipped == (1e8,)
    (full,) = growth.full
    assert full.name == "messages"
    assert full.full_at is not None
    assert 1e6 < full.full_at < 1e8
    assert growth.disk_bytes < 250 * 1024 * 1024
    result = conclude(msgspec.structs.replace(evidence, growth=growth), "plans.relation-exceeds-limit")
    assert names(result) == {"public.messages"}


def test_insert_rates_tell_what_grows(database: Database) -> None:
    database.execute(*SCHEMA)
    evidence = survey(database)
    catalog = evidence.get(Catalog)

    def told(evidence: Evidence) -> dict[str, tuple[float, float | None]]:
        return {
            catalog.table_by_oid[oid].name: (pace.exponent, pace.rows_per_day) for oid, pace in paces(evidence).items()
        }

    assert told(counted(evidence, 30, messages=3000, users=0, plans=0)) == {
        "messages": (1.0, 100.0),
        "users": (0.0, None),
        "plans": (0.0, None),
    }
    # What was loaded in one go tells nothing but the mean rate; the smallest of all are lookup tables by their looks.
    assert told(counted(evidence, 40, messages=40000, users=2000, plans=4)) == {
        "messages": (1.0, 1000.0),
        "users": (1.0, 50.0),
        "plans": (0.0, None),
    }
    assert told(counted(evidence, 0.1, messages=3000, users=0, plans=0)) == {
        "messages": (1.0, None),
        "users": (1.0, None),
        "plans": (0.0, None),
    }


def test_limits_are_those_that_were_sent() -> None:
    assert (
        with_limits("SELECT a FROM t ORDER BY b LIMIT $1 OFFSET $2", 250, 10)
        == "SELECT a FROM t ORDER BY b LIMIT 25 OFFSET 0"
    )
    inner = "SELECT * FROM (SELECT a FROM t LIMIT $1) AS s LIMIT 5"
    assert with_limits(inner, 10, 10) == inner
    # A batch: as many as it changed.
    batch = "DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a = $1 ORDER BY id LIMIT $2)"
    assert with_limits(batch, 900, 3) == batch.replace("LIMIT $2", "LIMIT 300")
    assert (
        with_limits("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a = $2 LIMIT $1)", 900, 3)
        == "DELETE FROM t WHERE id IN (SELECT id FROM t WHERE a = $1 LIMIT 300)"
    )
    chosen = "SELECT * FROM u WHERE id IN (SELECT id FROM t LIMIT $2)"
    assert with_limits(chosen, 900, 3) == chosen
    assert (
        with_limits("SELECT 'LIMIT $1', \"limit\" FROM t LIMIT $1", 0, 3)
        == "SELECT 'LIMIT $1', \"limit\" FROM t LIMIT 1"
    )


def test_fits() -> None:
    assert exponent_of((1, 10, 100), (2.0, 20.0, 200.0)) == 1.0
    assert exponent_of((1, 10, 100), (2.0, None, 2.0)) == 0.0
    assert exponent_of((1,), (2.0,)) is None
    assert breaking_factor((1, 10, 100), (1.0, 10.0, 100.0), 5.0, 100.0) == 20.0
    assert breaking_factor((1, 10, 100), (1.0, 10.0, 100.0), 200.0, 100.0) == 1
    assert breaking_factor((1, 10, 100), (1.0, 1.0, 1.0), 5.0, 100.0) is None
    assert breaking_factor((1, 10), (1.0, None), 5.0, 100.0) is None


def test_what_is_claimed_is_what_the_rows_will_do(database: Database, programs: Path | None) -> None:
    """Four rows a parent, side by side: of a large table ANALYZE tells of fewer parents, and the planner expects more rows."""
    database.execute(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent_id int REFERENCES parents, body text)",
        "CREATE TABLE alembic_version (version_num text)",
        "INSERT INTO parents SELECT generate_series(1, 5000)",
        "INSERT INTO children SELECT 4 * n + i, 1 + CASE WHEN n % 40 = 0 THEN 4999 - n ELSE n END, repeat('x', 200) || n || i "
        "FROM generate_series(0, 4999) AS n, generate_series(1, 4) AS i ORDER BY 1",
        "INSERT INTO alembic_version VALUES ('1')",
        "CREATE INDEX ON children (parent_id)",
        "VACUUM ANALYZE",
    )
    of_parent, by_body = "SELECT * FROM children WHERE parent_id = $1", "SELECT id FROM children WHERE body = $1"
    evidence = ran(survey(database), a=(of_parent, 30.0), b=(by_body, 8.0), c=(by_body + " AND id > $2", 0.001))

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        before = shadow.explain(of_parent)
        growth = grow(shadow, evidence, factors=(100, 1000))
        assert shadow.explain(of_parent) == before

    of_parent_grown, scan, impossible = (growth.by_statement[id] for id in ("1", "2", "3"))
    first, *_, last = of_parent_grown.costs
    assert first is not None
    assert last is not None
    assert last > 3 * first
    assert of_parent_grown.exponent is not None
    assert of_parent_grown.exponent < 0.1
    assert of_parent_grown.breaks_at is None
    assert scan.breaks_at is not None
    # No machine reads twenty thousand rows in a microsecond: another plan ran, for constants that are not known.
    assert impossible.breaks_at is None
    assert {table.name: table.exponent for table in growth.tables}["alembic_version"] == 0.0
