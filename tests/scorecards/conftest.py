from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Severity
from checks.registry import Check
from scorecards.model import Scorecard
from scorecards.rubric import load_rubric
from tests.scorecards.reviewed import TITLES, scorecard


@pytest.fixture(autouse=True)
def declared_checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """The words of checks change with every release; those of the golden files do not."""

    def nothing(given: Evidence) -> Iterator[Finding | Examined]:
        del given
        return iter(())

    names = {check for criterion in load_rubric().criteria if criterion.rule for check in criterion.rule.checks}
    declared = {
        name: Check(name, "T00", Severity.HIGH, (), nothing, TITLES.get(name, name), "Why.", "Fix.", "Source.")
        for name in sorted(names)
    }
    monkeypatch.setattr("scorecards.scorecard.all_checks", lambda: declared)
    monkeypatch.setattr("scorecards.exports.sarif.all_checks", lambda: declared)
    return declared


@pytest.fixture
def reviewed() -> Scorecard:
    """The scorecard of the fixed review."""
    return scorecard()
