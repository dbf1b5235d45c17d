from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from checks.model import Finding
from scorecards.session import Review
from scorecards.store import ReviewFolder
from tests.tui.findings import NOW, make_evidence, make_finding, make_results
from tui import text
from tui.app import SurveyorApp

MakeReview = Callable[..., Review]
MakeApp = Callable[..., SurveyorApp]


@pytest.fixture(autouse=True)
def unmasked() -> Iterator[None]:
    """What one test presents does not mask the words of the next."""
    yield
    text.wear(None)


@pytest.fixture
def make_review(tmp_path: Path) -> MakeReview:
    """Makes a saved review of findings made by hand; opens the same one again with `again`."""

    def make(findings: Sequence[Finding] | int = 12, *, again: Review | None = None) -> Review:
        if again is not None:
            return Review(ReviewFolder.open(again.folder.path), again.results)
        made = [make_finding(number) for number in range(findings)] if isinstance(findings, int) else list(findings)
        folder = ReviewFolder.create(
            tmp_path / "reviews", make_evidence(), title="support", reviewers=("anna",), now=NOW
        )
        return Review(folder, make_results(made))

    return make


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """Makes the program with its own folders and without what this machine's environment says."""
    for name in ("DATABASE_URL", "PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def make(**how: Any) -> SurveyorApp:
        folders = {
            "state": tmp_path / "state",
            "reviews": tmp_path / "reviews",
            "configuration": tmp_path / "configuration",
            "cache": tmp_path / "cache",
        }
        return SurveyorApp(user="anna", clock=lambda: NOW, **{**folders, **how})

    return make
