from __future__ import annotations

import msgspec
import pytest

from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, survey
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 8))

NAME = "hybrid.pgvector-version"
HNSW = "CREATE TABLE t (e vector(2)); CREATE INDEX t_hnsw ON t USING hnsw (e vector_l2_ops)"


def with_version(evidence: Evidence, version: str, loaded: str | None = None) -> Evidence:
    server = evidence.get(Server)
    extensions = tuple(
        msgspec.structs.replace(entry, version=version, loaded_version=loaded, default_version=version)
        if entry.name == "vector"
        else entry
        for entry in server.extensions
    )
    return msgspec.structs.replace(evidence, server=msgspec.structs.replace(server, extensions=extensions))


@pytest.mark.vector((0, 8, 3))
def test_the_version_that_is_here(database: Database) -> None:
    database.execute("CREATE EXTENSION vector", HNSW)

    assert conclude(survey(database), NAME).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ("0.5.1", Severity.HIGH),
        ("0.6.0", Severity.CRITICAL),
        ("0.8.1", Severity.CRITICAL),
        ("0.8.2", Severity.HIGH),
        ("0.8.3", None),
        ("0.9.0", None),
    ],
)
def test_versions_with_hnsw(database: Database, version: str, severity: Severity | None) -> None:
    database.execute("CREATE EXTENSION vector", HNSW)

    result = conclude(with_version(survey(database), version), NAME)

    assert [found.severity for found in result.findings] == ([severity] if severity else [])
    if severity is Severity.CRITICAL:
        assert "CVE-2026-3172" in result.findings[0].title
        assert "REINDEX INDEX CONCURRENTLY public.t_hnsw;" in (result.findings[0].fix.sql or "")


@pytest.mark.parametrize(
    ("version", "severity"), [("0.5.1", Severity.LOW), ("0.8.1", Severity.MEDIUM), ("0.8.2", None)]
)
def test_versions_without_hnsw(database: Database, version: str, severity: Severity | None) -> None:
    database.execute("CREATE EXTENSION vector")

    result = conclude(with_version(survey(database), version), NAME)

    assert [found.severity for found in result.findings] == ([severity] if severity else [])


def test_the_library_that_runs_counts(database: Database) -> None:
    database.execute("CREATE EXTENSION vector", HNSW)
    evidence = survey(database)

    assert conclude(with_version(evidence, "0.8.1", loaded="0.8.6"), NAME).outcome is Outcome.PASSED
    (found,) = conclude(with_version(evidence, "0.8.6", loaded="0.8.1"), NAME).findings
    assert (found.severity, found.confidence) == (Severity.CRITICAL, Confidence.MEASURED)
    (found,) = conclude(with_version(evidence, "0.5.0", loaded="0.8.6"), NAME).findings
    assert found.severity is Severity.NOTE
