"""A run: the target is observed and the checklist fills in, area by area."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from checks.checklist import sort_key
from checks.errors import ReviewError
from checks.evidence.database.meter import Meter
from checks.model import Area, CheckResult, Finding, Outcome
from tui.actions import Action, bindings
from tui.approval import NO_MORE
from tui.background import Finished, send, start
from tui.pace import duration
from tui.screens.approve import Approve, Asking, asker
from tui.screens.base import SurveyScreen
from tui.text import Part, line, prose, severity_mark
from tui.widgets.bars import spread
from tui.widgets.detail import Surroundings, detail
from tui.widgets.document import EMPTY, Document, Paragraph
from tui.widgets.rows import RowList
from tui.words import figure, plural

if TYPE_CHECKING:
    from checks.checklist import Selection
    from checks.evidence.observe import Target
    from scorecards.session import Review

SETTLING_S = 2.0
BAR = 12
AREA = 15
COLUMNS = {"checks": 9, "passed": 8, "found": 7, "unknown": 9, "n/a": 5, "findings": 10}
LOOKS_SHOWN = 4
COUNT = re.compile(r"(\d+) of (\d+)")
NOTICES_SHOWN = 6
LISTED = 2_000
WIDE = 96


class Looking(Message):
    """What is being looked at now."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class Checking(Message):
    """Observing has ended; so many checks are to be run in each area."""

    def __init__(self, target: str, totals: Counter[Area]) -> None:
        super().__init__()
        self.target = target
        self.totals = totals


class Checked(Message):
    """One check has a result."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__()
        self.result = result


class Outcomes(msgspec.Struct, frozen=True):
    """What a run left: the saved review, and what was asked for and could not be reached."""

    review: Review
    problems: tuple[ReviewError, ...]


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
        self.query_one("#run", Document).show(self.paragraphs(), keep_place=True)
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

    def paragraphs(self) -> list[Paragraph]:
        shown = [Paragraph(), Paragraph(self._headline()), Paragraph()]
        shown += [Paragraph(text) for text in self._table()]
        shown += [Paragraph(), Paragraph(self._effort()), Paragraph()]
        if self._failure is not None:
            shown += problem_paragraphs("Nothing could be observed", self._failure)
        elif self._done is not None:
            for problem in self._done.problems:
                shown += problem_paragraphs("Not observed", problem)
            shown += self._conclusion(self._done)
            for notice in self._done.review.evidence.notices[:NOTICES_SHOWN]:
                shown.append(Paragraph(prose(notice, "$muted", limit=500), line((" · ", "$muted"))))
        else:
            for number, words in enumerate(self._looks):
                last = number == len(self._looks) - 1
                shown.append(
                    Paragraph(
                        line((words, "$foreground" if last else "$muted"), self._counted(words) if last else ""),
                        line((" ▸ " if last else "   ", "$accent")),
                    )
                )
        return shown

    def _counted(self, words: str) -> Content:
        """A bar behind `200 of 18438 files`, and how long the rest will take at the present pace."""
        match = COUNT.search(words)
        if match is None or not int(match[2]):
            return Content("")
        share = min(1.0, int(match[1]) / int(match[2]))
        filled = round(BAR * share)
        spent = time.monotonic() - self._looking_since
        rest = spent / share - spent if share > 0 and spent > 3 else 0
        left = f"  about {duration(dt.timedelta(seconds=rest))} more" if rest >= 1 else ""
        return line("  ", ("━" * filled, "bold $accent"), ("─" * (BAR - filled), "$faint"), (left, "$muted"))

    def _headline(self) -> Content:
        clock = f"{int(self._elapsed) // 60}:{int(self._elapsed) % 60:02d}"
        if self._failure is not None:
            state: Part = ("Stopped", "bold $error")
        elif self._done is not None:
            state = ("Cancelled, with what there was" if self.surveyor.cancelled.is_set() else "Ready", "bold $success")
        elif self.surveyor.cancelled.is_set():
            state = ("Cancelling", "bold $warning")
        elif self._totals:
            state = ("Checking", "bold $accent")
        else:
            state = ("Observing", "bold $accent")
        return line(" ", state, ("   elapsed ", "$muted"), clock)

    def _table(self) -> list[Content]:
        head = "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
        rows = [line((f" {'area':<{AREA + BAR}}{head}", "$muted"))]
        for area in Area:
            total = self._totals[area]
            counted = {outcome: self._outcomes[area, outcome] for outcome in Outcome}
            done, errors = sum(counted.values()), counted[Outcome.ERROR]
            filled = round(BAR * done / total) if total else 0
            figures = {
                "checks": (f"{done}/{total}", "$foreground"),
                "passed": (f"{counted[Outcome.PASSED]}", "$success"),
                "found": (f"{counted[Outcome.FOUND]}", "$severity-high"),
                "unknown": (f"{counted[Outcome.UNKNOWN]}", "$foreground"),
                "n/a": (f"{counted[Outcome.NOT_APPLICABLE]}", "$foreground"),
                "findings": (f"{self._findings[area]}", "bold $severity-high"),
            }
            parts: list[Part] = [
                f" {area.value:<{AREA}}",
                ("━" * filled, "bold $accent"),
                ("─" * (BAR - filled), "$faint"),
            ]
            for name, (words, look) in figures.items():
                shown = words if total else "-"
                parts.append((f"{shown:>{COLUMNS[name]}}", "$muted" if shown in {"-", "0"} else look))
            if errors:
                parts.append((f"  {plural(errors, 'error')}", "$error"))
            rows.append(line(*parts))
        return rows

    def _effort(self) -> Content:
        return line(
            (" statements sent ", "$muted"), f"{self.meter.statements:,}",
            ("   time on the server ", "$muted"), figure("server_ms", self.meter.server_ms),
        )  # fmt: skip

    def _conclusion(self, done: Outcomes) -> list[Paragraph]:
        count = len(done.review.findings)
        words = f"{plural(count, 'finding')} to walk through. " if count else "No findings. "
        return [
            Paragraph(
                line(
                    (words, "bold $strong"), ("enter", "bold $accent"), " opens " + ("them." if count else "the walk.")
                ),
                line(" "),
            ),
            Paragraph(line(("The review is saved as you decide; quit whenever you like.", "$muted")), line(" ")),
            Paragraph(EMPTY),
        ]

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


class Preview(ModalScreen[None]):
    """One finding, to read."""

    BINDINGS = bindings("pick")

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self._finding = finding

    def compose(self) -> ComposeResult:
        with Vertical(id="finding"):
            yield Document(id="finding-text")

    def on_mount(self) -> None:
        page = self.query_one(Document)
        page.focus()
        self.call_after_refresh(lambda: page.show(detail(self._finding, Surroundings(), page.room)))

    def action_close(self) -> None:
        self.dismiss(None)


def problem_paragraphs(heading: str, problem: ReviewError) -> list[Paragraph]:
    """What went wrong, and what to do next."""
    shown = [Paragraph(line((heading, "bold $error")), line(" "))]
    shown.append(Paragraph(prose(str(problem), limit=2_000), line(" ")))
    if problem.hint:
        shown.append(Paragraph(prose(problem.hint, limit=2_000), line((" ▸ ", "$accent"))))
    return [*shown, Paragraph(EMPTY)]


def review_target(
    target: Target,
    selection: Selection | None,
    report: Callable[[Message], None],
    cancelled: threading.Event,
    **how: Any,
) -> Outcomes:
    """In a thread: observe, check, save. Raises ReviewError if nothing could be observed."""
    from checks.checklist import EVERYTHING, run_checks
    from checks.errors import TargetError
    from checks.evidence.database.facts import Catalog
    from checks.evidence.observe import observe
    from checks.evidence.repository.facts import Repository
    from checks.registry import all_checks
    from scorecards.history import last_seen
    from scorecards.remembered import keep
    from scorecards.session import Review
    from scorecards.store import ReviewFolder, default_root
    from tui.words import target_words

    observation = observe(
        target,
        user_folder=how["configuration"],
        progress=lambda words: report(Looking(words)),
        cancelled=cancelled,
        clock=how["clock"],
        ask=asker(report, cancelled),
        last=lambda evidence: last_seen(evidence, how["root"] or default_root()),
        meter=how["meter"],
    )
    evidence = observation.evidence
    if cancelled.is_set() and evidence.find(Catalog) is None and evidence.find(Repository) is None:
        raise TargetError("cancelled before anything was observed", "start again")
    totals = Counter(check.area for check in all_checks().values())
    title = target_words(evidence)
    report(Checking(title, totals))
    results = run_checks(evidence, selection or EVERYTHING, lambda result: report(Checked(result)))
    folder = ReviewFolder.create(
        how["root"] or default_root(),
        evidence,
        title=title,
        reviewers=(how["reviewer"],),
        now=how["clock"](),
    )
    if selection is None or selection == EVERYTHING:
        keep(folder, results, how["cache"])
    return Outcomes(Review(folder, results), observation.problems)
