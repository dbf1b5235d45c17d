"""The scorecard: six areas, what holds each back, and what to do next."""

from __future__ import annotations

import dataclasses

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from checks.model import Area
from scorecards.model import CriterionStatus, Scorecard
from scorecards.store import default_root
from tui.actions import Action, bindings
from tui.background import Finished, start
from tui.screens.base import SurveyScreen
from tui.text import Part, line
from tui.widgets.advice import advice_paragraphs
from tui.widgets.bars import spread
from tui.widgets.document import Document
from tui.widgets.markdown import markdown_paragraphs
from tui.widgets.rows import RowList
from tui.widgets.scores import STATUS, area_paragraphs, overview_paragraphs
from tui.widgets.what_if import what_if_paragraphs

COMPARISON_LINES = 1_000
ADVICE = "indexes"


class ScorecardPage(SurveyScreen):
    NAME = "scorecard"
    BINDINGS = bindings("scorecard")

    def __init__(self) -> None:
        super().__init__()
        self.area: Area | None = None
        self.card: Scorecard | None = None
        self.comparison = ""
        self.what_if = False
        self.advice = False
        self.fixed: set[str] = set()
        self._open: list[CriterionStatus] = []
        self._ranks: dict[str, int] = {}

    def compose_body(self) -> ComposeResult:
        yield Static(line((" working it out ...", "$muted")), id="scorecard-wait")
        yield Document(id="scorecard", measure=130)
        yield RowList(id="scorecard-rows")
        yield Static(line(""), id="scorecard-hint")

    @property
    def place(self) -> str:
        if self.advice:
            return ADVICE
        return self.area.value if self.area else "overview"

    def go_to(self, place: str) -> None:
        if place == ADVICE:
            self.advice = False
            self.action_advice()
            return
        areas = [area.value for area in Area]
        if place == "overview" or place in areas:
            self.action_area(areas.index(place) + 1 if place in areas else 0)

    def on_mount(self) -> None:
        self.query_one("#scorecard-rows").display = False
        self.query_one("#scorecard-hint").display = False
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
                self.say("No earlier review of the same database and repository")
                return
            self._paint()
            return
        self.card = event.result
        self._ranks = {id: rank for rank, move in reversed(list(enumerate(self.card.moves))) for id in move.criteria}
        self._paint(keep_place=True)
        self._list_open()

    def on_resize(self) -> None:
        self.call_after_refresh(self._paint, keep_place=True)

    def _paint(self, *, keep_place: bool = False) -> None:
        if self.card is None:
            return
        self.show_keys()
        page = self.query_one("#scorecard", Document)
        width = min(page.scrollable_content_region.width, 130)
        if self.what_if:
            effects = self.surveyor.derived.effects
            after = effects.met(self.fixed)
            page.show(what_if_paragraphs(effects.levels, after, effects.words(after), len(self.fixed)))
            return
        if self.comparison:
            page.show(markdown_paragraphs(self.comparison, COMPARISON_LINES, width), keep_place=keep_place)
            return
        if self.advice:
            page.show(advice_paragraphs(self.card.advice, width), keep_place=keep_place)
            return
        paragraphs = (
            overview_paragraphs(self.card, width) if self.area is None else area_paragraphs(self.card, self.area, width)
        )
        page.show(paragraphs, keep_place=keep_place)

    # What if

    def action_what_if(self) -> None:
        """Switches between the scorecard and what it would be."""
        self.what_if = not self.what_if
        self.comparison, self.advice = "", False
        for name in ("#scorecard-rows", "#scorecard-hint"):
            self.query_one(name).display = self.what_if
        self.set_class(self.what_if, "-what-if")
        self.query_one("#scorecard-rows" if self.what_if else "#scorecard").focus()
        self._list_open()
        self.call_after_refresh(self._paint)
        self.show_bars()

    def _list_open(self) -> None:
        """What is not met: what moves the needle first, then by area and level."""
        if self.card is None:
            return
        areas = [score for score in self.card.areas if self.area is None or score.area == self.area]
        found = [
            status
            for score in areas
            if score.demonstrated is not None
            for status in score.criteria
            if status.status in {"unmet", "unknown"} and not status.provisional
        ]
        last = len(self._ranks) + 1
        self._open = sorted(found, key=lambda one: (self._ranks.get(one.id, last), one.level, one.id))
        rows = self.query_one("#scorecard-rows", RowList)
        rows.show(len(self._open), self._draw, rows.cursor)
        self._show_hint()

    def _draw(self, row: int, width: int) -> Content:
        status = self._open[row]
        fixed = status.id in self.fixed
        symbol, look = STATUS[status.status]
        level = "red flag" if status.level == 0 else f"level {status.level}"
        left = line(
            (" [x] " if fixed else " [ ] ", "bold $success" if fixed else "$muted"),
            (f"{symbol} ", look),
            (f"{status.id:<8} ", "$muted"),
            (status.statement, "bold $success" if fixed else "$foreground"),
        )
        return spread(left, line((f"{level:>9}", "$error" if status.level == 0 else "$muted")), width)

    def _show_hint(self) -> None:
        rows = self.query_one("#scorecard-rows", RowList)
        words: list[Part] = []
        if self._open and self.card is not None:
            status = self._open[rows.cursor]
            alone = self.surveyor.derived.effects.met({status.id})
            effect = self.surveyor.derived.effects.words(alone) or "moves no level by itself"
            seen = f"   {status.observed}" if status.observed else ""
            words = [(f" {status.id} alone: ", "$muted"), (effect, "$success"), (seen, "$muted")]
        self.query_one("#scorecard-hint", Static).update(line(*words), layout=False)

    @on(RowList.Moved, "#scorecard-rows")
    def _moved(self) -> None:
        self._show_hint()

    @on(RowList.Chosen, "#scorecard-rows")
    def action_toggle_fixed(self) -> None:
        rows = self.query_one("#scorecard-rows", RowList)
        if self._open:
            self.fixed ^= {self._open[rows.cursor].id}
            rows.redraw()
            self._paint()

    def action_clear(self) -> None:
        self.fixed.clear()
        self.query_one("#scorecard-rows", RowList).redraw()
        self._paint()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in {"toggle_fixed", "clear"}:
            return self.what_if
        return super().check_action(action, parameters)

    def shown_actions(self) -> tuple[Action, ...]:
        """In what-if, what one does there comes first; where indexes are advised, they stand in place of the page one is on."""
        shown = super().shown_actions()
        if not self.what_if:
            if self.card is None or self.card.advice is None or self.place != "overview":
                return shown
            advice = next(action for action in self.surveyor.actions[self.NAME] if action.run == "advice")
            return tuple(
                dataclasses.replace(advice, short="indexes") if action.run == "area(0)" else action for action in shown
            )
        mine = {action.run: action for action in self.surveyor.actions[self.NAME]}
        first = (
            dataclasses.replace(mine["toggle_fixed"], short="fixed"),
            dataclasses.replace(mine["clear"], short="unmark all"),
            dataclasses.replace(mine["what_if"], short="back"),
        )
        return (*first, *(action for action in shown if action.run not in {"what_if", "compare", "page_area(1)"}))

    # Pages

    def action_advice(self) -> None:
        """The set of new indexes under a budget; again: back to the scorecard."""
        if self.what_if:
            self.action_what_if()
        self.comparison, self.advice = "", not self.advice
        self._paint()

    def action_area(self, number: int) -> None:
        self.comparison, self.advice = "", False
        self.area = list(Area)[number - 1] if number else None
        self._list_open()
        self._paint()

    def action_page_area(self, direction: int) -> None:
        self.comparison, self.advice = "", False
        self.call_after_refresh(self._list_open)
        pages = [None, *Area]
        self.area = pages[(pages.index(self.area) + direction) % len(pages)]
        self._paint()

    def action_compare(self) -> None:
        """With the last review of the same target; again: back to the scorecard."""
        review, card = self.surveyor.review, self.card
        if self.what_if:
            self.action_what_if()
        self.advice = False
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
