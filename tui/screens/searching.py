"""A list over the screen that is searched by typing, and from which one thing is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.text import Part, line
from tui.widgets.rows import RowList

MOVES = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10, "ctrl+n": 1, "ctrl+d": 10, "ctrl+u": -10}


class Found(Protocol):
    """What can be found: `haystack` are the words that it is found by, in small letters."""

    @property
    def haystack(self) -> str: ...


Thing = TypeVar("Thing", bound=Found)


class Searching(ModalScreen[Any], Generic[Thing]):
    """`act` says in the foot what enter does. Subclasses say how a thing is drawn and what it gives."""

    def __init__(self, title: str, things: Sequence[Thing], act: str) -> None:
        super().__init__()
        self._title = title
        self._act = act
        self._things = tuple(things)
        self.shown: list[Thing] = list(things)

    def draw(self, row: int, width: int) -> Content:
        """That row of `shown`."""
        raise NotImplementedError

    def take(self, thing: Thing) -> None:
        """It was chosen."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        keys: list[Part] = []
        for key, words in (("enter", self._act), ("↑ ↓", "choose"), ("esc", "close")):
            keys += [(key, "bold $accent"), (f" {words}   ", "$muted")]
        with Vertical(id="help"):
            yield Static(line((self._title, "bold $strong")), id="help-title")
            yield Input(placeholder="search", id="help-search", compact=True)
            yield RowList(id="help-rows")
            yield Static(line(("Nothing here has these words.", "$muted")), id="help-nothing")
            yield Static(line(*keys))

    def on_mount(self) -> None:
        self.query_one("#help-rows").can_focus = False
        self.query_one(Input).focus()
        self._search("")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def _search(self, text: str) -> None:
        words = text.lower().split()
        self.shown = [thing for thing in self._things if all(word in thing.haystack for word in words)]
        self.query_one(RowList).show(len(self.shown), self.draw)
        self.set_class(not self.shown, "-nothing")

    def on_key(self, event: events.Key) -> None:
        """The list moves while the search has the keyboard."""
        if event.key in MOVES:
            event.stop()
            event.prevent_default()
            self.query_one(RowList).cursor += MOVES[event.key]

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def _take(self) -> None:
        if self.shown:
            self.take(self.shown[self.query_one(RowList).cursor])

    def action_close(self) -> None:
        self.dismiss(None)
