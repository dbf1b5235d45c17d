from __future__ import annotations

import threading
import time

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Pool, Pooler, Server
from checks.evidence.observe import Target, observe
from checks.model import Outcome, Reason, Severity
from tests.checks.evidence.database.test_majors import pooled
from tests.checks.survey import conclude, survey
from tests.servers import Database

CHECK = "observability.pooler-saturation"


@pytest.mark.all
def test_a_pool_that_is_too_small(database: Database) -> None:
    with pooled(database.server) as through:
        console = f"{through} dbname=pgbouncer"
        calm = observe(Target(f"{through} dbname={database.name}", pooler=console))
        assert calm.problems == ()
        assert conclude(calm.evidence, CHECK).findings == ()
        assert calm.evidence.get(Pooler).settings["pool_mode"] == "transaction"

        threads = [threading.Thread(target=_sleep, args=(f"{through} dbname={database.name}",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.6)
        busy = observe(Target(database.dsn, pooler=console)).evidence
        for thread in threads:
            thread.join()

    (found,) = conclude(busy, CHECK).findings
    assert found.subject.path == (f"{database.name}/postgres",)
    assert (found.observed["waiting"], found.observed["servers_busy"]) == (2, 2)
    assert found.observed["longest_wait_s"] > 1
    assert found.severity is Severity.MEDIUM


def _sleep(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SELECT pg_sleep(3)")


def test_pools_and_their_clients(database: Database) -> None:
    evidence = survey(database)
    calm = Pool("app", "api", "transaction", 40, 0, 3, 7, 0.0)
    slow = msgspec.structs.replace(calm, database="reports")
    late = msgspec.structs.replace(calm, user="worker", waiting=9, longest_wait_s=12.0)
    quick = msgspec.structs.replace(calm, user="web", waiting=1, longest_wait_s=0.01)
    pooler = Pooler("pooler:6432", "1.25.1", (calm, slow, late, quick), {"max_client_conn": "170"}, {"reports": 80.0})

    result = conclude(msgspec.structs.replace(evidence, pooler=pooler), CHECK)

    assert {found.subject.path[0]: found.severity for found in result.findings} == {
        "reports/api": Severity.MEDIUM,
        "app/worker": Severity.HIGH,
        "pooler:6432": Severity.HIGH,
    }


def test_a_pooler_that_was_not_asked(database: Database) -> None:
    evidence = survey(database)
    server = msgspec.structs.replace(evidence.get(Server), through_pooler=True)

    result = conclude(msgspec.structs.replace(evidence, server=server), CHECK)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_OPTED_IN)


def test_a_console_that_is_none(database: Database) -> None:
    seen = observe(Target(database.dsn, pooler=database.dsn))

    (problem,) = seen.problems
    assert "does not answer as PgBouncer's console" in str(problem)
    assert isinstance(seen.evidence.server, Server)
