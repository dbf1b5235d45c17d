from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from checks.advice import Advice, AdvisedIndex, AdvisedStatement
from checks.evidence.database.facts import Catalog
from scorecards.advice import advice_entry
from scorecards.session import Review
from scorecards.store import ReviewFolder
from tests.tui.conftest import MakeApp
from tests.tui.findings import HOSTILE, NOW, make_evidence
from tests.tui.screen import screen_text
from tui.widgets.advice import advice_paragraphs

MB = 1 << 20


def advice(table: str = "messages") -> Advice:
    return Advice(
        100 * MB,
        (
            AdvisedIndex(("public", table), "(sender)", 40 * MB, ("1", "2"), 0.4),
            AdvisedIndex(("public", table), "(sent)", 10 * MB, ("3",), 0.1),
        ),
        (
            AdvisedStatement("1", 10, 9_000.0, 30.0, 4_000.0, 2.0, proven=True),
            AdvisedStatement("2", 10, 900.0, 300.0, 80.0, 150.0),
            AdvisedStatement("3", 10, 800.0, 400.0),
            AdvisedStatement("4", 10, 50.0, 50.0),
        ),
        107_500.0,
        7_800.0,
        candidates=12,
        bytes_at_most=52 * MB,
        server_major=18,
        target_major=18,
    )


@pytest.mark.parametrize("width", [50, 78, 158])
def test_what_is_proven_stands_apart_from_what_the_planner_prefers(width: int) -> None:
    evidence = msgspec.structs.replace(make_evidence(), catalog=Catalog(), advice=advice())
    shown = advice_paragraphs(advice_entry(evidence), width)
    text = "\n".join(one.first.plain + one.text.plain for one in shown)
    assert "50 MB, at most 52 MB" in text
    assert "of 4 statements 1 proven to be faster, 2 cheaper only for the planner" in text
    assert "ON public.messages (sender);" in text
    assert "serves 2 statements, 1 proven faster" in text
    assert "serves 1 statement, none proven faster" in text
    proven, _, doubtful = text.partition("Only the planner prefers them")
    assert "300x less" in proven.partition("Proven to be faster")[2]
    assert "80.00 →       150   with every page in memory: not proven to be faster" in doubtful
    assert "it could not be counted with every page in memory" in doubtful


def test_without_a_budget_the_page_says_how_to_give_one() -> None:
    text = "\n".join(one.text.plain for one in advice_paragraphs(advice_entry(make_evidence()), 80))
    assert "--index-budget" in text


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_page_is_reached_from_the_scorecard(make_app: MakeApp, tmp_path: Path, size: tuple[int, int]) -> None:
    evidence = msgspec.structs.replace(make_evidence(), catalog=Catalog(), advice=advice(HOSTILE[0]))
    review = Review(ReviewFolder.create(tmp_path / "reviews", evidence, title="t", now=NOW), ())
    async with make_app(review=review).run_test(size=size) as pilot:
        await pilot.press("S")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "i indexes" in screen_text(pilot)
        await pilot.press("i")
        await pilot.pause()
        text = screen_text(pilot)
        assert "New indexes within 100 MB" in text
        assert "0 overview" in text
        await pilot.press("i")
        await pilot.pause()
        assert "New indexes within" not in screen_text(pilot)
