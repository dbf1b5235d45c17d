"""`?`: what can be done here, to search in and to run from."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.actions import Action, bindings, key_label
from tui.text import line
from tui.widgets.rows import RowList


class Choice:
    """An action, under whose heading it stands, and whether it makes sense now."""

    def __init__(self, heading: str, action: Action, possible: bool) -> None:
        self.heading = heading
        self.action = action
        self.possible = possible
        self.haystack = f"{heading} {action.title} {action.about} {action.keys}".lower()


class Help(ModalScreen[Action | None]):
    BINDINGS = bindings("help")

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._choices = tuple(choices)
        self._shown: list[Choice] = list(choices)

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Static(line(("What can be done here", "bold $strong")), id="help-title")
            yield Input(placeholder="search", id="help-search", compact=True)
            yield RowList(id="help-rows")
            yield Static(line(("Nothing here has these words.", "$muted")), id="help-nothing")
            yield Static(line(("enter", "bold $accent"), (" do it   ", "$muted"), ("esc", "bold $accent"),
                              (" close", "$muted")))  # fmt: skip

    def on_mount(self) -> None:
        self.query_one("#help-rows").can_focus = False
        self.query_one(Input).focus()
        self._search("")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def _search(self, text: str) -> None:
        words = text.lower().split()
        self._shown = [choice for choice in self._choices if all(word in choice.haystack for word in words)]
        self.query_one(RowList).show(len(self._shown), self._draw)
        self.set_class(not self._shown, "-nothing")

    def _draw(self, row: int, width: int) -> Content:
        choice = self._shown[row]
        keys = " ".join(key_label(key) for key in choice.action.keys.split())
        about = f"  {choice.action.about}" if choice.action.about and width > 60 else ""
        look = "$foreground" if choice.possible else "$faint"
        same = row > 0 and self._shown[row - 1].heading == choice.heading
        return line(
            (f"{'' if same else choice.heading:<11}", "$muted"),
            (f"{keys:>9}  ", "bold $accent" if choice.possible else "$faint"),
            (choice.action.title, look),
            (about, "$muted" if choice.possible else "$faint"),
        )

    def on_key(self, event: events.Key) -> None:
        """The list moves while the search has the keyboard."""
        moves = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10, "ctrl+n": 1}
        if event.key in moves:
            event.stop()
            self.query_one(RowList).cursor += moves[event.key]

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def _run(self) -> None:
        rows = self.query_one(RowList)
        if self._shown and self._shown[rows.cursor].possible:
            self.dismiss(self._shown[rows.cursor].action)

    def action_close(self) -> None:
        self.dismiss(None)
