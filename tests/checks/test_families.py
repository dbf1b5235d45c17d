from __future__ import annotations

from tests.checks.survey import examine
from tests.servers import Database


def test_the_same_table_of_many_tenants_is_one_finding(database: Database) -> None:
    for number in range(7):
        database.execute(
            f"CREATE SCHEMA tenant_{number}",
            f"CREATE TABLE tenant_{number}.events (at timestamptz)",
            f"CREATE TABLE tenant_{number}.users (id bigint PRIMARY KEY)",
        )
    for number in range(4):
        database.execute(f"CREATE TABLE tenant_{number}.notes (body text)")
    database.execute("INSERT INTO tenant_3.events SELECT now() FROM generate_series(1, 2000)", "ANALYZE")

    result = examine(database, "schema.no-primary-key", limits={"table_rows_min": 0})
    (events,) = (found for found in result.findings if found.subject.path[1] == "events")

    assert len(result.findings) == 1 + 4
    assert (result.unmet, result.examined) == (7 + 4, 7 + 7 + 4)
    assert events.observed["schemas"] == 7
    assert events.subject.path == ("tenant_0", "events")
    assert events.title == "Table tenant_0.events has no primary key, as in 6 more schemas"

    worst = examine(database, "schema.no-primary-key")
    (events,) = (found for found in worst.findings if found.subject.path[1] == "events")
    assert events.subject.path == ("tenant_3", "events")
