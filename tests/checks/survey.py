"""One check on a real database: `examine` observes it as a review does and runs that check alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from checks.checklist import run_check
from checks.configuration import Configuration, Override
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.limits import LIMITS
from checks.model import CheckResult, Finding
from checks.registry import all_checks

# Sections of a database's evidence that only an option asks for.
OPTED_IN = frozenset({"rates", "recall", "row_samples"})


class Database(Protocol):
    dsn: str


def survey(
    database: Database | str | None,
    repository: Path | None = None,
    *,
    replicas: Sequence[str] = (),
    limits: Mapping[str, float] = {},
) -> Evidence:
    """The evidence of a database (the fixture, or a DSN) and a repository; `limits` are thresholds as the user sets them."""
    dsn = database if database is None or isinstance(database, str) else database.dsn
    evidence = observe(Target(dsn, repository, tuple(replicas))).evidence
    overrides = tuple(
        Override(name, float(value), LIMITS[name].default, "user", False) for name, value in limits.items()
    )
    return msgspec.structs.replace(evidence, configuration=Configuration(overrides))


def examine(
    database: Database | str | None,
    check_id: str,
    repository: Path | None = None,
    *,
    replicas: Sequence[str] = (),
    limits: Mapping[str, float] = {},
) -> CheckResult:
    """What `check_id` concludes of a database. Statistics are as the server has them: ANALYZE first where they matter."""
    return conclude(survey(database, repository, replicas=replicas, limits=limits), check_id)


def conclude(evidence: Evidence, check_id: str) -> CheckResult:
    """What `check_id` concludes of evidence; fails the test if the check itself failed."""
    result = run_check(all_checks()[check_id], evidence)
    assert result.message is None, result.message
    return result


def names(result: CheckResult) -> set[str]:
    """The subjects found, by name."""
    return {finding.subject.name for finding in result.findings}


def finding(result: CheckResult, name: str) -> Finding:
    """The one finding about the subject of that name."""
    (only,) = (found for found in result.findings if found.subject.name == name)
    return only
