"""The terminal program. It imports what the first screen needs; everything else comes when it is wanted."""

from __future__ import annotations

import datetime as dt
import subprocess
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App, SuspendNotSupported
from textual.command import Provider
from textual.screen import ModalScreen, Screen

from tui import garbage, hangup, text
from tui.actions import Action, bindings
from tui.company import Seat
from tui.keymap import NAME as KEYMAP
from tui.keymap import overrides, read_keymap
from tui.look import DARK, LIGHT, THEMES
from tui.paired import OTHERS_S, Paired
from tui.state import Presence, State
from tui.widgets.rows import RowList

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from checks.checklist import Selection
    from checks.errors import ReviewError
    from checks.evidence.observe import Target
    from checks.model import Location
    from scorecards.effects import Effects
    from scorecards.session import Review
    from tui.links import Links, Thing
    from tui.screens.help import Choice

REVIEW_MODES = ("walk", "browse", "questions", "scorecard", "agenda", "export")
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


class SurveyorApp(Paired):
    """`start` is the first screen: by default run for a target, walk for a review, else connect. A target that starts with
    walk is observed first, and its findings open by themselves unless there is a problem to read of.

    `state` is the folder of what is remembered between runs, `reviews` the one of the reviews, `configuration` the one of the
    reviewer's own pgsurveyor.toml and keymap.toml, `cache` the one of what can be worked out again; by default where the
    platform puts them. `clock` gives the present in UTC. `follow`: the screen goes where the driver's goes. `presenting`: as
    presenter mode has it from the start. `came_from` is the page of the review that was left last for one that belongs to none.
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
        self._links: tuple[Review | None, Links | None] = (None, None)
        self._effects: tuple[Any, Effects | None] = (None, None)
        self._back: list[tuple[str, str]] = []
        self._wanted_place = ("", "")
        self.came_from = "walk"
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
        """Where the repository of that review lay on this machine when it was last worked on."""
        presence = self.state.presence(review.folder.id)
        return Path(presence.repository) if presence and presence.repository else None

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
    def links(self) -> Links:
        """What belongs together in this review."""
        from tui.links import Links

        assert self.review is not None
        if self._links[0] is not self.review or self._links[1] is None:
            self._links = (self.review, Links(self.review.evidence, self.review.entries))
        assert self._links[1] is not None
        return self._links[1]

    @property
    def effects(self) -> Effects:
        """What fixing something would change, with the answers that there are now."""
        known = self.known_effects
        if known is None:
            known = self._make_effects()
            self._effects = (self._effects_key(), known)
        return known

    @property
    def known_effects(self) -> Effects | None:
        """The same if it has been worked out already, which takes a moment in a long review."""
        return self._effects[1] if self._effects[0] == self._effects_key() else None

    def prepare_effects(self, receiver: MessagePump) -> None:
        """Works them out beside the screen; `receiver` gets Finished of that name when they are there."""
        from tui.background import start

        key = self._effects_key()

        def work() -> None:
            self._effects = (key, self._make_effects())

        start("effects", receiver, work)

    def _effects_key(self) -> Any:
        assert self.review is not None
        return (id(self.review), self.review.state.answers)

    def _make_effects(self) -> Effects:
        from scorecards.effects import Effects

        review = self.review
        assert review is not None
        return Effects(review.evidence, review.results, review.state.answers, review.evidence.observed_at.date())

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
        """Opens that place of the repository; where there is no terminal to give away, says where it is."""
        from tui import editor

        words = f"{location.path}:{location.line}"
        path = editor.place(self.repository, location) if self.repository is not None else None
        command = editor.command(path, location.line) if path is not None else None
        if command is None:
            why = "no editor was found: set EDITOR" if path is not None else "its repository is not at hand"
            self.copy_to_clipboard(words)
            self.tell(f"{words}\nCopied instead; {why}.", title="Not opened", severity="warning")
            return
        try:
            with self.suspend():
                subprocess.run(command, check=False)
        except SuspendNotSupported:
            self.copy_to_clipboard(words)
            self.tell(f"{words}\nCopied instead; this terminal cannot be given away.", title="Not opened")
        except OSError as error:
            self.tell(f"{command[0]} could not be started: {error.strerror}", severity="error")
        self.refresh()

    # Places

    @property
    def place(self) -> tuple[str, str]:
        from tui.screens.base import SurveyScreen

        screens = [screen for screen in self.screen_stack if isinstance(screen, SurveyScreen)]
        return (self.current_mode, screens[-1].place if screens and screens[-1].is_ready else "")

    def show_place(self, screen: str, place: str) -> None:
        """Goes to that screen of the review, and to the place on it."""
        from tui.screens.base import SurveyScreen

        if screen not in REVIEW_MODES or self.review is None or self.is_running:
            return
        if self.current_mode == screen and isinstance(self.screen, SurveyScreen) and screen == self.screen.NAME:
            self.screen.go_to(place)
            return
        self._wanted_place = (screen, place)
        self.switch_mode(screen)

    def take_wanted_place(self, screen: str) -> str:
        """Where a screen that has just come to the front is to go; asked once."""
        wanted, self._wanted_place = self._wanted_place, ("", "")
        return wanted[1] if wanted[0] == screen else ""

    def show_thing(self, thing: Thing) -> None:
        """Goes to a finding in the walk, or to anything else where one browses; `action_go_back` returns."""
        self._back.append(self.place)
        if thing.kind == "finding":
            self.show_finding(thing.key[0])
        else:
            self.remember_place(screen="browse")
            self.show_place("browse", "\x1f".join((thing.kind, *thing.key)))

    def choose_link(self, thing: Thing) -> None:
        """Lists what belongs to that thing, to go there."""
        from tui.screens.linking import linked
        from tui.screens.pick import Pick

        options = linked(self.links, thing)

        def go(chosen: Thing | None) -> None:
            if chosen is not None:
                self.show_thing(chosen)

        if options:
            self.push_screen(Pick("Go to", options), go)
        else:
            self._say("nothing else belongs to it")

    @property
    def can_go_back(self) -> bool:
        return bool(self._back)

    def action_go_back(self) -> None:
        """To where one came from by a link."""
        if self._back:
            self.show_place(*self._back.pop())

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
        if action in {"jump", "explain"}:
            return not isinstance(self.screen, ModalScreen)
        if action in {"follow", "swap_roles", "who"}:
            return self.review is not None
        return super().check_action(action, parameters)

    @property
    def is_running(self) -> bool:
        """Whether a target is being observed just now."""
        return self.running is not None and self.running.is_alive()

    def action_go(self, mode: str) -> None:
        if mode in REVIEW_MODES:
            self.remember_place(screen=mode)
        elif self.current_mode in REVIEW_MODES:
            self.came_from = self.current_mode
        self.switch_mode(mode)

    def action_switch_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else DARK.name
        self.state.remember_theme(self.theme)
        self._say(f"theme: {self.theme.removeprefix('surveyor-').replace('-', ' ')}")

    def action_help(self) -> None:
        from tui.screens.help import Help

        def run(action: Action | None) -> None:
            if action is not None:
                self.run_worker(self.perform(action), name="perform")

        self.push_screen(Help(self.choices()), run)

    def action_jump(self) -> None:
        """Letters on all that can be gone to."""
        from tui.screens.jump import Jump, Spot, spots

        def go(spot: Spot | None) -> None:
            if spot is not None:
                spot.widget.focus()
                if spot.row is not None and isinstance(spot.widget, RowList):
                    spot.widget.cursor = spot.row

        if found := spots(self.screen):
            self.push_screen(Jump(found), go)

    def action_explain(self) -> None:
        """What the pane with the keyboard shows."""
        from tui.screens.explain import Explain, explanation

        self.push_screen(Explain(*explanation(self.screen)))

    def show_finding(self, finding: str) -> None:
        """Goes to that finding in the walk."""
        self.remember_place(finding, "walk")
        self.show_place("walk", finding)

    def choices(self, screen: Screen[Any] | None = None) -> list[Choice]:
        """Everything that can be done on that screen (by default the one in front), what belongs to it first."""
        from tui.screens.base import SurveyScreen
        from tui.screens.help import Choice

        found: list[Choice] = []
        screen = screen or self.screen
        if isinstance(screen, SurveyScreen):
            found += [Choice("here", action, screen.is_possible(action)) for action in self.actions[screen.NAME]]
        found += [Choice("pgsurveyor", action, self._is_possible(action)) for action in self.actions["app"]]
        focused = screen.focused
        scope = {"RowList": "rows", "Document": "document"}.get(type(focused).__name__)
        if scope:
            found += [Choice("keyboard", action, True) for action in self.actions[scope]]
        return found

    def _is_possible(self, action: Action) -> bool:
        if action.run.startswith("go("):
            return self.check_action("go", (action.run[4:-2],)) is True
        return action.run != "help" and self.check_action(action.run, ()) is True

    async def perform(self, action: Action) -> None:
        """Runs an action of the registry where it belongs: on the focused widget, the screen, or here."""
        for node, scope in self._scopes():
            if action in self.actions.get(scope, ()):
                await node.run_action(action.run)
                return

    def _scopes(self) -> list[tuple[Any, str]]:
        focused = self.screen.focused
        nodes: list[tuple[Any, str]] = [(self.screen, getattr(self.screen, "NAME", "")), (self, "app")]
        if focused is not None:
            nodes.append((focused, {"RowList": "rows", "Document": "document"}.get(type(focused).__name__, "")))
        return nodes

    def _print_error_renderables(self) -> None:
        """A defect is told in two lines: a traceback shows names and values of the target. With --debug it is shown whole."""
        if self.debug_wanted:
            super()._print_error_renderables()
        self._exit_renderables.clear()

    def _handle_exception(self, error: Exception) -> None:
        self.defect = error
        super()._handle_exception(error)

    async def action_leave(self) -> None:
        await self.action_quit()

    async def action_quit(self) -> None:
        """Ends at once. A run is asked to stop and not waited for longer than half a second."""
        self.cancelled.set()
        if self.company is not None:
            self.company.leave()
        if self.running is not None:
            self.running.join(PATIENCE_S)
        self.exit()

    def tell(self, message: str, *, title: str = "", severity: str = "information") -> None:
        text.tell(self, message, title=title, severity=severity)
