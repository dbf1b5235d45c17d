"""One finding, to read while the rest is still being looked at."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from checks.model import Finding
from tui.actions import bindings
from tui.widgets.detail import Surroundings, detail
from tui.widgets.document import Document


class Preview(ModalScreen[None]):
    """Gives nothing."""

    BINDINGS = bindings("pick")

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self._finding = finding

    def compose(self) -> ComposeResult:
        with Vertical(id="finding"):
            yield Document(id="finding-text")

    def on_mount(self) -> None:
        page = self.query_one(Document)
        page.focus()
        self.call_after_refresh(lambda: page.show(detail(self._finding, Surroundings(), page.room)))

    def action_close(self) -> None:
        self.dismiss(None)
