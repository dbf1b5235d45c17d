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
        (
            "SELECT trunc(a, $1) AS m, count(*) FROM t WHERE b = $2 GROUP BY trunc(a, $3) ORDER BY trunc(a, $4) DESC LIMIT $5",
            "SELECT trunc(a, $1) AS m, count(*) FROM t WHERE b = $2 GROUP BY 1 ORDER BY 1 DESC LIMIT $3",
        ),
        (
            "SELECT DISTINCT round(a, $1) r, round(a, $2) FROM t GROUP BY round(a, $3), b, round(a, $4)",
            "SELECT DISTINCT round(a, $1) r, round(a, $2) FROM t GROUP BY 1 , b, 2",
        ),
        (
            "WITH x AS (SELECT f(a, $1) FROM t GROUP BY f(a, $2)) SELECT f(a, $3) FROM x ORDER BY g(a, $4)",
            "WITH x AS (SELECT f(a, $1) FROM t GROUP BY 1 ) SELECT f(a, $2) FROM x ORDER BY g(a, $3)",
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
        "SELECT f(a, $1) FROM t GROUP BY f(a, $1)",
        "SELECT f(a, $1) FROM t GROUP BY f(a, $2), f(a, $3)",
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
    database.connect().execute(
        "SELECT date_trunc('month', sold), price > 3, count(*) FROM sales WHERE price > 2 "
        "GROUP BY date_trunc('month', sold), 2 ORDER BY date_trunc('month', sold) DESC, 3 LIMIT 5"
    )
    evidence = observe_database(database.dsn)
    statements, plans = evidence.statements, evidence.plans
    assert isinstance(statements, Statements)
    assert isinstance(plans, Plans)
    entries = [entry for entry in statements.entries if "FROM sales" in entry.text]
    assert any("date $" in entry.text for entry in entries)
    assert any(", 2 ORDER BY" in entry.text for entry in entries)
    assert {entry.query_id for entry in entries} <= {plan.query_id for plan in plans.plans}
