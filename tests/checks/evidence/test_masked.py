"""Statements as pg_stat_statements keeps them become SQL that the server plans."""

from __future__ import annotations

import pytest

from checks.evidence.database.facts import Plans, Statements
from checks.evidence.database.observe import observe_database
from checks.evidence.masked import as_sql
from tests.servers import Database


@pytest.mark.parametrize(
    ("masked", "plain"),
    [
        ("SELECT 1 WHERE d >= date $1 AND e < $2", "SELECT 1 WHERE d >= CAST($1 AS date) AND e < $2"),
        ("d < date $1 + interval $2 day", "d < CAST($1 AS date) + CAST($2 AS interval day)"),
        ("interval $1 hour to second", "CAST($1 AS interval hour to second)"),
        ("SELECT extract($1 FROM d), $3 FROM t", "SELECT extract(year FROM d), $1 FROM t"),
        (
            "SELECT extract($1 FROM d) GROUP BY extract(hour FROM d)",
            "SELECT extract(hour FROM d) GROUP BY extract(hour FROM d)",
        ),
        ("timestamptz $1 AT TIME ZONE $2", "CAST($1 AS timestamptz) AT TIME ZONE $2"),
    ],
)
def test_what_is_no_sql_becomes_sql(masked: str, plain: str) -> None:
    assert " ".join(as_sql(masked).split()) == plain


@pytest.mark.parametrize(
    "text",
    [
        "SELECT date FROM t WHERE t.date = $1 LIMIT $2",
        "SELECT 'date $1', \"date\", date '2026-01-01'",
        "SELECT $1::date, CAST($2 AS interval) FROM t -- date $3",
        "SELECT x AT TIME ZONE $1, f($2), trim(both $3 FROM x)",
        "",
    ],
)
def test_what_is_sql_stays_as_it_is(text: str) -> None:
    assert as_sql(text) == text


def test_such_statements_are_planned(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE sales (sold date, at timestamptz, price numeric)"
    )
    database.connect().execute(
        "SELECT extract(year FROM sold), sum(price) FROM sales WHERE sold >= date '2026-01-01' "
        "AND sold < date '2026-01-01' + interval '3' month AND at < timestamptz '2026-02-01 00:00Z' "
        "GROUP BY extract(year FROM sold)"
    )
    evidence = observe_database(database.dsn)
    statements, plans = evidence.statements, evidence.plans
    assert isinstance(statements, Statements)
    assert isinstance(plans, Plans)
    [entry] = [entry for entry in statements.entries if "FROM sales" in entry.text]
    assert "date $" in entry.text
    assert entry.query_id in {plan.query_id for plan in plans.plans}
