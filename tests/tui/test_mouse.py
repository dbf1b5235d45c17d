"""All that can be clicked. The mouse is never needed; where it is used, it does what people expect."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot

from scorecards.session import Review
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.screen import screen_text, until
from tests.tui.test_browse_and_agenda import review as linked_review
from tui.screens.browse import Browse
from tui.screens.walk import Walk
from tui.widgets.document import Document

__all__ = ["linked_review"]  # used by name


async def click(pilot: Pilot[None], words: str, times: int = 1) -> None:
    """Clicks on the first place of the screen where those words stand."""
    for y, line in enumerate(screen_text(pilot).splitlines()):
        if words in line:
            await pilot.click(offset=(line.index(words), y), times=times)
            return
    raise AssertionError(f"{words!r} is not on\n{screen_text(pilot)}")


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (140, 40)])
async def test_the_walk_by_mouse(make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]) -> None:
    async with make_app(review=make_review(24)).run_test(size=size) as pilot:
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await pilot.pause()
        await click(pilot, "pln")
        assert walk.area == "plans"
        await click(pilot, "all")
        assert walk.area is None
        row, _ = walk.rows.rows_in_sight()[2]
        third = walk.queue.findings[walk.shown[row]]
        await pilot.click("#walk-rows", offset=(10, 2))
        assert walk.current is third
        await pilot.click("#walk-rows", offset=(10, 2), times=2)
        await until(pilot, lambda: walk.has_class("-zoomed"))
        await pilot.press("escape")
        await click(pilot, "accept")
        await until(pilot, lambda: pilot.app.screen is not walk)
        await pilot.press("escape")
        await click(pilot, "Agenda")
        await until(pilot, lambda: pilot.app.current_mode == "agenda")


async def test_the_wheel_scrolls_what_is_under_it(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(100)).run_test(size=(100, 20)) as pilot:
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await pilot.pause()
        for where, widget in (("#walk-rows", walk.rows), ("#walk-detail", walk.query_one("#walk-detail", Document))):
            before = widget.scroll_offset.y
            await pilot._post_mouse_events([events.MouseScrollDown], where)
            await until(pilot, lambda widget=widget, before=before: widget.scroll_offset.y > before)
        assert walk.rows.cursor == 0


async def test_browsing_by_mouse(make_app: MakeApp, linked_review: Review) -> None:
    async with make_app(review=linked_review, start="browse").run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "files 3" in screen_text(pilot))
        browse = pilot.app.screen
        assert isinstance(browse, Browse)
        for words, kind in (
            ("indexes", "index"),
            ("statements", "statement"),
            ("4 files", "file"),
            ("1 tables", "table"),
        ):
            await click(pilot, words)
            assert browse.kind == kind
