"""A list to search and to choose one thing from: where to go, what to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.content import Content

from tui.actions import bindings
from tui.screens.searching import Searching
from tui.text import Part, line

HEADING = 11


class Entry:
    """One thing to choose: under which heading, its words, a remark behind them, and what choosing it gives. `also` are words by
    which it is found."""

    def __init__(self, heading: str, words: Part, about: str, value: Any, also: str = "") -> None:
        self.heading = heading
        self.words = line(words)
        self.about = about
        self.value = value
        self.haystack = f"{heading} {self.words.plain} {about} {also}".lower()


class Pick(Searching[Entry]):
    """Gives the value of the option chosen, None if it was left."""

    BINDINGS = bindings("pick")

    def __init__(self, title: str, options: Sequence[Entry], act: str = "go there") -> None:
        super().__init__(title, options, act)
        self._margin = HEADING if any(option.heading for option in options) else 0

    def draw(self, row: int, width: int) -> Content:
        option = self.shown[row]
        same = row > 0 and self.shown[row - 1].heading == option.heading
        about = line((option.about, "$muted"), " ")
        left = line((f"{'' if same else option.heading:<{self._margin}}", "$muted"), option.words)
        room = max(12, width - about.cell_length - 2)
        kept = left.truncate(room, ellipsis=True)
        return line(kept, " " * (room - kept.cell_length + 1), about)

    def take(self, thing: Entry) -> None:
        self.dismiss(thing.value)
