"""Jump mode, the help of each pane, and what a proof looks like."""

from __future__ import annotations

import msgspec
import pytest

from checks.proofs import Proof, ProvenStatement, Verdict
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import HOSTILE, make_finding
from tests.tui.screen import screen_text
from tui.screens.explain import TEXTS, Explain
from tui.screens.jump import Jump
from tui.screens.walk import Walk
from tui.widgets.detail import Surroundings, detail, folded
from tui.widgets.document import Document
from tui.widgets.proving import proof_paragraphs


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_letter_goes_to_a_row_or_a_pane(
    make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]
) -> None:
    async with make_app(review=make_review()).run_test(size=size) as pilot:
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await pilot.press("'")
        assert isinstance(pilot.app.screen, Jump)
        await pilot.press("f")
        assert pilot.app.screen is walk
        assert walk.rows.cursor == 2
        await pilot.press("'", "a")
        assert isinstance(walk.focused, Document)
        await pilot.press("'", "escape")
        assert pilot.app.screen is walk


async def test_letters_stand_on_the_rows_that_are_seen(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(200)).run_test(size=(120, 40)) as pilot:
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await pilot.press("G")
        first = walk.rows.rows_in_sight()[0][0]
        await pilot.press("'", "s")
        assert walk.rows.cursor == first > 100


@pytest.mark.parametrize("start", ["walk", "browse", "questions", "scorecard", "agenda", "export", "connect"])
async def test_every_screen_explains_itself(make_app: MakeApp, make_review: MakeReview, start: str) -> None:
    review = None if start == "connect" else make_review()
    async with make_app(review=review, start=start).run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        pilot.app.screen.set_focus(None)
        await pilot.press("f1")
        assert isinstance(pilot.app.screen, Explain)
        await pilot.pause()
        assert TEXTS.get(start, TEXTS["walk-rows"])[0] in screen_text(pilot) or start == "walk"
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, Explain)


async def test_each_pane_of_the_walk_explains_itself(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(120, 40)) as pilot:
        await pilot.press("f1")
        await pilot.pause()
        assert "◆ critical   ▲ high   ■ medium   ● low   ○ note" in screen_text(pilot)
        await pilot.press("escape", "enter", "f1")
        await pilot.pause()
        assert "One finding" in screen_text(pilot)


def proven(words: str) -> Proof:
    plans = (f"Seq Scan on {words} (cost 6,309, rows 1)",), (f"Index Scan on {words} (cost 8, rows 1)",)
    return Proof(
        "f", 18, Verdict.HELPS,
        (
            ProvenStatement("7", 6_309.0, 8.44, True, *plans, f"SELECT from {words}", 4_200.0, 0.5, proven=True),
            ProvenStatement("9", 900.0, 300.0, False, does="SELECT too", memory_before=80.0, memory_after=150.0),
            ProvenStatement("8", 10.0, 12.0, False),
        ),
        8, 1, 7_340_032,
    )  # fmt: skip


def words_of(proof: Proof, width: int) -> str:
    return "\n".join(one.first.plain + one.text.plain for one in proof_paragraphs(proof, width))


@pytest.mark.parametrize("width", [50, 96, 140])
def test_a_proof_shows_costs_and_plans_before_and_after(width: int) -> None:
    text = words_of(proven("messages"), width)
    assert "helps" in text
    assert (
        "8 statements planned; 1 proven to be faster; 1 cheaper only for the planner; 1 dearer; 1 more could not be planned; "
        "the index takes about 7.0 MB" in text
    )
    assert "6,309 →      8.44" in text
    assert "748x less" in text
    assert "1.2x more" in text
    assert "80.00 →       150   with every page in memory: not proven to be faster" in text
    assert "Seq Scan on messages (cost 6,309, rows 1)" in text
    assert "Index Scan on messages (cost 8, rows 1)" in text


def test_what_was_not_tried_says_why() -> None:
    assert "not tried: no dump" in words_of(Proof("f", 18, Verdict.UNTRIED, note="no dump"), 80)


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_names_in_a_proof_are_shown_as_they_are(
    make_app: MakeApp, make_review: MakeReview, hostile: str
) -> None:
    finding = msgspec.structs.replace(make_finding(0), proof=proven(hostile))
    async with make_app(review=make_review([finding])).run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "G", "'", "escape", "f1")
        assert "\x1b" not in screen_text(pilot)
        assert "\u202e" not in screen_text(pilot)


def test_a_long_path_is_folded_at_its_slashes() -> None:
    path = "packages/shared/prisma/migrations/20240523142425_score_config_add_table/migration.sql:36"
    assert folded(path, 62) == [
        "packages/shared/prisma/migrations/",
        "20240523142425_score_config_add_table/migration.sql:36",
    ]
    assert folded("x" * 100, 20) == ["x" * 100]


def test_why_comes_before_the_evidence() -> None:
    shown = [one.text.plain for one in detail(make_finding(1), Surroundings(), 80)]
    assert shown.index("Evidence") > next(at for at, text in enumerate(shown) if text.startswith("Because"))
