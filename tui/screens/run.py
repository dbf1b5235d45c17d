"""A run: the target is observed and the checklist fills in, area by area."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.content import Content

from checks.checklist import sort_key
from checks.errors import ReviewError
from checks.evidence.database.meter import Meter
from checks.model import Area, Finding, Outcome
from tui.actions import Action, bindings
from tui.approval import NO_MORE
from tui.background import Finished, send, start
from tui.reviewing import Checked, Checking, Looking, Outcomes, review_target
from tui.screens.approve import Approve, Asking
from tui.screens.base import SurveyScreen
from tui.screens.preview import Preview
from tui.text import line, severity_mark
from tui.widgets.bars import spread
from tui.widgets.document import Document
from tui.widgets.progress import Progress, progress_paragraphs
from tui.widgets.rows import RowList

SETTLING_S = 2.0
LOOKS_SHOWN = 4
LISTED = 2_000
WIDE = 96


class Run(SurveyScreen):
    NAME = "run"
    BINDINGS = bindings("run")

    def __init__(self) -> None:
        super().__init__()
        self._reset()

    def _reset(self) -> None:
        self._begun = time.monotonic()
        self._ended: float | None = None
        self._looks: list[str] = []
        self._looking_since = self._begun
        self._totals: Counter[Area] = Counter()
        self._outcomes: Counter[tuple[Area, Outcome]] = Counter()
        self._findings: Counter[Area] = Counter()
        self.found: list[Finding] = []
        self.meter = Meter()
        self._failure: ReviewError | None = None
        self._done: Outcomes | None = None
        self._stale = True

    def compose_body(self) -> ComposeResult:
        yield Document(id="run", measure=110)
        yield RowList(id="run-findings")

    def on_mount(self) -> None:
        self.query_one("#run").can_focus = False
        self.query_one("#run-findings").focus()
        self.set_interval(0.1, self._tick)
        self._begin()

    def _begin(self) -> None:
        surveyor = self.surveyor
        target = surveyor.target
        if target is None or surveyor.is_running:
            return
        self._reset()
        from tui import targets

        surveyor.cancelled = threading.Event()
        surveyor.problems = ()
        surveyor.target_words = targets.display(target)
        surveyor.state.remember_target(targets.recent(target))
        selection, configuration, cache = surveyor.selection, surveyor.configuration_folder, surveyor.cache_folder
        cancelled, user, root, clock = surveyor.cancelled, surveyor.user, surveyor.reviews_folder, surveyor.clock
        meter = self.meter
        surveyor.running = start(
            "run",
            self,
            lambda: review_target(
                target, selection, lambda message: send(self, message), cancelled,
                configuration=configuration, root=root, reviewer=user, clock=clock, cache=cache, meter=meter,
            ),
        )  # fmt: skip
        self.show_bars()

    # What the thread says

    def on_looking(self, event: Looking) -> None:
        """Of a count that goes on, only the latest is kept."""
        subject = event.words.partition(":")[0]
        kept = self._looks[:-1] if self._looks and self._looks[-1].partition(":")[0] == subject else self._looks
        if len(kept) == len(self._looks):
            self._looking_since = time.monotonic()
        self._looks = [*kept, event.words][-LOOKS_SHOWN:]
        self._stale = True

    def on_checking(self, event: Checking) -> None:
        self._totals = event.totals
        self.surveyor.target_words = event.target
        self.show_bars()
        self._stale = True

    def on_checked(self, event: Checked) -> None:
        result = event.result
        self._outcomes[result.area, result.outcome] += 1
        self._findings[result.area] += len(result.findings)
        self.found += result.findings[: max(0, LISTED - len(self.found))]
        self._stale = True

    def on_asking(self, event: Asking) -> None:
        event.stop()
        self.app.push_screen(
            Approve(event.proposal, hides=self.surveyor.presenting),
            lambda answer: event.reply(answer or NO_MORE),
        )

    def on_finished(self, event: Finished) -> None:
        event.stop()
        self._ended = time.monotonic()
        self.surveyor.running = None
        if event.error is not None:
            self._failure = event.error
            if self.surveyor.cancelled.is_set():
                self.surveyor.tell("Cancelled: there was too little to review yet")
                self.surveyor.action_go("connect")
        else:
            self._done = event.result
            self.surveyor.problems = event.result.problems
        self._paint()
        self.show_bars()
        if (
            self.surveyor.walks_at_once
            and self._done
            and not self._done.problems
            and not self.surveyor.cancelled.is_set()
        ):
            self.action_proceed()

    # What is shown

    def refresh_content(self) -> None:
        self._paint()

    def _tick(self) -> None:
        # What ends before the screen has its size is painted once more when it has.
        just_ended = self._ended is not None and time.monotonic() - self._ended < SETTLING_S
        if self.surveyor.is_running or self._stale or just_ended:
            self._paint()

    def _paint(self) -> None:
        self._stale = False
        self.query_one("#run", Document).show(progress_paragraphs(self._progress), keep_place=True)
        rows = self.query_one("#run-findings", RowList)
        if rows.count != len(self.found):
            current = self.found[rows.cursor].id if rows.count and rows.cursor < len(self.found) else ""
            self.found.sort(key=sort_key)
            kept = next((at for at, finding in enumerate(self.found) if finding.id == current), 0)
            rows.show(len(self.found), self._draw, kept if rows.cursor else 0)
            self.show_keys()

    def _draw(self, row: int, width: int) -> Content:
        finding = self.found[row]
        assert finding.severity is not None
        left = line(" ", severity_mark(finding.severity), " ", (finding.title[: width * 2], "$foreground"))
        return spread(left, line((finding.check, "$muted")), width) if width >= WIDE else left

    @property
    def _elapsed(self) -> float:
        return (self._ended or time.monotonic()) - self._begun

    @property
    def _progress(self) -> Progress:
        return Progress(
            self._elapsed, self._looks, time.monotonic() - self._looking_since, self._totals, self._outcomes, self._findings,
            self.meter, self.surveyor.cancelled.is_set(), self._failure, self._done,
        )  # fmt: skip

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "proceed":
            return self._done is not None
        if action == "open_finding":
            return bool(self.found)
        if action == "watch_server":
            target = self.surveyor.target
            return self._ended is None and target is not None and target.dsn is not None
        if action == "again":
            return self._ended is not None and self.surveyor.target is not None
        return super().check_action(action, parameters)

    def shown_actions(self) -> tuple[Action, ...]:
        """What cancels a run leads back to the start page once it has ended."""
        shown = super().shown_actions()
        if self._ended is None:
            return shown
        return tuple(replace(action, short="start page") if action.run == "cancel" else action for action in shown)

    def action_open_finding(self) -> None:
        """The finding under the cursor in full, while the rest is still being looked at."""
        if self.found:
            self.app.push_screen(Preview(self.found[self.query_one("#run-findings", RowList).cursor]))

    def action_watch_server(self) -> None:
        """The server at work, on a connection of its own, while the review looks at it."""
        from tui.screens.live import Live

        self.app.push_screen(Live())

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        if self._done is not None:
            self.action_proceed()
        else:
            self.action_open_finding()

    def action_proceed(self) -> None:
        if self._done is not None:
            cursor = self.query_one("#run-findings", RowList).cursor
            self.surveyor.open_review(self._done.review, self.surveyor.repository)
            if cursor:
                self.surveyor.show_place("walk", self.found[cursor].id)

    def action_cancel(self) -> None:
        if self.surveyor.is_running:
            self.surveyor.cancelled.set()
            self._paint()
        else:
            self.surveyor.action_go("connect")

    def action_again(self) -> None:
        self._begin()
