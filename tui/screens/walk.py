"""The walk: the queue of findings, and always the one under the cursor in full."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from checks.model import Area, Finding, Severity
from scorecards.review import ReviewState
from tui.actions import bindings
from tui.background import Finished, start
from tui.links import Thing
from tui.queue import OPEN, ORDERS, STATUSES, Filter, Queue, Standing, ordered, read_filter, step, worst_first
from tui.screens.deciding import Deciding
from tui.surroundings import History, owner_of, surroundings
from tui.text import Part, line
from tui.widgets.bars import spread
from tui.widgets.choices import ChoiceBar
from tui.widgets.detail import Surroundings, detail
from tui.widgets.document import Document, Paragraph
from tui.widgets.filtering import FilterField
from tui.widgets.findings import areas_line, finding_row, severities_parts
from tui.widgets.rows import RowList

REPEAT_S = 0.1
REMEMBER_S = 0.5
MANY = 2_000
AFTER_FIRST_FRAME_S = 0.1
TIMEBOX_S = 300
NOTHING_FOUND = "No findings. What could not be decided stands on the scorecard (S)."


class Walk(Deciding):
    NAME = "walk"
    BINDINGS = bindings("walk")

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue({})
        self.shown: list[int] = []
        self.marks: set[str] = set()
        self.area: Area | None = None
        self.wanted = Filter()
        self.order = ORDERS[0]
        self._severities: list[tuple[Severity, int]] = []
        self._place = ""
        self._state = ReviewState()
        self._detail_of = ""
        self._opened_at: dt.datetime | None = None
        self._history = History()
        self._detail_timer: Timer | None = None
        self._place_timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        with Container(id="walk"):
            with Vertical(id="walk-list"):
                yield ChoiceBar("area", id="walk-areas")
                yield FilterField("sev:high area:idx status:open owner:me words", id="walk-filter")
                yield RowList(id="walk-rows")
                yield Static(line(""), id="walk-foot")
            yield Document(id="walk-detail")

    def on_mount(self) -> None:
        self.queue = Queue(ordered(self.review.entries, self.review.evidence, self.order))
        self.rows.moved = self._moved
        self.filter.narrow, self.filter.done = self._apply_filter, self.rows.focus
        self.query_one("#walk-detail", Document).rebuild = self._rebuild
        self.rows.focus()
        self.set_interval(1, self._show_foot)
        presence = self.surveyor.state.presence(self.review.folder.id)
        self._refill(self.queue.index_of.get(presence.finding if presence else ""))

    def refresh_content(self) -> None:
        self._state = self.review.state
        if self.wanted.statuses or self.wanted.owners:
            self._refill(self._current_index)
        self.rows.redraw()
        self._show_foot()
        self._show_detail(keep_place=True)
        self.call_after_refresh(self._show_areas)
        if self.surveyor.derived.known_effects is None:
            self.set_timer(AFTER_FIRST_FRAME_S, lambda: self.surveyor.derived.prepare_effects(self))

    def on_finished(self, event: Finished) -> None:
        """What fixing something would change is known now; then what belongs to what is worked out."""
        event.stop()
        if event.error is not None:
            self.surveyor.tell(f"{event.error}. {event.error.hint}", title=event.name.capitalize(), severity="error")
        elif event.name == "effects":
            self._show_detail(keep_place=True)
            start("links", self, self.surveyor.links.read_workload)

    # The queue

    @property
    def rows(self) -> RowList:
        return self.query_one("#walk-rows", RowList)

    @property
    def filter(self) -> FilterField:
        return self.query_one("#walk-filter", FilterField)

    @property
    def _current_index(self) -> int | None:
        return self.shown[self.rows.cursor] if self.shown else None

    @property
    def current(self) -> Finding | None:
        """The finding under the cursor."""
        index = self._current_index
        return None if index is None else self.queue.findings[index]

    def standing(self, id: str) -> Standing:
        """Where that finding stands now."""
        state = self._state
        decision = state.decisions.get(id)
        return Standing(
            STATUSES.get(decision.kind, decision.kind) if decision else OPEN,
            owner_of(state, id),
            bool(state.notes.get(id)),
            id in self.marks,
            id in state.conflicts,
        )

    def _refill(self, keep: int | None) -> None:
        """Chooses what is shown; the cursor stays on `keep`, or goes to what follows it."""
        self._state = self.review.state
        self.shown = self.queue.select(self.wanted, self.area, self.standing)
        cursor = 0
        if keep is not None:
            cursor = next((at for at, index in enumerate(self.shown) if index >= keep), max(0, len(self.shown) - 1))
        counted = Counter(self.queue.findings[index].severity for index in self.shown)
        self._severities = worst_first({severity: counted[severity] for severity in Severity})
        were_any = self.rows.count > 0
        self.rows.show(len(self.shown), self._draw, cursor)
        if were_any != bool(self.shown):
            self.show_keys()
        self._show_areas()
        self._show_foot()
        self._show_detail(settled=len(self.queue) < MANY)
        if len(self.queue) >= MANY and self._detail_timer is None:
            self._detail_timer = self.set_timer(REPEAT_S, self._settle)

    def _draw(self, row: int, width: int) -> Content:
        finding = self.queue.findings[self.shown[row]]
        return finding_row(finding, self.standing(finding.id), width)

    def _show_areas(self) -> None:
        bar = self.query_one("#walk-areas", ChoiceBar)
        bar.show(areas_line(self.queue.counts(), self.area, bar.size.width))

    def _show_foot(self) -> None:
        parts: list[Part] = [" "]
        if self.wanted.complaint:
            parts.append((self.wanted.complaint, "$error"))
        elif self.marks:
            parts.append((f"{len(self.marks)} marked: the next decision is on all of them", "bold $accent"))
        else:
            at = self.rows.cursor + 1 if self.shown else 0
            parts.append((f"{at}/{len(self.shown)}  ", "$muted"))
            parts += severities_parts(self._severities)
            if not self.wanted.is_empty:
                parts.append((f"of {len(self.queue)}  esc clears the filter", "$muted"))
            elif self.order != ORDERS[0]:
                parts.append((self.order, "$muted"))
        foot = self.query_one("#walk-foot", Static)
        foot.update(line(spread(line(*parts), self._clock(), max(20, foot.size.width - 1))), layout=False)

    def _clock(self) -> Content:
        """How long this finding has been open; it only shows."""
        now = self.surveyor.clock()
        seconds = int((now - (self._opened_at or now)).total_seconds())
        words = f"{seconds // 60}:{seconds % 60:02d}"
        return line((f"◷ {words}", "$warning" if seconds >= TIMEBOX_S else "$faint"))

    # The detail

    def _show_detail(self, *, keep_place: bool = False, settled: bool = True) -> None:
        """While a key repeats in a long review (not `settled`), what takes long to work out waits."""
        pane = self.query_one("#walk-detail", Document)
        finding = self.current
        if finding is None:
            words = "No finding is like that." if len(self.queue) else NOTHING_FOUND
            pane.show([Paragraph(line((words, "$muted")), line(" "))])
            self._detail_of = ""
            return
        if finding.id != self._detail_of:
            self._opened_at = self.surveyor.clock()
        pane.show(
            detail(finding, self._surroundings(finding, settled), pane.room),
            keep_place=keep_place and self._detail_of == finding.id,
            more_comes=not settled and len(self.queue) >= MANY,
        )
        self._detail_of = finding.id

    def _surroundings(self, finding: Finding, settled: bool) -> Surroundings:
        quick = settled or len(self.queue) < MANY
        return surroundings(
            finding,
            self._state,
            self.surveyor.links,
            self.surveyor.derived.known_effects if quick else None,
            self._history.of(self.review.folder.events(), finding.id),
            self.surveyor.repository,
            with_related=quick,
        )

    def _moved(self) -> None:
        """While a key repeats, the detail waits until it rests."""
        self._show_foot()
        if self._detail_timer is not None:
            self._detail_timer.stop()
        else:
            self._show_detail(settled=False)
        self._detail_timer = self.set_timer(REPEAT_S, self._settle)
        self._place = self.current.id if self.current else ""
        if self._place_timer is not None:
            self._place_timer.stop()
        self._place_timer = self.set_timer(REMEMBER_S, self.remember)

    def _settle(self) -> None:
        self._detail_timer = None
        finding = self.current
        if finding is not None and (finding.id != self._detail_of or len(self.queue) >= MANY):
            self._show_detail(keep_place=True)

    def remember(self) -> None:
        """Keeps the place for the next start."""
        self._place_timer = None
        if self._place:
            self.surveyor.remember_place(self._place, "walk")

    def on_unmount(self) -> None:
        if self._place_timer is not None:
            self.remember()

    @property
    def place(self) -> str:
        return self.current.id if self.current else ""

    def go_to(self, place: str) -> None:
        """A finding by its id, or `area:schema`: the first undecided one of that area."""
        kind, colon, name = place.partition(":")
        if kind == "area" and colon and name in set(Area):
            self.action_area(list(Area).index(Area(name)) + 1)
            if self.current is not None and self.standing(self.current.id).decided:
                self.action_next_open(1)
        else:
            self.show_finding(place)

    def show_finding(self, id: str) -> None:
        """Moves to that finding, out of any filter that hides it."""
        index = self.queue.index_of.get(id)
        if index is None:
            return
        if index not in self.shown:
            self.area, self.wanted = None, Filter()
            self.filter.close()
            self._refill(index)
        else:
            self.rows.cursor = self.shown.index(index)

    def after_decision(self, single: bool) -> None:
        """After one decision the cursor goes to the next undecided finding, so that a review is one key a finding."""
        if single and not self.wanted.statuses:
            self._step(1, lambda index: not self.standing(self.queue.ids[index]).decided, "Everything here is decided")

    # Moving and filtering

    def action_area(self, number: int) -> None:
        self.area = list(Area)[number - 1] if number else None
        self._refill(self._current_index)

    def action_next_open(self, direction: int) -> None:
        self._step(
            direction, lambda index: not self.standing(self.queue.ids[index]).decided, "Nothing is undecided here"
        )

    def action_next_match(self, direction: int) -> None:
        self._step(direction, lambda _: True, "No finding is like that")

    def _step(self, direction: int, wanted: Callable[[int], bool], otherwise: str) -> None:
        position = step(self.shown, self.rows.cursor, direction > 0, wanted)
        if position is None:
            self.say(otherwise)
        else:
            self.rows.cursor = position

    def action_order(self) -> None:
        """The next of the orders; the cursor stays on its finding."""
        current = self.current
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.queue = Queue(ordered(self.review.entries, self.review.evidence, self.order))
        self._refill(self.queue.index_of.get(current.id) if current else None)
        self.say(f"ordered: {self.order}")

    def action_links(self) -> None:
        if self.current is not None:
            self.surveyor.choose_link(Thing("finding", (self.current.id,)))

    def action_filter(self) -> None:
        self.remove_class("-zoomed")
        self.filter.open()

    def _apply_filter(self) -> None:
        self.wanted = read_filter(self.filter.value, self.surveyor.user)
        self._refill(self._current_index if self.shown else self.queue.index_of.get(self._place))

    def action_back(self) -> None:
        """Out of the detail, then out of the marks, then out of the filter."""
        if self.has_class("-zoomed"):
            self.remove_class("-zoomed")
        elif self.marks and not self.filter.has_focus:
            self.marks.clear()
            self.rows.redraw()
            self._show_foot()
        elif self.filter.is_open:
            self.filter.close()
            self._apply_filter()
        elif self.area is not None:
            self.action_area(0)
        self.rows.focus()

    @on(RowList.Chosen, "#walk-rows")
    def action_zoom(self) -> None:
        self.add_class("-zoomed")
        self.query_one("#walk-detail").focus()

    def action_scroll_detail(self, direction: int) -> None:
        self.query_one("#walk-detail", Document).action_scroll(direction * 3)

    def on_resize(self) -> None:
        self.call_after_refresh(self._fit)

    def _rebuild(self) -> None:
        """The panes have another width, also where the screen has not."""
        self._show_detail(keep_place=True)
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        self._show_areas()
        self._show_foot()

    # Marks

    def action_mark(self) -> None:
        if self.current is not None:
            self.marks ^= {self.current.id}
            self.rows.refresh_row(self.rows.cursor)
            self.rows.cursor += 1
            self._show_foot()

    def action_mark_all(self) -> None:
        ids = {self.queue.ids[index] for index in self.shown}
        self.marks = self.marks - ids if ids <= self.marks else self.marks | ids
        self.rows.redraw()
        self._show_foot()
