from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from checks.model import Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

NAME = "observability.timeouts-unset"


class Roles:
    def __init__(self, tag: str) -> None:
        self.bare, self.bounded, self.partly = f"api_{tag}", f"worker_{tag}", f"reports_{tag}"
        self.metrics, self.unused = f"x{tag}_exporter", f"unused_{tag}"

    @property
    def all(self) -> tuple[str, ...]:
        return (self.bare, self.bounded, self.partly, self.metrics, self.unused)


@pytest.fixture
def roles(database: Database) -> Iterator[Roles]:
    made = Roles(uuid.uuid4().hex[:8])
    database.execute(
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE items (id int); GRANT SELECT ON items TO PUBLIC",
        *(f"CREATE ROLE {role} LOGIN" for role in made.all),
        f"GRANT pg_monitor TO {made.metrics}",
        f"ALTER ROLE {made.bounded} SET statement_timeout = '1min'",
        f"ALTER ROLE {made.bounded} SET lock_timeout = '5s'",
        f"ALTER ROLE {made.bounded} IN DATABASE {database.name} SET idle_in_transaction_session_timeout = '30s'",
        f"ALTER ROLE {made.partly} SET statement_timeout = '10min'",
        f"ALTER ROLE {made.partly} SET idle_in_transaction_session_timeout = 60000",
    )
    yield made
    database.execute(*(f"DROP ROLE {role}" for role in made.all))


def test_roles_that_were_seen_at_work(database: Database, roles: Roles) -> None:
    for role in (roles.bare, roles.bounded, roles.partly, roles.metrics):
        connection = database.connect(user=role)
        connection.execute("SELECT count(*) FROM items")
        connection.close()

    result = examine(database, NAME)

    assert names(result) == {roles.bare, roles.partly}
    bare = finding(result, roles.bare)
    assert bare.severity is Severity.HIGH
    assert bare.observed["missing"] == ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]
    assert (bare.fix.sql or "").startswith(f"ALTER ROLE {roles.bare} SET statement_timeout = '30s';")
    assert f"ALTER ROLE {roles.bare} RESET lock_timeout;" in (bare.fix.undo or "")
    partly = finding(result, roles.partly)
    assert partly.severity is Severity.LOW
    assert partly.observed["statement_timeout_ms"] == 600_000


def test_what_code_sets_for_itself(
    database: Database, roles: Roles, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    connection = database.connect(user=roles.bare)
    connection.execute("SELECT count(*) FROM items")
    connection.close()
    folder = repository(
        {
            "app/db.py": 'engine = create_engine("postgresql://")\nkept = [("statement_timeout", f"{seconds}s")]\n',
            "app/load.py": 'conn = psycopg.connect()\nconn.execute("SET lock_timeout = 0")\n',
            "bench/perf/run.py": 'conn = psycopg.connect()\nconn.execute("SET lock_timeout = 500")\n',
        }
    )

    result = examine(database, NAME, folder)

    found = finding(result, roles.bare)
    assert found.observed["missing"] == ["idle_in_transaction_session_timeout", "lock_timeout"]
    assert found.observed["set_in_code"] == ["app/db.py:2"]
