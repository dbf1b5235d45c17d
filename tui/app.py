"""The terminal program. It imports what the first screen needs; everything else comes when it is wanted."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.command import Provider
from textual.screen import ModalScreen, Screen

from tui import garbage, hangup, text
from tui.actions import bindings
from tui.company import Seat
from tui.derived import Derived
from tui.doing import Doing
from tui.keymap import NAME as KEYMAP
from tui.keymap import overrides, read_keymap
from tui.look import DARK, LIGHT, THEMES
from tui.paired import OTHERS_S
from tui.state import Presence, State
from tui.travel import REVIEW_MODES

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from checks.checklist import Selection
    from checks.errors import ReviewError
    from checks.evidence.observe import Target
    from checks.model import Location
    from scorecards.session import Review
    from tui.links import Links

PATIENCE_S = 0.5
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


class SurveyorApp(Doing):
    """`start` is the first screen: by default run for a target, walk for a review, else connect. A target that starts with
    walk is observed first, and its findings open by themselves unless there is a problem to read of.

    `state` is the folder of what is remembered between runs, `reviews` the one of the reviews, `configuration` the one of the
    reviewer's own pgsurveyor.toml and keymap.toml, `cache` the one of what can be worked out again; by default where the
    platform puts them. `clock` gives the present in UTC. `follow`: the screen goes where the driver's goes. `presenting`: as
    presenter mode has it from the start.
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
        "browse": _screen("browse", "Browse"),
        "agenda": _screen("agenda", "AgendaPage"),
        "preflight": _screen("preflight", "Preflight"),
        "live": _screen("live", "Live"),
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
        seat: Seat | None = None,
        follow: bool = False,
        presenting: bool = False,
        start: str | None = None,
        selection: Selection | None = None,
        state: Path | None = None,
        reviews: Path | None = None,
        configuration: Path | None = None,
        cache: Path | None = None,
        clock: Callable[[], dt.datetime] = now,
    ) -> None:
        super().__init__(seat or Seat(user), follow)
        from platformdirs import user_config_path, user_state_path

        self.review = review
        self.target = target
        self.selection = selection
        self.state = State(state or user_state_path("pgsurveyor"))
        self.reviews_folder = reviews
        self.configuration_folder = configuration or user_config_path("pgsurveyor")
        self.cache_folder = cache
        self._clock = clock
        self.repository: Path | None = target.repository if target else None
        self.cancelled = threading.Event()
        self.running: threading.Thread | None = None
        self.problems: tuple[ReviewError, ...] = ()
        self._start = start or ("run" if target else "walk" if review else "connect")
        self.walks_at_once = start == "walk"
        self._target_words = ""
        self.presenting = presenting
        self.debug_wanted = False
        self.defect: Exception | None = None
        self._derived: Derived | None = None
        self.actions, self._complaints = read_keymap(self.configuration_folder / KEYMAP)
        for theme in THEMES:
            self.register_theme(theme)
        remembered = self.state.comfort().theme
        known = remembered if remembered in {theme.name for theme in THEMES} else DARK.name
        self.set_reactive(App.theme, LIGHT.name if presenting else known)
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_keymap(overrides(self.actions))

    def on_mount(self) -> None:
        self.set_interval(OTHERS_S, self.look_for_others)
        self.set_interval(hangup.LOOK_EVERY_S, self._leave_with_the_terminal)
        self.set_interval(garbage.LOOK_EVERY_S, garbage.set_aside)
        text.wear(None)
        if self.review is not None:
            self._adopt(self.review)
            self.repository = self.repository or self._repository_of(self.review)
        self.switch_mode("run" if self.target and self.walks_at_once else self._start)
        for words in self._complaints[:3]:
            self.tell(words, title="Your keymap", severity="warning")

    @property
    def clock(self) -> Callable[[], dt.datetime]:
        return self._clock

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
        return f"{self.review.decided:,} of {len(self.review.findings):,} decided"

    def look_ahead(self, target: Target) -> None:
        """Goes to the preflight of `target`."""
        self.target = target
        self.repository = target.repository
        if self.current_mode != "preflight":
            self.remove_mode("preflight")
            self.add_mode("preflight", self.MODES["preflight"])
        self.switch_mode("preflight")

    def observe(self, target: Target) -> None:
        """Goes to the run screen and observes `target`."""
        self.target = target
        self.repository = target.repository
        self._forget_watching()
        if self.current_mode != "run":
            self.remove_mode("run")
            self.add_mode("run", self.MODES["run"])
        self.switch_mode("run")

    def _forget_watching(self) -> None:
        """What was sampled is of another server."""
        if self.current_mode != "live":
            self.remove_mode("live")
            self.add_mode("live", self.MODES["live"])

    def open_review(self, review: Review, repository: Path | None = None) -> None:
        """Makes `review` the one that the screens show, and goes to where it was left."""
        garbage.take_back()
        for mode in REVIEW_MODES:
            if mode != self.current_mode:
                self.remove_mode(mode)
                self.add_mode(mode, self.MODES[mode])
        self.review = review
        self._back.clear()
        self._adopt(review)
        self.repository = repository or self._repository_of(review)
        presence = self.state.presence(review.folder.id)
        self.remember_place()
        self.switch_mode(presence.screen if presence and presence.screen in REVIEW_MODES else "walk")

    def _repository_of(self, review: Review) -> Path | None:
        """Where the repository of that review lies on this machine: where it lay when it was last worked on, else around the
        review or the current folder."""
        from tui.excerpts import repository_at_hand

        presence = self.state.presence(review.folder.id)
        if presence and presence.repository and Path(presence.repository).is_dir():
            return Path(presence.repository)
        with contextlib.suppress(OSError):
            return repository_at_hand(review.evidence, review.folder.path.absolute(), Path.cwd())
        return None

    def _adopt(self, review: Review) -> None:
        from tui.words import target_words

        self._target_words = target_words(review.evidence)
        self.adopt_company(review)
        self._wear_mask()

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

        screen = self.screen if self.has_screen else None
        if isinstance(screen, SurveyScreen) and screen.is_ready:
            screen.show_bars()
            screen.refresh_content()

    @property
    def derived(self) -> Derived:
        """What is worked out of the review that is open."""
        assert self.review is not None
        if self._derived is None or self._derived.review is not self.review:
            self._derived = Derived(self.review)
        return self._derived

    @property
    def links(self) -> Links:
        return self.derived.links

    @property
    def target_arguments(self) -> tuple[str, ...]:
        """The target as words of a command line, without a password; words to fill in where it is not known."""
        from tui import targets

        if self.target is not None:
            return targets.arguments(self.target)
        return ("DSN", str(self.repository)) if self.repository else ("DSN", "REPO")

    def copy(self, what: str, words: str) -> None:
        """To the terminal's clipboard, and into a file for terminals that refuse."""
        from checks.text import visible

        kept = visible(words, None)
        self.copy_to_clipboard(kept)
        path = self.state.keep_copy(kept)
        where = f" It is also in {path}." if path else ""
        self.tell(f"{what}: sent to the terminal's clipboard (OSC 52).{where}", title="Copied")

    def open_in_editor(self, location: Location) -> None:
        """Opens that place of the repository, or says where it is."""
        from tui import editor

        editor.open_in_editor(self, location)

    def action_picture(self) -> None:
        """Saves the screen as SVG where the program was started."""
        name = f"pgsurveyor-{self.current_mode}-{self.clock():%Y%m%dT%H%M%S}.svg"
        try:
            path = self.save_screenshot(name, path=str(Path.cwd()))
        except OSError as error:
            self.tell(f"{name} cannot be written: {error.strerror}", title="No picture", severity="error")
            return
        self.tell(path, title="Saved")

    # Presenting

    def action_present(self) -> None:
        self.presenting = not self.presenting
        self.theme = LIGHT.name if self.presenting else self.state.comfort().theme or DARK.name
        self._wear_mask()
        self.review_changed()
        self._say("presenter mode: names are masked" if self.presenting else "presenter mode is over")

    def _wear_mask(self) -> None:
        from tui.masking import Mask, names_of

        if not self.presenting or self.review is None:
            text.wear(None)
            return
        people = {event.by for event in self.review.folder.events()} | {self.seat.name, self.seat.partner}
        text.wear(Mask(names_of(self.review.evidence, sorted(people))))

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "go":
            mode = parameters[0]
            if mode in {*REVIEW_MODES, "live"} and self.review is None:
                return False
            return mode != self.current_mode and not self.is_running
        if action == "suspend":
            return not self.is_web and not self.is_headless and hangup.has_shell()
        if action in {"jump", "explain"}:
            return not isinstance(self.screen, ModalScreen)
        if action in {"follow", "swap_roles", "who"}:
            return self.review is not None
        return super().check_action(action, parameters)

    @property
    def is_running(self) -> bool:
        """Whether a target is being observed just now."""
        return self.running is not None and self.running.is_alive()

    def action_switch_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else DARK.name
        self.state.remember_theme(self.theme)
        self._say(f"theme: {self.theme.removeprefix('surveyor-').replace('-', ' ')}")

    def _print_error_renderables(self) -> None:
        """A defect is told in two lines: a traceback shows names and values of the target. With --debug it is shown whole."""
        if self.debug_wanted:
            super()._print_error_renderables()
        self._exit_renderables.clear()

    def _handle_exception(self, error: Exception) -> None:
        self.defect = error
        super()._handle_exception(error)

    def action_suspend(self) -> None:
        """Back to the shell, with all that was started together with it."""
        os.killpg(0, signal.SIGTSTP)

    def on_driver_signal_resume(self) -> None:
        """The shell has given the terminal back, without what stood on it."""
        self.refresh()

    def action_help_quit(self) -> None:
        """ctrl+c, which people try first."""
        self._say(
            "q quits; everything is saved" if not self.is_running else "c cancels and keeps what there is; q quits"
        )

    async def action_leave(self) -> None:
        await self.action_quit()

    async def action_quit(self) -> None:
        """Ends at once. A run is asked to stop and not waited for longer than half a second."""
        self.cancelled.set()
        if self.running is not None:
            self.running.join(PATIENCE_S)
        self.exit()

    def tell(self, message: str, *, title: str = "", severity: SeverityLevel = "information") -> None:
        text.tell(self, message, title=title, severity=severity)
