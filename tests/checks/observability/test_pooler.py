from __future__ import annotations

import threading
import time

import msgspec
import psycopg
import pytest

from checks.evidence.database.dsn import understand
from checks.evidence.database.facts import Pool, Pooler, Server
from checks.evidence.database.pooler import observe_pooler
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

        way = f"{through} dbname={database.name}"
        holders = [psycopg.connect(way, prepare_threshold=None) for _ in range(2)]
        for holder in holders:
            holder.execute("SELECT 1")
        threads = [threading.Thread(target=_ask, args=(way,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while not _has_waited(observe_pooler(understand(console)), database.name):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        busy = observe(Target(database.dsn, pooler=console)).evidence
        for holder in holders:
            holder.close()
        for thread in threads:
            thread.join()

    (found,) = conclude(busy, CHECK).findings
    assert found.subject.path == (f"{database.name}/postgres",)
    assert (found.observed["waiting"], found.observed["servers_busy"]) == (2, 2)
    assert found.observed["longest_wait_s"] > 1
    assert found.severity is Severity.MEDIUM


def _ask(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SELECT 1")


def _has_waited(pooler: Pooler, database: str) -> bool:
    return any(pool.database == database and pool.waiting == 2 and pool.longest_wait_s > 1 for pool in pooler.pools)


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
