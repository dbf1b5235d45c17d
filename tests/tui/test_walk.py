from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from checks.model import Area
from scorecards.review import DECISION_KINDS
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import HOSTILE, make_finding
from tests.tui.screen import screen_text, until
from tui.screens.form import Form
from tui.screens.walk import Walk
from tui.widgets.bars import HeaderBar, TooSmall
from tui.widgets.document import Document


def walk(pilot: Pilot[None]) -> Walk:
    screen = pilot.app.screen
    assert isinstance(screen, Walk)
    return screen


def detail(pilot: Pilot[None]) -> str:
    return walk(pilot).query_one("#walk-detail", Document).text


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_worst_finding_comes_first_and_in_full(
    make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]
) -> None:
    async with make_app(review=make_review()).run_test(size=size) as pilot:
        await pilot.pause()
        shown = screen_text(pilot)
        assert "READ-ONLY" in shown
        assert "0 of 12 decided" in shown
        assert "◆ crit Sequence events_id_seq" in shown
        assert "CRITICAL" in detail(pilot)
        assert "CREATE INDEX i0 ON public.t0 (a);" in detail(pilot)
        assert "app/db.py:1" in detail(pilot)
        assert "4.0 MB" in detail(pilot)


async def test_decisions_undo_and_the_cursor(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(120, 36)) as pilot:
        await pilot.press("a")
        assert isinstance(pilot.app.screen, Form)
        await pilot.press("enter")
        first = review.findings[0].id
        assert review.state.decisions[first].kind == "accept"
        assert walk(pilot).current is review.findings[1]
        await pilot.press("w", "enter")
        waiver = review.state.decisions[review.findings[1].id]
        assert (waiver.reason, waiver.owner) == ("accepted-risk", "anna")
        assert waiver.expires == dt.date(2026, 11, 23) + dt.timedelta(days=180)
        assert "2 of 12 decided" in screen_text(pilot)
        await pilot.press("u", "u")
        assert not review.state.decisions
        await pilot.press("R")
        assert set(review.state.decisions) == {first}
        assert {event.by for event in review.folder.events()} == {"anna"}


async def test_a_form_says_what_is_missing_and_can_be_left(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(100, 30)) as pilot:
        await pilot.press("x", "enter")
        assert "is needed" in screen_text(pilot)
        await pilot.press(*"no", "enter")
        assert review.state.decisions[review.findings[0].id].note == "no"
        await pilot.press("a", "tab", *"soon", "enter")
        assert "a day is written" in screen_text(pilot)
        await pilot.press("escape")
        assert len(review.state.decisions) == 1


async def test_marks_are_decided_and_undone_together(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(100, 30)) as pilot:
        await pilot.press("space", "space", "j", "space", "f", *"who", "enter")
        assert len(review.state.decisions) == 3
        assert not walk(pilot).marks
        await pilot.press("u")
        assert not review.state.decisions


async def test_notes_owners_and_history(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(120, 40)) as pilot:
        await pilot.press("c", *"hm", "enter", "@", *"bo", "enter")
        assert "hm" in detail(pilot)
        assert "@bo" in detail(pilot)
        await pilot.press("a", "enter", "k", "r")
        assert not review.state.decisions
        assert "accepted" in detail(pilot)
        assert "open again" in detail(pilot)


async def test_filtering(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review(18)
    async with make_app(review=review).run_test(size=(120, 36)) as pilot:
        await pilot.press("/", *"sev:high offset", "enter")
        await pilot.pause(0.1)
        assert not walk(pilot).shown
        assert "No finding is like that" in screen_text(pilot)
        await pilot.press("escape", "3")
        assert {walk(pilot).queue.findings[index].area for index in walk(pilot).shown} == {Area.PLANS}
        await pilot.press("n", "N", "0", "]")
        assert len(walk(pilot).shown) == 18


async def test_a_filter_that_nothing_fits_and_back(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(120, 36)) as pilot:
        await pilot.press("j", "j", "enter", "/", *"no such words", "enter")
        await until(pilot, lambda: "No finding is like that" in detail(pilot))
        assert "a accept" not in screen_text(pilot)
        await pilot.press("escape")
        assert "a accept" in screen_text(pilot)
        assert walk(pilot).rows.cursor == 2


async def test_a_figure_that_there_is_not_is_left_out(make_app: MakeApp, make_review: MakeReview) -> None:
    finding = msgspec.structs.replace(make_finding(1), observed={"rows": 12, "last_scan": None})
    async with make_app(review=make_review([finding])).run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert "rows" in detail(pilot)
        assert "last scan" not in detail(pilot)


async def test_the_detail_alone_and_back(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        assert not walk(pilot).query_one("#walk-list").region
        await pilot.press("j", "escape")
        assert walk(pilot).query_one("#walk-list").region


async def test_resuming_at_the_same_finding(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test() as pilot:
        await pilot.press("j", "j", "j")
        kept = walk(pilot).current
    again = make_review(again=review)
    async with make_app(review=again).run_test() as pilot:
        await pilot.pause()
        current = walk(pilot).current
        assert current is not None
        assert kept is not None
        assert current.id == kept.id


async def test_what_another_terminal_says_appears(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test() as pilot:
        await pilot.pause()
        other = make_review(again=review)
        other.decide(other.findings[0].id, "accept", by="bo", now=review.folder.started)
        pilot.app.look_for_others()
        await pilot.pause()
        assert pilot.app.screen.query_one(HeaderBar).progress == "1 of 12 decided"


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_hostile_text_is_shown_as_it_is(
    make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]
) -> None:
    review = make_review([make_finding(number, text) for number, text in enumerate(HOSTILE)])
    async with make_app(review=review).run_test(size=size, notifications=True) as pilot:
        for _ in HOSTILE:
            shown = screen_text(pilot)
            assert not [
                c for c in shown if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e")
            ]
            await pilot.press("y", "j")
        await pilot.press("a")
        await pilot.press("escape", ":", *"fol", "escape", "?", "escape")
        assert pilot.app.is_running is False
        for kind in DECISION_KINDS[1:4]:
            walk(pilot).action_decide(kind)
            await pilot.press("escape")


async def test_too_small_and_back(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(50, 12)) as pilot:
        await pilot.pause()
        assert "60x15 is the least" in " ".join(screen_text(pilot).split())
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert not pilot.app.screen.query_one(TooSmall).region
        assert "Sequence" in screen_text(pilot)


async def test_a_decision_that_cannot_be_saved_is_said_and_not_shown(
    make_app: MakeApp, make_review: MakeReview
) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(100, 30)) as pilot:
        await pilot.press("a")
        events = review.folder.path / "events.jsonl"
        events.unlink()
        events.mkdir()
        await pilot.press("enter")
        assert "cannot write" in screen_text(pilot)
        events.rmdir()
        await pilot.press("enter")
        assert list(review.state.decisions) == [review.findings[0].id]


async def test_copying_and_opening_where_no_terminal_can_be_given_away(
    make_app: MakeApp, make_review: MakeReview, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "db.py").write_text("first = 1\nsecond = 2\n")
    app = make_app(review=make_review())
    app.repository = tmp_path
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("y")
        assert app.clipboard == "CREATE INDEX i0 ON public.t0 (a);"
        assert "first = 1" in detail(pilot)
        await pilot.press("e")
        assert app.clipboard == "app/db.py:1"
        assert "Not opened" in screen_text(pilot)
        await pilot.press("Y", *"decides", "enter")
        assert app.clipboard.startswith("pgsurveyor decide ")


async def test_a_picture_of_the_screen(make_app: MakeApp, make_review: MakeReview, tmp_path: Path) -> None:
    async with make_app(review=make_review()).run_test(size=(100, 30), notifications=True) as pilot:
        await pilot.press("%")
        [picture] = tmp_path.glob("pgsurveyor-walk-*.svg")
        assert "events_id_seq" in picture.read_text()
        assert "Saved" in screen_text(pilot)


@pytest.mark.parametrize("size", [(60, 15), (120, 40)])
async def test_the_key_bar_keeps_the_way_to_all_keys_and_out_of_the_detail(
    make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]
) -> None:
    async with make_app(review=make_review()).run_test(size=size) as pilot:
        await pilot.pause()
        assert "? more" in screen_text(pilot).splitlines()[-1]
        await pilot.press("enter")
        await pilot.pause()
        assert "esc list" in screen_text(pilot).splitlines()[-1]
        assert "? more" in screen_text(pilot).splitlines()[-1]
        await pilot.press("escape")
        await pilot.pause()
        assert "esc list" not in screen_text(pilot)


async def test_presenting_fits_the_areas_to_the_narrower_list(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(100)).run_test(size=(120, 40)) as pilot:
        await pilot.press("P")
        await pilot.pause(0.3)
        assert "0 all" in screen_text(pilot)
