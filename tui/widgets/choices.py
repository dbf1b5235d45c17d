"""A line of numbered choices, as `1 tables 47  2 indexes 90`: each is chosen by its digit, or by the mouse."""

from __future__ import annotations

import re

from textual import events
from textual.content import Content
from textual.widgets import Static

from tui.text import line

_CHOICE = re.compile(r"(\d) [a-z]+(?: (?:[\d,]+|\.\.\.)(?! [a-z]))?")


class ChoiceBar(Static):
    """A click does `action` of the screen, with the digit."""

    ALLOW_SELECT = False

    def __init__(self, action: str, *, id: str) -> None:
        super().__init__(Content(""), id=id)
        self._action = action
        self._shown = ""

    def show(self, content: Content) -> None:
        self._shown = content.plain
        self.update(line(content), layout=False)

    async def on_click(self, event: events.Click) -> None:
        for choice in _CHOICE.finditer(self._shown):
            if choice.start() <= event.x < choice.end():
                await self.screen.run_action(f"{self._action}({choice[1]})")
