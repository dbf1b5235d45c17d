"""What all screens of the program have in common: the two bars, the size message, and actions that know if they make sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from checks.errors import ReviewError
from tui.actions import MAXIMUM_SHOWN, Action
from tui.widgets.bars import HeaderBar, KeyBar, TooSmall
from tui.widgets.rows import RowList

if TYPE_CHECKING:
    from tui.app import SurveyorApp


class SurveyScreen(Screen[None]):
    """A screen with the header above and the key bar below. `NAME` is its mode and its scope in the registry."""

    NAME: ClassVar[str] = ""
    AUTO_FOCUS = ""

    @property
    def surveyor(self) -> SurveyorApp:
        return cast("SurveyorApp", self.app)

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield from self.compose_body()
        yield KeyBar()
        yield TooSmall()

    def compose_body(self) -> ComposeResult:
        """The widgets between the bars."""
        yield from ()

    @property
    def is_ready(self) -> bool:
        """Whether its widgets are there."""
        return bool(self.query(TooSmall)) and self.is_mounted

    @property
    def place(self) -> str:
        """Where the cursor is, in words that `go_to` of the same screen understands, also in another terminal."""
        return ""

    def go_to(self, place: str) -> None:
        """Moves the cursor there. What is not known here is no error: another terminal may be of another version."""

    def on_screen_resume(self) -> None:
        self.show_bars()
        self.refresh_content()
        if place := self.surveyor.take_wanted_place(self.NAME):
            self.go_to(place)

    def refresh_content(self) -> None:
        """Called when the screen comes to the front and when the review has changed."""

    def on_descendant_focus(self) -> None:
        self.show_keys()

    def show_keys(self) -> None:
        self.query_one(KeyBar).actions = self.shown_actions()

    def show_bars(self) -> None:
        header = self.query_one(HeaderBar)
        surveyor = self.surveyor
        header.target = surveyor.target_words
        header.current = self.NAME
        header.tabs = surveyor.review is not None and self.NAME not in {"connect", "preflight", "run"}
        header.progress = surveyor.progress_words if header.tabs else ""
        header.company = surveyor.company_words if header.tabs else ()
        self.set_class(surveyor.presenting, "-presenting")
        for rows in self.query(RowList):
            rows.space_out(2 if surveyor.presenting else 1)
        self.show_keys()

    def shown_actions(self) -> tuple[Action, ...]:
        """What the key bar shows now: of this screen, then of the program, at most six."""
        if isinstance(self.focused, Input):
            return self.surveyor.actions["field"]
        own = [action for action in self.surveyor.actions[self.NAME] if action.shown and self.is_possible(action)]
        if self.has_class("-zoomed"):
            own[:0] = [
                replace(action, short="list") for action in self.surveyor.actions[self.NAME] if action.run == "back"
            ]
        common = [action for action in self.surveyor.actions["app"] if action.shown]
        kept = own[: MAXIMUM_SHOWN - 1]
        return (*kept, *common[: MAXIMUM_SHOWN - len(kept)])

    def is_possible(self, action: Action) -> bool:
        """Whether that action of this screen makes sense now."""
        name, _, rest = action.run.partition("(")
        arguments = (rest.rstrip(")").strip("'"),) if rest else ()
        return self.check_action(name, arguments) is True

    def on_key(self, event: events.Key) -> None:
        """A key comes here when nothing took it: what it would do elsewhere is said, so that no key is silently dead."""
        if isinstance(self.focused, Input):
            return
        for action in self.surveyor.actions[self.NAME]:
            if {event.key, event.character} & set(action.keys.split()) and not self.is_possible(action):
                self.say(f"not here just now: {action.title.lower()}", 3)

    def attempt(self, act: Callable[[], Any]) -> Any:
        """What `act` gives. A ReviewError, as when the disk is full, is told and gives None: nothing was recorded."""
        try:
            return act()
        except ReviewError as error:
            self.surveyor.tell(f"{error}. {error.hint}", title="Not recorded", severity="error")
            return None

    def say(self, words: str, seconds: float = 5) -> None:
        """A short word in the header that goes away by itself."""
        header = self.query_one(HeaderBar)
        header.said = words
        self.set_timer(seconds, lambda: self._unsay(words), name="said")

    def _unsay(self, words: str) -> None:
        header = self.query_one(HeaderBar)
        if header.said == words:
            header.said = ""
