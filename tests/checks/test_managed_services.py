"""Managed services: what their providers chose is not the customer's fault, and what they hide is no finding."""

from __future__ import annotations

import pytest

from checks.checklist import Selection, run_checks
from checks.model import Outcome
from scorecards.facts.server import durability_on, synchronous_standby_streams
from tests.checks.altered import aged
from tests.checks.managed import PROVIDERS, as_managed
from tests.checks.survey import survey
from tests.checks.workload import prepare
from tests.servers import Database

# What a customer can and should change there himself: parameters of the role and of logging, his own slots and backups' proof.
HIS_OWN = {
    "observability.timeouts-unset", "observability.slow-log", "observability.no-io-timing", "observability.event-logging",
    "observability.no-change-history", "observability.no-plan-capture", "observability.no-metrics-agent",
    "observability.dead-client-detection", "observability.no-query-tags",
    "observability.weak-passwords", "observability.server-version",
}  # fmt: skip


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_may_be_found_on_a_managed_service(database: Database, provider: str) -> None:
    prepare(database, "CREATE TABLE t (id bigint PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 100)")
    evidence = as_managed(aged(survey(database), 30), provider)

    results = run_checks(evidence, Selection(only=("replication", "observability")))

    chosen = [result for result in results if result.check.startswith(("replication.", "observability."))]
    assert not [result for result in chosen if result.outcome is Outcome.ERROR]
    blamed = {result.check: [found.title for found in result.findings] for result in chosen if result.findings}
    assert set(blamed) <= HIS_OWN, {check: titles for check, titles in blamed.items() if check not in HIS_OWN}


def test_what_its_own_storage_does_is_no_red_flag(database: Database) -> None:
    evidence = as_managed(survey(database), "neon")

    assert durability_on(evidence).status == "met"
    assert synchronous_standby_streams(evidence).status == "not_applicable"
