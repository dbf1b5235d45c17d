"""The field above a list that narrows it while one types."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.timer import Timer
from textual.widgets import Input

PAUSE_S = 0.05


def _nothing() -> None:
    return


class FilterField(Input):
    """Hidden while it is empty and nobody types. `narrow` is called when typing pauses and at enter, `done` when the list gets
    the keyboard back."""

    def __init__(self, placeholder: str, *, id: str) -> None:
        super().__init__(placeholder=placeholder, compact=True, id=id, classes="filter-field")
        self.narrow: Callable[[], object] = _nothing
        self.done: Callable[[], object] = _nothing
        self._pause: Timer | None = None

    @property
    def is_open(self) -> bool:
        return self.display

    def open(self) -> None:
        self.display = True
        self.focus()

    def close(self) -> None:
        """Empties and hides it. Whoever closes it shows the list anew."""
        self._settle()
        with self.prevent(Input.Changed):
            self.value = ""
        self.display = False

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._settle()
        self._pause = self.set_timer(PAUSE_S, self._narrow)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if self._pause is not None:
            self._narrow()
        self.display = bool(self.value.strip())
        self.done()

    def _narrow(self) -> None:
        self._settle()
        self.narrow()

    def _settle(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause = None
