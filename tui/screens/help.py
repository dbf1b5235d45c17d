"""`?`: what can be done here, to search in and to run from."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from tui.actions import Action, bindings, key_label
from tui.screens.searching import Searching
from tui.text import line

WIDE = 60


class Choice:
    """An action, under whose heading it stands, and whether it makes sense now."""

    def __init__(self, heading: str, action: Action, possible: bool) -> None:
        self.heading = heading
        self.action = action
        self.possible = possible
        self.haystack = f"{heading} {action.title} {action.about} {action.keys}".lower()


class Help(Searching[Choice]):
    """Gives the action to run, None if it was left."""

    BINDINGS = bindings("help")

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__("What can be done here", choices, "do it")

    def draw(self, row: int, width: int) -> Content:
        choice = self.shown[row]
        keys = " ".join(key_label(key) for key in choice.action.keys.split())
        about = f"  {choice.action.about}" if choice.action.about and width > WIDE else ""
        look = "$foreground" if choice.possible else "$faint"
        same = row > 0 and self.shown[row - 1].heading == choice.heading
        return line(
            (f"{'' if same else choice.heading:<11}", "$muted"),
            (f"{keys:>9}  ", "bold $accent" if choice.possible else "$faint"),
            (choice.action.title, look),
            (about, "$muted" if choice.possible else "$faint"),
        )

    def take(self, thing: Choice) -> None:
        if thing.possible:
            self.dismiss(thing.action)
