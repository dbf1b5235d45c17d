from __future__ import annotations

import pytest

from tests.tui.conftest import MakeApp, MakeReview
from tui.screens.walk import Walk
from tui.widgets.rows import RowList
from tui.widgets.scrolling import StillScrollBar


async def test_a_step_of_the_cursor_draws_two_rows_and_no_scrollbar(
    make_app: MakeApp, make_review: MakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {"bar": 0, "row": 0}
    bar_line, row_line = StillScrollBar.render_line, Walk._draw

    def bar(self: StillScrollBar, y: int) -> object:
        drawn["bar"] += 1
        return bar_line(self, y)

    def row(self: Walk, at: int, width: int) -> object:
        drawn["row"] += 1
        return row_line(self, at, width)

    monkeypatch.setattr(StillScrollBar, "render_line", bar)
    monkeypatch.setattr(Walk, "_draw", row)
    async with make_app(review=make_review(3_000)).run_test(size=(120, 40)) as pilot:
        await pilot.press(*["j"] * 40)
        await pilot.pause(0.5)
        drawn.update(bar=0, row=0)
        await pilot.press("j")
        await pilot.pause(0.5)
        assert drawn == {"bar": 0, "row": 2}  # the row reached, and the one that scrolled into sight
        await pilot.press("G")
        await pilot.pause(0.5)
        assert drawn["bar"]


async def test_the_scrollbar_looks_as_if_drawn_anew(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(100)).run_test(size=(120, 40)) as pilot:
        rows = pilot.app.screen.query_one("#walk-rows", RowList)
        for key in ("j", "ctrl+d", "ctrl+d", "G", "k", "ctrl+u", "g"):
            await pilot.press(key)
            await pilot.pause(0.2)
            shown = [strip.crop(57, 60) for strip in pilot.app.screen._compositor.render_strips()]
            bar = rows.vertical_scrollbar
            assert isinstance(bar, StillScrollBar)
            bar._drawn_for = ()
            pilot.app.refresh()
            bar._styles_cache.clear()
            await pilot.pause(0.2)
            assert shown == [strip.crop(57, 60) for strip in pilot.app.screen._compositor.render_strips()]
