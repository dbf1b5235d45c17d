"""The start page: what was reviewed before, and what to review now."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from checks.text import visible
from tui.actions import Action, bindings
from tui.background import Finished, start
from tui.days import how_long_ago
from tui.screens.base import SurveyScreen
from tui.state import RecentTarget
from tui.text import Part, line, prose
from tui.widgets.bars import spread
from tui.widgets.dsn_input import DsnInput
from tui.widgets.rows import RowList

if TYPE_CHECKING:
    from scorecards.session import Review

AFTER_FIRST_FRAME_S = 0.05
PROMISES = (
    "Reads catalogs, settings and statistics, in `READ ONLY` transactions",
    "`statement_timeout` 5 s, `lock_timeout` 200 ms",
    "Plans statements with `EXPLAIN`; runs none without your yes",
    "Reads the repository's files; runs nothing of it",
    "Writes nothing to the database, and locks nobody out",
    "Stores no row values, SQL literals or passwords",
    "Sends nothing anywhere: the review is a folder of yours",
)


class Connect(SurveyScreen):
    NAME = "connect"
    BINDINGS = bindings("connect")

    def __init__(self) -> None:
        super().__init__()
        self._reviews: tuple[Any, ...] = ()
        self._targets: tuple[tuple[RecentTarget, str], ...] = ()
        self._default_dsn: str | None = None
        self._dsn_words = ""
        self._entered: dict[str, str] = {}
        self._opening = False

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="connect"):
            with Vertical(id="connect-recent"):
                yield Static(line("Recent"), classes="heading")
                yield RowList(id="recent")
                yield Static(line(""), id="recent-empty")
            with VerticalScroll(id="connect-new", can_focus=False):
                yield Static(line("New review"), classes="heading")
                yield Static(line("Database"), classes="field-label")
                yield DsnInput(id="dsn", compact=True, placeholder="postgresql://user@host/database, or leave empty")
                yield Static(line(""), id="dsn-note", classes="field-note")
                yield Static(line("Repository"), classes="field-label")
                yield Input(id="repository", compact=True, placeholder="path of the application's code")
                yield Static(line("Plans"), classes="field-label")
                yield Input(
                    id="plans", compact=True, placeholder="files of EXPLAIN or auto_explain, with commas between"
                )
                with Horizontal(id="start-line"):
                    yield Button("Start the review", id="start", compact=True)
                    yield Static(line(""), id="start-note")
                yield Static(line("What it promises"), classes="heading spaced")
                for words in PROMISES:
                    yield Static(line(("✓ ", "$success"), prose(words)), classes="promise")

    def on_mount(self) -> None:
        self.query_one("#recent").focus()
        self.set_timer(AFTER_FIRST_FRAME_S, lambda: start("recent", self, self._look_around))

    def refresh_content(self) -> None:
        if self._reviews or self._targets:
            start("recent", self, self._look_around)

    def _look_around(self) -> tuple[Any, ...]:
        """In a thread: recent reviews and targets, and what the environment offers."""
        from scorecards.store import default_root, recent
        from tui.arguments import default_dsn, default_repository

        dsn = default_dsn()
        words = display_of(dsn) if dsn is not None else ""
        surveyor = self.surveyor
        reviews = tuple(recent(surveyor.reviews_folder or default_root()))
        targets = tuple((target, words_of(target)) for target in surveyor.state.comfort().targets)
        return reviews, targets, dsn, words, default_repository()

    def on_finished(self, event: Finished) -> None:
        event.stop()
        if event.name == "recent":
            self._show_surroundings(event)
        elif event.name == "open":
            self._opening = False
            self.query_one("#start-note", Static).update(line(""))
            if event.error is not None:
                self.surveyor.tell(f"{event.error}. {event.error.hint}", title="Not opened", severity="error")
            else:
                self.surveyor.target = None
                self.surveyor.open_review(event.result)

    def _show_surroundings(self, event: Finished) -> None:
        if event.error is not None:
            self.surveyor.tell(f"{event.error}. {event.error.hint}", severity="warning")
            return
        self._reviews, self._targets, self._default_dsn, self._dsn_words, repository = event.result
        rows = self.query_one("#recent", RowList)
        count = len(self._reviews) + len(self._targets)
        rows.show(count, self._draw, rows.cursor)
        rows.display = count > 0
        empty = self.query_one("#recent-empty", Static)
        empty.display = count == 0
        empty.update(prose("Nothing yet. `pgsurveyor demo` opens a sample application.", "$muted"))
        source = "DATABASE_URL" if os.environ.get("DATABASE_URL") else "PG* variables"
        parts: list[Part] = [("no DATABASE_URL or PG* here: if empty, only the repository is read", "$muted")]
        if self._dsn_words:
            parts = [("if empty: ", "$muted"), self._dsn_words, (f"  from {source}", "$muted")]
        self.query_one("#dsn-note", Static).update(line(*parts))
        field = self.query_one("#repository", Input)
        if repository is not None and not field.value and visible(str(repository)) == str(repository):
            field.value = str(repository)
        if count == 0 and self.focused in (None, rows):
            self.query_one("#dsn").focus()
        self.show_bars()

    def _draw(self, row: int, width: int) -> Content:
        if row < len(self._reviews):
            summary = self._reviews[row]
            when = how_long_ago(summary.started, self.surveyor.clock())
            return spread(line((summary.title, "$strong")), line((when, "$muted")), width)
        _, words = self._targets[row - len(self._reviews)]
        return spread(line(words), line(("target", "$muted")), width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "open":
            return self.query_one("#recent", RowList).has_focus and bool(self._reviews or self._targets)
        typing = isinstance(self.focused, Input)
        if action == "back":
            return typing
        if action in {"start", "new"}:
            return not typing and not self._opening
        return super().check_action(action, parameters)

    def shown_actions(self) -> tuple[Action, ...]:
        shown = super().shown_actions()
        if not isinstance(self.focused, Input):
            return shown
        tab = next(action for action in self.surveyor.actions[self.NAME] if action.run == "switch_pane")
        enter = replace(shown[0], short="next" if self.focused.id == "dsn" else "start")
        return (enter, replace(tab, short="next field"), *shown[1:])

    @on(RowList.Chosen)
    def action_open(self) -> None:
        row = self.query_one("#recent", RowList).cursor
        if row < len(self._reviews):
            if not self._opening:
                self._opening = True
                self.query_one("#start-note", Static).update(line(("  opening ...", "$muted")))
                self.say("opening ...", 30)
                path = self._reviews[row].path
                cache = self.surveyor.cache_folder
                start("open", self, lambda: open_saved(path, cache))
        elif row < len(self._reviews) + len(self._targets):
            target, _ = self._targets[row - len(self._reviews)]
            self.query_one("#dsn", Input).value = visible(target.dsn)
            self.query_one("#repository", Input).value = visible(target.repository)
            self.query_one("#start").focus()

    def action_new(self) -> None:
        self.query_one("#dsn").focus()

    def action_back(self) -> None:
        recent = self.query_one("#recent")
        if recent.display:
            recent.focus()
        else:
            self.query_one("#start").focus()

    def action_switch_pane(self) -> None:
        self.focus_next()

    @on(Input.Submitted, "#dsn")
    def _to_repository(self) -> None:
        self.query_one("#repository").focus()

    @on(Input.Submitted, "#repository")
    @on(Input.Submitted, "#plans")
    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Hands the target to the preflight. What the field shows afterwards has no password in it."""
        from checks.errors import UsageError
        from checks.evidence.database.dsn import understand
        from checks.evidence.observe import Target
        from tui.targets import without_password

        field = self.query_one("#dsn", DsnInput)
        given = field.value.strip()
        dsn = self._entered.get(given, given) or self._default_dsn
        path = self.query_one("#repository", Input).value.strip()
        try:
            kept = without_password(understand(dsn)) if dsn is not None else ""
        except UsageError as error:
            self.surveyor.tell(f"{error}. {error.hint}", title="Database", severity="error")
            field.focus()
            return
        repository = Path(path).expanduser().absolute() if path else None
        if repository is not None and not repository.is_dir():
            self.surveyor.tell(f"{path} is no folder", title="Repository", severity="error")
            self.query_one("#repository").focus()
            return
        if dsn is None and repository is None:
            self.surveyor.tell("Give a database, a repository, or both", severity="error")
            field.focus()
            return
        plans = tuple(
            Path(word.strip()).expanduser().absolute()
            for word in self.query_one("#plans", Input).value.split(",")
            if word.strip()
        )
        if absent := next((plan for plan in plans if not plan.is_file()), None):
            self.surveyor.tell(f"{absent} is no file", title="Plans", severity="error")
            self.query_one("#plans").focus()
            return
        if given and dsn is not None:
            self._entered[kept] = dsn
            field.value = kept
        self.surveyor.look_ahead(Target(dsn, repository, (), cache=True, shadow=True, plans=plans))


def display_of(dsn: str) -> str:
    """Without its password. The driver is loaded only where there is a DSN. Raises UsageError."""
    from checks.evidence.database.dsn import understand

    return understand(dsn).display


def words_of(target: RecentTarget) -> str:
    """A remembered target for people."""
    from checks.errors import UsageError

    try:
        place = display_of(target.dsn) if target.dsn else ""
    except UsageError:
        place = "a DSN that cannot be read"
    return " + ".join(filter(None, (place, Path(target.repository).name if target.repository else "")))


def open_saved(path: Path, cache: Path | None = None) -> Review:
    """The review in that folder, its checks run again over its evidence. Raises StoreError, EvidenceError."""
    from scorecards.remembered import results_of
    from scorecards.session import Review
    from scorecards.store import ReviewFolder

    folder = ReviewFolder.open(path)
    return Review(folder, results_of(folder, cache))
