"""The scorecard: six areas, what holds each back, and what to do next."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from checks.model import Area
from scorecards.model import Scorecard
from scorecards.store import default_root
from tui.actions import bindings
from tui.background import Finished, start
from tui.screens.base import SurveyScreen
from tui.text import line
from tui.widgets.document import Document
from tui.widgets.markdown import markdown_paragraphs
from tui.widgets.scores import area_paragraphs, overview_paragraphs

COMPARISON_LINES = 1_000


class ScorecardPage(SurveyScreen):
    NAME = "scorecard"
    BINDINGS = bindings("scorecard")

    def __init__(self) -> None:
        super().__init__()
        self.area: Area | None = None
        self.card: Scorecard | None = None
        self.comparison = ""

    def compose_body(self) -> ComposeResult:
        yield Static(line((" working it out ...", "$muted")), id="scorecard-wait")
        yield Document(id="scorecard", measure=130)

    @property
    def place(self) -> str:
        return self.area.value if self.area else "overview"

    def go_to(self, place: str) -> None:
        areas = [area.value for area in Area]
        if place == "overview" or place in areas:
            self.action_area(areas.index(place) + 1 if place in areas else 0)

    def on_mount(self) -> None:
        self.query_one("#scorecard").focus()

    def refresh_content(self) -> None:
        review = self.surveyor.review
        if review is not None:
            start("scorecard", self, review.scorecard)

    def on_finished(self, event: Finished) -> None:
        event.stop()
        self.query_one("#scorecard-wait").display = False
        if event.error is not None:
            self.surveyor.tell(f"{event.error}. {event.error.hint}", title="No scorecard", severity="error")
            return
        if event.name == "compare":
            self.comparison = event.result
            if not self.comparison:
                self.say("There is no earlier review of this target")
                return
            self._paint()
            return
        self.card = event.result
        self._paint(keep_place=True)

    def on_resize(self) -> None:
        self.call_after_refresh(self._paint, keep_place=True)

    def _paint(self, *, keep_place: bool = False) -> None:
        if self.card is None:
            return
        page = self.query_one("#scorecard", Document)
        width = min(page.scrollable_content_region.width, 130)
        if self.comparison:
            page.show(markdown_paragraphs(self.comparison, COMPARISON_LINES, width), keep_place=keep_place)
            return
        paragraphs = (
            overview_paragraphs(self.card, width) if self.area is None else area_paragraphs(self.card, self.area, width)
        )
        page.show(paragraphs, keep_place=keep_place)

    def action_area(self, number: int) -> None:
        self.comparison = ""
        self.area = list(Area)[number - 1] if number else None
        self._paint()

    def action_page_area(self, direction: int) -> None:
        self.comparison = ""
        pages = [None, *Area]
        self.area = pages[(pages.index(self.area) + direction) % len(pages)]
        self._paint()

    def action_compare(self) -> None:
        """With the last review of the same target; again: back to the scorecard."""
        review, card = self.surveyor.review, self.card
        if self.comparison or review is None or card is None:
            self.comparison = ""
            self._paint()
            return
        root = self.surveyor.reviews_folder or default_root()

        def work() -> str:
            from scorecards.exports.since import render_comparison
            from scorecards.history import Side, compare_sides, previous, side_of_folder, trend

            earlier = previous(card, review.evidence, root)
            if earlier is None:
                return ""
            points = trend(card, review.evidence, root)
            return render_comparison(compare_sides(side_of_folder(earlier), Side(card)), points)

        start("compare", self, work)

    async def action_go_export(self) -> None:
        self.surveyor.action_go("export")
