"""The terminal program. It imports what the first screen needs; everything else comes when it is wanted."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.command import Provider
from textual.screen import Screen

from checks.errors import StoreError
from tui import hangup
from tui.actions import ACTIONS, Action, bindings
from tui.look import DARK, LIGHT
from tui.state import Presence, State
from tui.text import tell

if TYPE_CHECKING:
    from checks.checklist import Selection
    from checks.errors import ReviewError
    from checks.evidence.observe import Target
    from scorecards.review import ReviewState
    from scorecards.session import Review
    from tui.screens.help import Choice

REVIEW_MODES = ("walk", "questions", "scorecard", "export")
PATIENCE_S = 0.5
OTHERS_S = 1.0
WIDTHS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide")]
HEIGHTS = [(0, "-flat"), (15, "-low"), (32, "-tall")]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _screen(module: str, name: str) -> Callable[[], Screen[Any]]:
    def make() -> Screen[Any]:
        screen: Screen[Any] = getattr(import_module(f"tui.screens.{module}"), name)()
        return screen

    return make


def _palette() -> type[Provider]:
    from tui.palette import Commands

    return Commands


class SurveyorApp(App[None]):
    """`start` is the first screen: by default run for a target, walk for a review, else connect. A target that starts with
    walk is observed first, and its findings open by themselves unless there is a problem to read of.

    `state` is the folder of what is remembered between runs, `reviews` the one of the reviews, `configuration` the one of the
    reviewer's own pgsurveyor.toml; by default where the platform puts them. `clock` gives the present in UTC.
    """

    TITLE = "pgsurveyor"
    CSS_PATH = "app.tcss"
    BINDINGS = bindings("app")
    COMMANDS = {_palette}  # noqa: RUF012  # as Textual has it
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    MODES = {  # noqa: RUF012  # as Textual has it
        "connect": _screen("connect", "Connect"),
        "run": _screen("run", "Run"),
        "walk": _screen("walk", "Walk"),
        "questions": _screen("questions", "Questions"),
        "scorecard": _screen("scorecard", "ScorecardPage"),
        "export": _screen("export", "Export"),
    }

    def __init__(
        self,
        *,
        review: Review | None = None,
        target: Target | None = None,
        user: str = "",
        start: str | None = None,
        selection: Selection | None = None,
        state: Path | None = None,
        reviews: Path | None = None,
        configuration: Path | None = None,
        clock: Callable[[], dt.datetime] = now,
    ) -> None:
        super().__init__()
        from platformdirs import user_config_path, user_state_path

        self.review = review
        self.target = target
        self.user = user or "reviewer"
        self.selection = selection
        self.state = State(state or user_state_path("pgsurveyor"))
        self.reviews_folder = reviews
        self.configuration_folder = configuration or user_config_path("pgsurveyor")
        self.clock = clock
        self.repository: Path | None = target.repository if target else None
        self.cancelled = threading.Event()
        self.running: threading.Thread | None = None
        self.problems: tuple[ReviewError, ...] = ()
        self._start = start or ("run" if target else "walk" if review else "connect")
        self.walks_at_once = start == "walk"
        self._target_words = ""
        self._seen: ReviewState | None = None
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        remembered = self.state.comfort().theme
        self.set_reactive(App.theme, remembered if remembered in {DARK.name, LIGHT.name} else DARK.name)
        self.stylesheet.set_variables(self.get_css_variables())

    def on_mount(self) -> None:
        self.set_interval(OTHERS_S, self._look_for_others)
        self.set_interval(hangup.LOOK_EVERY_S, self._leave_with_the_terminal)
        if self.review is not None:
            self._adopt(self.review)
            self.repository = self.repository or self._repository_of(self.review)
        self.switch_mode("run" if self.target and self.walks_at_once else self._start)

    def _leave_with_the_terminal(self) -> None:
        if not self.is_headless and hangup.terminal_is_gone():
            hangup.leave_for_certain()
            self.cancelled.set()
            self.exit(return_code=hangup.STATUS)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """So that the style sheet can be read under Textual's own themes too."""
        return DARK.variables

    # What the screens ask for

    @property
    def target_words(self) -> str:
        """The target as it may be shown, never with a password."""
        return self._target_words

    @target_words.setter
    def target_words(self, words: str) -> None:
        self._target_words = words

    @property
    def progress_words(self) -> str:
        """How far the review is: `12 of 48 decided`."""
        if self.review is None:
            return ""
        decided = sum(finding.id in self.review.state.decisions for finding in self.review.findings)
        return f"{decided} of {len(self.review.findings)} decided"

    def observe(self, target: Target) -> None:
        """Goes to the run screen and observes `target`."""
        self.target = target
        self.repository = target.repository
        if self.current_mode != "run":
            self.remove_mode("run")
            self.add_mode("run", self.MODES["run"])
        self.switch_mode("run")

    def open_review(self, review: Review, repository: Path | None = None) -> None:
        """Makes `review` the one that the screens show, and goes to where it was left."""
        for mode in REVIEW_MODES:
            if mode != self.current_mode:
                self.remove_mode(mode)
                self.add_mode(mode, self.MODES[mode])
        self.review = review
        self._adopt(review)
        self.repository = repository or self._repository_of(review)
        presence = self.state.presence(review.folder.id)
        self.remember_place()
        self.switch_mode(presence.screen if presence and presence.screen in REVIEW_MODES else "walk")

    def _repository_of(self, review: Review) -> Path | None:
        """Where the repository of that review lay on this machine when it was last worked on."""
        presence = self.state.presence(review.folder.id)
        return Path(presence.repository) if presence and presence.repository else None

    def _adopt(self, review: Review) -> None:
        from tui.words import target_words

        self._target_words = target_words(review.evidence)
        self._seen = review.state

    def remember_place(self, finding: str | None = None, screen: str | None = None) -> None:
        """Keeps where the review was left, so that it opens there again."""
        if self.review is None:
            return
        known = self.state.presence(self.review.folder.id) or Presence()
        self.state.remember_presence(
            self.review.folder.id,
            Presence(
                known.finding if finding is None else finding,
                known.screen if screen is None else screen,
                str(self.repository.absolute()) if self.repository else known.repository,
            ),
        )

    def review_changed(self) -> None:
        """A decision or answer was recorded: the screen in front shows it; the others do when they come to the front."""
        from tui.screens.base import SurveyScreen

        screen = self.screen
        if isinstance(screen, SurveyScreen) and screen.is_ready:
            screen.show_bars()
            screen.refresh_content()

    def _look_for_others(self) -> None:
        """Shows what was decided in another terminal on the same review."""
        if self.review is None:
            return
        try:
            state = self.review.state
        except StoreError as error:
            self.tell(f"{error}. {error.hint}", title="The review cannot be read", severity="error")
            return
        if state is not self._seen:
            self._seen = state
            self.review_changed()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "go":
            mode = parameters[0]
            if mode in REVIEW_MODES and self.review is None:
                return False
            return mode != self.current_mode and not self.is_running
        return super().check_action(action, parameters)

    @property
    def is_running(self) -> bool:
        """Whether a target is being observed just now."""
        return self.running is not None and self.running.is_alive()

    def action_go(self, mode: str) -> None:
        if mode in REVIEW_MODES:
            self.remember_place(screen=mode)
        self.switch_mode(mode)

    def action_switch_theme(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name
        self.state.remember_theme(self.theme)

    def action_help(self) -> None:
        from tui.screens.help import Help

        def run(action: Action | None) -> None:
            if action is not None:
                self.run_worker(self.perform(action), name="perform")

        self.push_screen(Help(self.choices()), run)

    def show_finding(self, finding: str) -> None:
        """Goes to that finding in the walk."""
        self.remember_place(finding, "walk")
        self.switch_mode("walk")
        self.call_after_refresh(self._find_in_walk, finding)

    def _find_in_walk(self, finding: str) -> None:
        from tui.screens.walk import Walk

        if isinstance(self.screen, Walk):
            self.screen.show_finding(finding)

    def choices(self, screen: Screen[Any] | None = None) -> list[Choice]:
        """Everything that can be done on that screen (by default the one in front), what belongs to it first."""
        from tui.screens.base import SurveyScreen
        from tui.screens.help import Choice

        found: list[Choice] = []
        screen = screen or self.screen
        if isinstance(screen, SurveyScreen):
            found += [Choice("here", action, screen.is_possible(action)) for action in ACTIONS[screen.NAME]]
        found += [Choice("pgsurveyor", action, self._is_possible(action)) for action in ACTIONS["app"]]
        focused = screen.focused
        scope = {"RowList": "rows", "Document": "document"}.get(type(focused).__name__)
        if scope:
            found += [Choice("keyboard", action, True) for action in ACTIONS[scope]]
        return found

    def _is_possible(self, action: Action) -> bool:
        if action.run.startswith("go("):
            return self.check_action("go", (action.run[4:-2],)) is True
        return action.run != "help"

    async def perform(self, action: Action) -> None:
        """Runs an action of the registry where it belongs: on the focused widget, the screen, or here."""
        for node, scope in self._scopes():
            if action in ACTIONS.get(scope, ()):
                await node.run_action(action.run)
                return

    def _scopes(self) -> list[tuple[Any, str]]:
        focused = self.screen.focused
        nodes: list[tuple[Any, str]] = [(self.screen, getattr(self.screen, "NAME", "")), (self, "app")]
        if focused is not None:
            nodes.append((focused, {"RowList": "rows", "Document": "document"}.get(type(focused).__name__, "")))
        return nodes

    async def action_leave(self) -> None:
        await self.action_quit()

    async def action_quit(self) -> None:
        """Ends at once. A run is asked to stop and not waited for longer than half a second."""
        self.cancelled.set()
        if self.running is not None:
            self.running.join(PATIENCE_S)
        self.exit()

    def tell(self, message: str, *, title: str = "", severity: str = "information") -> None:
        tell(self, message, title=title, severity=severity)
