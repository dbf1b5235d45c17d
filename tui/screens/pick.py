"""A list to search and to choose one thing from: where to go, what to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.actions import bindings
from tui.text import Part, line
from tui.widgets.rows import RowList

HEADING = 11
MOVES = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10, "ctrl+n": 1, "ctrl+d": 10, "ctrl+u": -10}


class Entry:
    """One thing to choose: under which heading, its words, a remark behind them, and what choosing it gives. `also` are words by
    which it is found."""

    def __init__(self, heading: str, words: Part, about: str, value: Any, also: str = "") -> None:
        self.heading = heading
        self.words = line(words)
        self.about = about
        self.value = value
        self.haystack = f"{heading} {self.words.plain} {about} {also}".lower()


class Pick(ModalScreen[Any]):
    """Gives the value of the option chosen, None if it was left."""

    BINDINGS = bindings("pick")

    def __init__(self, title: str, options: Sequence[Entry], act: str = "go there") -> None:
        super().__init__()
        self._title = title
        self._act = act
        self._options = tuple(options)
        self._shown: list[Entry] = list(options)
        self._margin = HEADING if any(option.heading for option in options) else 0

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Static(line((self._title, "bold $strong")), id="help-title")
            yield Input(placeholder="search", id="help-search", compact=True)
            yield RowList(id="help-rows")
            yield Static(line(("Nothing here has these words.", "$muted")), id="help-nothing")
            yield Static(line(("enter", "bold $accent"), (f" {self._act}   ", "$muted"), ("↑ ↓", "bold $accent"),
                              (" choose   ", "$muted"), ("esc", "bold $accent"), (" close", "$muted")))  # fmt: skip

    def on_mount(self) -> None:
        self.query_one("#help-rows").can_focus = False
        self.query_one(Input).focus()
        self._search("")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def _search(self, text: str) -> None:
        words = text.lower().split()
        self._shown = [option for option in self._options if all(word in option.haystack for word in words)]
        self.query_one(RowList).show(len(self._shown), self._draw)
        self.set_class(not self._shown, "-nothing")

    def _draw(self, row: int, width: int) -> Content:
        option = self._shown[row]
        same = row > 0 and self._shown[row - 1].heading == option.heading
        about = line((option.about, "$muted"), " ")
        left = line((f"{'' if same else option.heading:<{self._margin}}", "$muted"), option.words)
        room = max(12, width - about.cell_length - 2)
        kept = left.truncate(room, ellipsis=True)
        return line(kept, " " * (room - kept.cell_length + 1), about)

    def on_key(self, event: events.Key) -> None:
        """The list moves while the search has the keyboard."""
        if event.key in MOVES:
            event.stop()
            event.prevent_default()
            self.query_one(RowList).cursor += MOVES[event.key]

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def _take(self) -> None:
        if self._shown:
            self.dismiss(self._shown[self.query_one(RowList).cursor].value)

    def action_close(self) -> None:
        self.dismiss(None)
