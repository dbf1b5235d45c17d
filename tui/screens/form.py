"""A small form in the middle of the screen: one decision, a few fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from checks.errors import ReviewError
from checks.text import visible_line
from tui.actions import bindings
from tui.days import read_day
from tui.text import Part, line, prose
from tui.widgets.rows import RowList

Values = dict[str, Any]


class Field(msgspec.Struct, frozen=True):
    """`kind`: words, day (a date, given as `datetime.date`), or choice among `choices` (value, what it means)."""

    name: str
    label: str
    kind: str = "words"
    value: str = ""
    required: bool = False
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()


class Form(ModalScreen[bool]):
    """Enter on any field sends the form if what is needed is there, else goes to what is missing. `submit` gets the values
    and may raise ReviewError, whose words are shown while the form stays. `findings` are those it decides on."""

    BINDINGS = bindings("form")

    def __init__(
        self,
        title: str,
        about: str,
        fields: Sequence[Field],
        submit: Callable[[Values], None],
        today: dt.date,
        findings: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.findings = findings
        self._title = title
        self._about = about
        self._fields = tuple(fields)
        self._submit = submit
        self._today = today

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Static(line((self._title, "bold $strong")), id="form-title")
            if self._about:
                yield Static(prose(self._about, "$muted"), id="form-about")
            with VerticalScroll(id="form-fields", can_focus=False):
                for field in self._fields:
                    label: list[Part] = [(field.label, "$foreground")]
                    if field.hint:
                        label.append((f"  {field.hint}", "$muted"))
                    yield Static(line(*label), classes="form-label")
                    yield self._widget(field)
            with Vertical(id="form-foot"):
                yield Static(line(""), id="form-problem")
                yield Static(line(("enter", "bold $accent"), (" save   ", "$muted"), ("tab", "bold $accent"),
                                  (" next field   ", "$muted"), ("esc", "bold $accent"), (" cancel", "$muted")))  # fmt: skip

    def _widget(self, field: Field) -> Widget:
        if field.kind == "choice":
            return RowList(id=f"field-{field.name}", classes="form-choice")
        return Input(visible_line(field.value), id=f"field-{field.name}", select_on_focus=False, compact=True)

    def on_mount(self) -> None:
        for field in self._fields:
            if field.kind == "choice":
                rows = self.query_one(f"#field-{field.name}", RowList)
                rows.styles.height = len(field.choices)
                chosen = next((i for i, (value, _) in enumerate(field.choices) if value == field.value), 0)
                rows.show(len(field.choices), _draw_choices(field.choices), chosen)
        self.query_one(f"#field-{self._fields[0].name}").focus()

    @on(Input.Submitted)
    @on(RowList.Chosen)
    def action_send(self) -> None:
        values: Values = {}
        for field in self._fields:
            try:
                values[field.name] = self._value(field)
            except ValueError as error:
                self._complain(f"{field.label}: {error}", field)
                return
            if field.required and not values[field.name]:
                self._complain(f"{field.label} is needed" if self._was_there(field) else "", field)
                return
        try:
            self._submit(values)
        except ReviewError as error:
            self._complain(f"{error}. {error.hint}" if error.hint else str(error), None)
            return
        self.dismiss(True)

    def _was_there(self, field: Field) -> bool:
        return self.query_one(f"#field-{field.name}").has_focus

    def _value(self, field: Field) -> Any:
        if field.kind == "choice":
            return field.choices[self.query_one(f"#field-{field.name}", RowList).cursor][0]
        text = self.query_one(f"#field-{field.name}", Input).value.strip()
        return read_day(text, self._today) if field.kind == "day" else text

    def _complain(self, words: str, field: Field | None) -> None:
        self.query_one("#form-problem", Static).update(line((words, "$error")))
        if field is not None:
            self.query_one(f"#field-{field.name}").focus()

    def warn(self, words: str) -> None:
        """Says something that the person should know before sending."""
        self.query_one("#form-problem", Static).update(line((words, "$warning")))

    def action_cancel(self) -> None:
        self.dismiss(False)


def _draw_choices(choices: Sequence[tuple[str, str]]) -> Callable[[int, int], Content]:
    longest = max(len(value) for value, _ in choices)

    def draw(row: int, width: int) -> Content:
        del width
        value, meaning = choices[row]
        return line((f"{value:<{longest}}", "bold"), (f"  {meaning}", "$muted"))

    return draw
