from __future__ import annotations

import msgspec
import pytest

from checks.evidence.database.facts import Extension, Server, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.model import Location
from scorecards.hints import HINTS, hint
from scorecards.rubric import load_rubric
from tests.scorecards.reviewed import NOW, catalog, evidence, scorecard, server


def test_every_hint_belongs_to_a_question() -> None:
    assert set(HINTS) <= set(load_rubric().questions)


@pytest.mark.parametrize("id", HINTS)
def test_evidence_of_nothing_says_nothing(id: str) -> None:
    assert hint(id, Evidence(tool_version="0.1.0", observed_at=NOW)) == ""
    assert isinstance(hint(id, evidence()), str)


def test_what_is_deployed_is_named_with_its_place() -> None:
    repository = evidence().get(Repository)
    fact = DeploymentFact("alert_rules", "ReplicationLag", Location("ops/alerts.yml", 4))
    seen = evidence(repository=msgspec.structs.replace(repository, deployment=(*repository.deployment, fact)))
    assert hint("OBS-3.2", seen) == "alert rules in the repository: ReplicationLag (ops/alerts.yml:4)"
    assert hint("OBS-3.2", evidence()) == "no alert rules in the repository"


def test_extensions_and_large_tables() -> None:
    installed = server(extensions=(*evidence().get(Server).extensions, Extension("pg_wait_sampling", "public", "1.1")))
    assert hint("OBS-4.2", evidence(server=installed)) == "installed: pg_wait_sampling"
    large = Table(91, "public", "log", "table", "app", total_bytes=20 * 10**9)
    given = msgspec.structs.replace(catalog(), tables=(*catalog().tables, large))
    assert hint("SCH-3.3", evidence(catalog=given)) == "larger than 10 GB: public.log"


def test_a_question_shows_what_is_seen_and_is_not_answered_by_it() -> None:
    entry = next(entry for entry in scorecard().questions if entry.id == "OBS-3.3")
    assert entry.seen == "log_statement = none"
    assert entry.answer is None
    statuses = {status.id: status for area in scorecard().areas for status in area.criteria}
    assert statuses["OBS-3.3"].reason == "needs_answer"
