"""Whether a statement may be run once (--analyze): what it is, its values to change, and three answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from checks.evidence.consent import Answer, Ask, Proposal
from checks.text import visible_line
from tui.actions import bindings
from tui.approval import NO, NO_MORE, SHOWN_AT_MOST, about
from tui.text import block, line, prose

_LOOK_S = 0.1
_KEYS = (("y", "run it once"), ("n", "not this one"), ("x", "no more"), ("tab", "values"))


class Asking(Message):
    """A thread waits for the answer about a statement."""

    def __init__(self, proposal: Proposal, reply: Callable[[Answer], None]) -> None:
        super().__init__()
        self.proposal = proposal
        self.reply = reply


def asker(report: Callable[[Message], None], cancelled: threading.Event) -> Ask:
    """Asks by a message, from a thread, and waits; cancelling is a no to everything."""

    def ask(proposal: Proposal) -> Answer:
        answers: list[Answer] = []
        answered = threading.Event()

        def reply(answer: Answer) -> None:
            answers.append(answer)
            answered.set()

        report(Asking(proposal, reply))
        while not answered.wait(_LOOK_S):
            if cancelled.is_set():
                return NO_MORE
        return answers[0]

    return ask


class Approve(ModalScreen[Answer]):
    """Gives the answer. A statement without a value for each of its parameters cannot be said yes to. `hides`: values stay
    unseen, because others look on."""

    BINDINGS = bindings("approve")

    def __init__(self, proposal: Proposal, *, hides: bool = False) -> None:
        super().__init__()
        self._proposal = proposal
        self._hides = hides

    def compose(self) -> ComposeResult:
        with Vertical(id="form", classes="wide"):
            yield Static(line(("Run this statement once?", "bold $strong")), id="form-title")
            yield Static(prose(about(self._proposal), "$muted"))
            with VerticalScroll(id="form-fields"):
                yield Static(line(""), id="approve-sql")
                for entry in self._proposal.parameters:
                    label = line(
                        (f"${entry.number} ", "$foreground"), (entry.type, "$code"), (f"  {entry.origin}", "$muted")
                    )
                    yield Static(line(label), classes="form-label")
                    yield Input(
                        visible_line(entry.value or ""), id=f"value-{entry.number}", compact=True, password=self._hides,
                        select_on_focus=False,
                    )  # fmt: skip
            with Vertical(id="form-foot"):
                yield Static(line(""), id="form-problem")
                parts = [part for key, words in _KEYS for part in ((key, "bold $accent"), (f" {words}   ", "$muted"))]
                yield Static(line(*parts))

    def on_mount(self) -> None:
        self.query_one("#form-fields").focus()
        self._show()

    @on(Input.Changed)
    def _show(self) -> None:
        values = {} if self._hides else self._values()
        self.query_one("#approve-sql", Static).update(block(self._proposal.sql(values), "$code", SHOWN_AT_MOST))

    def _values(self) -> dict[int, str]:
        """What is written in the fields; a value that could not be shown as it is stays as it was proposed."""
        found: dict[int, str] = {}
        for entry in self._proposal.parameters:
            written = self.query_one(f"#value-{entry.number}", Input).value
            if entry.value is not None and written == visible_line(entry.value):
                found[entry.number] = entry.value
            elif written:
                found[entry.number] = written
        return found

    @on(Input.Submitted)
    def _leave_field(self) -> None:
        self.query_one("#form-fields").focus()

    def action_answer(self, word: str) -> None:
        if word != "yes":
            self.dismiss(NO if word == "no" else NO_MORE)
            return
        values = self._values()
        missing = next((entry for entry in self._proposal.parameters if entry.number not in values), None)
        if missing is None:
            self.dismiss(Answer(True, values))
            return
        self.query_one("#form-problem", Static).update(line((f"${missing.number} needs a value", "$error")))
        self.query_one(f"#value-{missing.number}").focus()
