"""Jump mode: a letter on everything one can go to, and one key goes there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.actions import bindings
from tui.text import line
from tui.widgets.rows import RowList

LETTERS = "asdfghjklqwertyuiopzxcvbnmASDFGHJKLQWERTYUIOPZXCVBNM"


class Spot(NamedTuple):
    """A widget, or one row of a list, and where its letter stands on the screen."""

    widget: Widget
    x: int
    y: int
    row: int | None = None


def spots(screen: Screen[object]) -> list[Spot]:
    """The rows that can be seen, then what else can have the keyboard; no more than there are letters."""
    panes = [widget for widget in screen.focus_chain if widget.region.area]
    rows = [spot for pane in panes if isinstance(pane, RowList) for spot in _rows(pane)]
    others = [
        Spot(pane, pane.content_region.x, pane.content_region.y) for pane in panes if not isinstance(pane, RowList)
    ]
    kept = rows[: len(LETTERS) - len(others)]
    return [*others, *kept]


def _rows(pane: RowList) -> Iterator[Spot]:
    for row, y in pane.rows_in_sight():
        yield Spot(pane, pane.content_region.x, pane.content_region.y + y, row)


class Jump(ModalScreen[Spot | None]):
    """Gives the spot that was chosen; any other key leaves."""

    BINDINGS = bindings("jump")

    def __init__(self, found: list[Spot]) -> None:
        super().__init__()
        self._spots = dict(zip(LETTERS, found, strict=False))

    def compose(self) -> ComposeResult:
        for letter, spot in self._spots.items():
            label = Static(line((letter, "bold")), classes="jump")
            label.styles.offset = (spot.x, spot.y)
            yield label
        yield Static(line((" a letter goes there   ", "$foreground"), ("esc", "bold $accent"), (" stays here", "$muted")),
                     id="jump-foot")  # fmt: skip

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(self._spots.get(event.character or ""))

    def action_close(self) -> None:
        self.dismiss(None)
