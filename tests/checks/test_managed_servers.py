"""Real servers as managed services show them: who serves them is told, the provider is not blamed, what it hides is unknown."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from checks.checklist import Selection, run_checks
from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Outcome, Reason
from tests.checks.altered import aged
from tests.checks.managed_servers import MANAGED_SERVERS
from tests.checks.survey import survey
from tests.checks.test_managed_services import HIS_OWN
from tests.servers import start_chosen

AREAS = ("replication", "observability")
PLAIN = {"observability.partial-view", "observability.statement-text-hidden"}

# Of both areas, what a customer can learn only from the service itself, by the provider.
HIDDEN = {
    "rds": {
        "observability.host-based-access",
        "observability.no-metrics-agent",
        "observability.slow-log",
        "replication.archiving",
        "replication.no-standby",
    },
    "cloudsql": {
        "observability.host-based-access",
        "observability.no-metrics-agent",
        "observability.slow-log",
        "replication.archiving",
        "replication.no-standby",
        "replication.wal-size",
    },
    "supabase": {
        "observability.host-based-access",
        "observability.no-metrics-agent",
        "observability.slow-log",
        "replication.archiving",
        "replication.no-standby",
        "replication.wal-size",
    },
    "neon": {
        "observability.host-based-access",
        "observability.no-metrics-agent",
        "observability.slow-log",
        "replication.archiving",
        "replication.no-backup-evidence",
        "replication.no-standby",
    },
}


@pytest.fixture(scope="module", params=MANAGED_SERVERS)
def customers(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The provider, and the DSN of its customer."""
    provider = str(request.param)
    managed = MANAGED_SERVERS[provider]
    with start_chosen(request.config, managed.settings) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for statement in (
                *managed.statements,
                "CREATE DATABASE app OWNER customer",
                "CREATE ROLE api LOGIN",
            ):
                connection.execute(statement.encode())
        with psycopg.connect(server.dsn("app"), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("GRANT CREATE ON SCHEMA public TO customer")
            for statement in managed.hide:
                connection.execute(statement.encode())
        with psycopg.connect(server.dsn("app", "customer"), autocommit=True) as connection:
            connection.execute("CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL)")
            connection.execute("INSERT INTO items SELECT g, 'x' FROM generate_series(1, 100) AS g")
            connection.execute("ANALYZE items")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for statement in managed.last:
                connection.execute(statement.encode())
            connection.execute("SELECT pg_reload_conf()")
        yield provider, server.dsn("app", "customer")


def _results(evidence: Evidence) -> dict[str, CheckResult]:
    results = run_checks(aged(evidence, 30), Selection(only=AREAS))
    return {result.check: result for result in results if result.check.startswith(AREAS)}


@pytest.mark.usefixtures("server")
def test_what_a_customer_sees(customers: tuple[str, str]) -> None:
    provider, dsn = customers
    evidence = survey(dsn)
    server = evidence.get(Server)
    assert server.flavour == provider
    assert server.user_sees in {"monitor", "full"}

    results = _results(evidence)

    assert not [result for result in results.values() if result.outcome is Outcome.ERROR]
    blamed = {check for check, result in results.items() if result.findings}
    assert blamed <= HIS_OWN, [found.title for check in blamed - HIS_OWN for found in results[check].findings]
    hidden = {check for check, result in results.items() if result.reason is Reason.MANAGED_SERVICE_HIDES}
    assert hidden == HIDDEN[provider]
    assert not [check for check, result in results.items() if result.outcome is Outcome.UNKNOWN and not result.unlock]
    # Nobody may say that there.
    said = " ".join(found.fix.sql or "" for result in results.values() for found in result.findings)
    assert "ALTER SYSTEM" not in said


@pytest.mark.usefixtures("server")
def test_what_an_application_sees(customers: tuple[str, str]) -> None:
    """Its role sees little, and is told which grant of the customer's would show more."""
    provider, dsn = customers
    evidence = survey(dsn.replace("user=customer", "user=api"))
    assert evidence.get(Server).flavour == provider
    assert evidence.get(Server).user_sees == "plain"

    results = _results(evidence)

    assert not [result for result in results.values() if result.outcome is Outcome.ERROR]
    blamed = {check for check, result in results.items() if result.findings} - HIS_OWN
    assert blamed <= PLAIN
    assert not [check for check, result in results.items() if result.outcome is Outcome.UNKNOWN and not result.unlock]
    permitted = {result.unlock for result in results.values() if result.reason is Reason.NOT_PERMITTED}
    assert any("GRANT pg_monitor TO api;" in (line or "") for line in permitted)
