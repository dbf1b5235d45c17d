"""A question with two answers."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import bindings
from tui.text import block, line


class Confirm(ModalScreen[bool]):
    BINDINGS = bindings("confirm")

    def __init__(self, title: str, about: str) -> None:
        super().__init__()
        self._title = title
        self._about = about

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Static(line((self._title, "bold $strong")), id="form-title")
            yield Static(block(self._about), id="form-about")
            yield Static(line(("y", "bold $accent"), (" yes   ", "$muted"), ("n", "bold $accent"), (" no", "$muted")))

    def action_answer(self, yes: str) -> None:
        self.dismiss(yes == "yes")
