from __future__ import annotations

import datetime as dt

import msgspec

from checks.evidence.database.facts import Earlier, EarlierStatement, Rates, StatementRate, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.model import Outcome, Reason, Severity
from tests.checks.survey import conclude, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

SCHEMA = """
    CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
    INSERT INTO orders SELECT n, n % 5000, repeat('x', 60) FROM generate_series(1, 200000) n;
    CREATE INDEX orders_customer ON orders (customer);
"""
BY_CUSTOMER = "SELECT note FROM orders WHERE customer = %s"
BY_ID = "SELECT note FROM orders WHERE id = %s"


def _again(database: Database, before: Evidence) -> Evidence:
    return observe(Target(database.dsn), last=lambda _: before).evidence


def test_a_statement_that_lost_its_index_between_two_reviews(database: Database) -> None:
    prepare(database, SCHEMA)
    application = database.connect()
    for statement in (BY_CUSTOMER, BY_ID):
        send(application, statement, [(number,) for number in range(60)])
    before = survey(database)
    database.execute("DROP INDEX orders_customer")
    for statement in (BY_CUSTOMER, BY_ID):
        send(application, statement, [(number,) for number in range(60)])
    before = msgspec.structs.replace(before, observed_at=before.observed_at - dt.timedelta(days=8))

    evidence = _again(database, before)
    limits = msgspec.structs.replace(survey(database, limits={"plan_ms": 5}).configuration)
    result = conclude(msgspec.structs.replace(evidence, configuration=limits), "plans.regressed-statement")

    (found,) = result.findings
    assert "orders by customer takes" in found.title
    assert "since the last review, 8 days ago" in found.title
    assert found.observed["calls_since"] == 60
    assert found.observed["factor"] > 3
    assert found.severity is Severity.MEDIUM


def test_neither_a_first_review_nor_one_after_few_calls_tells_it(database: Database) -> None:
    prepare(database, SCHEMA)
    application = database.connect()
    send(application, BY_CUSTOMER, [(number,) for number in range(60)])
    before = survey(database)
    result = conclude(before, "plans.regressed-statement")
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.WINDOW_TOO_SHORT)
    database.execute("DROP INDEX orders_customer")
    send(application, BY_CUSTOMER, [(number,) for number in range(9)])

    assert conclude(_again(database, before), "plans.regressed-statement").outcome is Outcome.PASSED


def test_this_minute_against_ever(database: Database) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), BY_CUSTOMER, [(number,) for number in range(60)])
    evidence = survey(database)
    (entry,) = (found for found in evidence.get(Statements).entries if "customer" in found.text and "INSERT" not in found.text
                and "CREATE" not in found.text)  # fmt: skip
    watched = Rates(60.0, calls_per_s=9.0, statements=(StatementRate(entry.query_id, 2.0, 2.0 * 80),))

    (found,) = conclude(msgspec.structs.replace(evidence, rates=watched), "plans.regressed-statement").findings

    assert "takes 80.0 ms in the 60 s that were watched" in found.title


def test_counters_that_were_reset_in_between_count_from_nothing(database: Database) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), BY_CUSTOMER, [(number,) for number in range(60)])
    evidence = survey(database)
    (entry,) = (found for found in evidence.get(Statements).entries if "customer" in found.text and "INSERT" not in found.text
                and "CREATE" not in found.text)  # fmt: skip
    long_ago = evidence.observed_at - dt.timedelta(days=30)

    def earlier(mean_ms: float, since: dt.datetime | None) -> Evidence:
        then = EarlierStatement(entry.query_id, 1_000, 1_000 * mean_ms)
        return msgspec.structs.replace(evidence, earlier=Earlier(long_ago, since, (then,)))

    slow = msgspec.structs.replace(
        evidence.get(Statements), entries=(msgspec.structs.replace(entry, total_ms=entry.calls * 90.0),)
    )
    reset = msgspec.structs.replace(earlier(3.0, long_ago), statements=slow)
    (found,) = conclude(reset, "plans.regressed-statement").findings
    assert found.observed["before_ms"] == 3.0
    same = msgspec.structs.replace(earlier(80.0, long_ago), statements=slow)
    assert not conclude(same, "plans.regressed-statement").findings
    evicted = msgspec.structs.replace(earlier(3.0, slow.since), statements=slow)
    assert not conclude(evicted, "plans.regressed-statement").findings
