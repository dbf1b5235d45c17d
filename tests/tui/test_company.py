from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.screen import screen_text, until
from tui.company import DRIVER, FOLDER, FORGOTTEN_S, GONE_S, NAVIGATOR, Company, Present, Seat, leader
from tui.screens.form import Form
from tui.screens.walk import Walk

ANNA, BO = Seat("anna", DRIVER), Seat("bo", NAVIGATOR)


def test_terminals_see_each_other_until_they_leave_or_fall_silent(tmp_path: Path) -> None:
    one, two = Company(tmp_path), Company(tmp_path)
    one.tell(ANNA, "walk", "f1", 100.0)
    two.tell(BO, "browse", "", 100.0)
    assert [(seen.seat, seen.screen, seen.place) for seen in two.others(101.0)] == [(ANNA, "walk", "f1")]
    assert two.others(100.0 + GONE_S) == []
    one.tell(ANNA, "walk", "f2", 101.0)
    assert two.others(101.0)[0].place == "f2"
    one.leave()
    assert two.others(101.0) == []
    assert (tmp_path / FOLDER / ".gitignore").read_text() == "*\n"


def test_what_killed_terminals_left_goes_after_a_day(tmp_path: Path) -> None:
    killed, there = Company(tmp_path), Company(tmp_path)
    for one in (killed, there):
        one.tell(ANNA, "walk", "", 100.0)
    day_old = time.time() - FORGOTTEN_S - 60
    os.utime(tmp_path / FOLDER / f"{killed.id}.json", (day_old, day_old))

    Company(tmp_path).tell(BO, "walk", "", 100.0)

    assert not (tmp_path / FOLDER / f"{killed.id}.json").exists()
    assert (tmp_path / FOLDER / f"{there.id}.json").exists()


async def test_ended_by_whatever_means_the_others_see_it_at_once(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(80, 24)) as pilot:
        folder = review.folder.path / FOLDER
        await until(pilot, lambda: any(folder.glob("*.json")))
        pilot.app.exit()
    assert not any(folder.glob("*.json"))


def test_what_lies_there_and_is_no_terminal_is_passed_over(tmp_path: Path) -> None:
    one = Company(tmp_path)
    one.tell(ANNA, "walk", "", 100.0)
    (tmp_path / FOLDER / "x.json").write_bytes(b"\xff{")
    (tmp_path / FOLDER / "y.json").write_bytes(b" " * 100_000)
    (tmp_path / FOLDER / "z.json").mkdir()
    assert one.others(100.0) == []
    nowhere = Company(tmp_path / "gone" / "away")
    nowhere.tell(ANNA, "walk", "", 100.0)
    assert nowhere.others(100.0) == []


def test_the_driver_is_followed_else_who_moved_last() -> None:
    driver, navigator = Present("1", ANNA, at=1.0), Present("2", BO, at=2.0)
    assert leader([driver, navigator]) is driver
    assert leader([msgspec.structs.replace(driver, seat=Seat("anna")), navigator]) is navigator
    assert leader([]) is None


def test_swapping() -> None:
    assert Seat("anna", DRIVER, "bo").swapped() == Seat("bo", DRIVER, "anna")
    assert ANNA.swapped() == Seat("anna", NAVIGATOR)
    assert Seat("anna", DRIVER, "bo").words == "anna (driver) with bo"


async def test_every_event_says_who_in_which_role_and_with_whom(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review, seat=Seat("anna", DRIVER, "bo")).run_test(size=(120, 36)) as pilot:
        await pilot.press("a", "enter", "X", "a", "enter")
        events = review.folder.events()
        assert [(event.by, event.role, event.partner) for event in events] == [
            ("anna", DRIVER, "bo"),
            ("bo", DRIVER, "anna"),
        ]
        assert pilot.app.company_words == ("bo (driver) with anna",)
        await pilot.press("I")
        assert isinstance(pilot.app.screen, Form)
        await pilot.press("ctrl+u", *"cleo", "enter")
        assert pilot.app.user == "cleo"
        assert review.partner == "anna"


def walk(pilot: Pilot[None]) -> Walk:
    screen = pilot.app.screen
    assert isinstance(screen, Walk)
    return screen


async def test_two_terminals_on_one_review(make_app: MakeApp, make_review: MakeReview) -> None:
    """Both in one process: what each does appears at the other within a second; one follows until a key is pressed."""
    mine = make_review()
    theirs = make_review(again=mine)
    driver, follower = make_app(review=mine, seat=ANNA), make_app(review=theirs, seat=BO, follow=True)
    async with driver.run_test(size=(120, 36)) as one, follower.run_test(size=(120, 36)) as two:
        await one.press("j", "j")
        begun = time.monotonic()
        await until(two, lambda: walk(two).current is not None and walk(two).current.id == walk(one).current.id)
        await one.press("a", "enter")
        await until(two, lambda: "1 of 12 decided" in screen_text(two))
        assert time.monotonic() - begun < 5
        await one.press("A")
        await until(two, lambda: "Left to decide" in screen_text(two))
        await one.press("W")
        await until(two, lambda: isinstance(two.app.screen, Walk) and "following" in screen_text(two))
        await two.press("j")
        assert not follower.following
        kept = walk(two).current
        await one.press("k", "k")
        await asyncio.sleep(1)
        assert walk(two).current is kept


async def test_both_decide_at_once_and_nothing_is_lost(make_app: MakeApp, make_review: MakeReview) -> None:
    mine = make_review()
    theirs = make_review(again=mine)
    id = mine.findings[0].id
    async with make_app(review=mine, seat=ANNA).run_test(size=(120, 40)) as one:
        await one.press("x")
        theirs.decide(id, "accept", by="bo", now=mine.folder.started, over="")
        await until(one, lambda: "bo accepted it while this form was open" in screen_text(one))
        await one.press(*"no", "enter")
        assert [event.decision.kind for event in mine.folder.events() if event.decision] == ["accept", "dispute"]
        assert "bo decided otherwise meanwhile" in screen_text(one)
        assert "Two decisions, taken unaware of each other" in screen_text(one)
        await one.press("/", *"status:conflict", "enter")
        await until(one, lambda: len(walk(one).shown) == 1)
        await one.press("A")
        assert "bo ≠ anna" in screen_text(one)
        await one.press("W", "a", "enter")
        assert not mine.state.conflicts
        assert len(mine.folder.events()) == 3


@pytest.mark.parametrize("screen", ["walk", "browse", "questions", "scorecard", "agenda", "export"])
async def test_a_place_that_another_version_names_breaks_nothing(
    make_app: MakeApp, make_review: MakeReview, screen: str
) -> None:
    async with make_app(review=make_review(), start=screen).run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        for place in ("nothing", "area:nowhere", "table\x1f", "\x1b]0;x\x07", "planet\x1fmars"):
            pilot.app.show_place(screen, place)
        pilot.app.show_place("elsewhere", "x")
        await pilot.pause()
        assert "READ-ONLY" in screen_text(pilot)
