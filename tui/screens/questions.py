"""What only people can answer, one question at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from checks.model import Finding
from scorecards.model import CriterionStatus, Scorecard
from scorecards.rubric import Criterion, Strength, load_rubric
from tui.actions import bindings
from tui.background import Finished, start
from tui.queue import step
from tui.screens.base import SurveyScreen
from tui.screens.form import Field, Form, Values
from tui.text import AREA_SHORT, SEVERITY_SYMBOLS, Part, line, prose, severity_style
from tui.widgets.document import EMPTY, Document, Paragraph
from tui.widgets.rows import RowList

if TYPE_CHECKING:
    from scorecards.review import Answer
    from scorecards.session import Review

MINIMUM = {
    Strength.STATED: "Your word counts.",
    Strength.ARTEFACT: "Counts with a link or file that has a date of the last 12 months.",
    Strength.INFERRED: "Your word makes it claimed; what the repository shows makes it demonstrated.",
    Strength.MEASURED: "Your word makes it claimed; only a measurement makes it demonstrated.",
}
BEARING_SHOWN = 6
WORDS = {"yes": "yes", "no": "no", "unknown": "don't know"}
SYMBOLS = {"yes": ("✓", "$success"), "no": ("✗", "$error"), "unknown": ("?", "$warning")}


class Questions(SurveyScreen):
    NAME = "questions"
    BINDINGS = bindings("questions")

    def __init__(self) -> None:
        super().__init__()
        self.criteria: list[Criterion] = []
        self._statuses: dict[str, CriterionStatus] = {}
        self._seen: dict[str, str] = {}
        self._contradictions: dict[str, str] = {}

    @property
    def review(self) -> Review:
        review = self.surveyor.review
        assert review is not None
        return review

    def compose_body(self) -> ComposeResult:
        with Container(id="questions"):
            with Vertical(id="question-list"):
                yield Static(line(""), id="question-head")
                yield RowList(id="question-rows")
            yield Document(id="question-detail")

    def on_mount(self) -> None:
        self.criteria = [criterion for criterion in load_rubric().criteria if criterion.question is not None]
        first = next((at for at, one in enumerate(self.criteria) if self.answer_to(one) is None), 0)
        self.rows.show(len(self.criteria), self._draw, first)
        self.rows.focus()

    @property
    def rows(self) -> RowList:
        return self.query_one("#question-rows", RowList)

    @property
    def current(self) -> Criterion | None:
        return self.criteria[self.rows.cursor] if self.criteria else None

    @property
    def place(self) -> str:
        return self.current.id if self.current else ""

    def go_to(self, place: str) -> None:
        at = next((at for at, criterion in enumerate(self.criteria) if criterion.id == place), None)
        if at is not None:
            self.rows.cursor = at

    def answer_to(self, criterion: Criterion) -> Answer | None:
        return self.review.state.answers.get(criterion.id)

    def refresh_content(self) -> None:
        start("scorecard", self, self.review.scorecard)
        self.rows.redraw()
        self._show_head()
        self._show_detail(keep_place=True)

    def on_finished(self, event: Finished) -> None:
        """What evidence says about the criteria has been worked out."""
        event.stop()
        if isinstance(event.result, Scorecard):
            self._statuses = {status.id: status for area in event.result.areas for status in area.criteria}
            self._seen = {question.id: question.seen or "" for question in event.result.questions}
            self._contradictions = {one.criterion: one.words for one in event.result.contradictions}
            self._show_detail(keep_place=True)
            self.rows.redraw()

    def _draw(self, row: int, width: int) -> Content:
        criterion = self.criteria[row]
        answer = self.answer_to(criterion)
        assert criterion.question is not None
        symbol, look = SYMBOLS.get(answer.word, ("✎", "$success")) if answer else (" ", "")
        if criterion.id in self._contradictions:
            symbol, look = "≠", "$warning"
        status = self._statuses.get(criterion.id)
        quiet = answer is not None or (status is not None and status.status in {"met", "not_applicable"})
        return line(
            (f"{symbol} ", f"bold {look}".strip()),
            (f"{AREA_SHORT[criterion.area]} ", "$muted"),
            (f"{criterion.id[4:]:<4} ", "$muted"),
            (criterion.question.text[: width * 2], "$muted" if quiet else "$foreground"),
        )

    def _show_head(self) -> None:
        answered = sum(self.answer_to(criterion) is not None for criterion in self.criteria)
        self.query_one("#question-head", Static).update(
            line((f" {answered} of {len(self.criteria)} answered", "$muted"))
        )

    def _show_detail(self, *, keep_place: bool = False) -> None:
        criterion = self.current
        pane = self.query_one("#question-detail", Document)
        if criterion is None:
            pane.show([Paragraph(line((" This rubric asks nothing.", "$muted")))])
        else:
            status = self._statuses.get(criterion.id)
            seen = self._seen.get(criterion.id, "")
            shown = question_paragraphs(criterion, self.answer_to(criterion), status, seen)
            if words := self._contradictions.get(criterion.id):
                head = line(("This is not borne out", "bold $warning"))
                shown[4:4] = [
                    Paragraph(head, line((" ≠ ", "bold $warning"))),
                    Paragraph(prose(words), line((" ┃ ", "$warning"))),
                ]
            pane.show([*shown, *bearing_paragraphs(self._bearing(criterion))], keep_place=keep_place)

    def _bearing(self, criterion: Criterion) -> list[Finding]:
        """Findings of the checks that decide the same criterion, the worst first."""
        checks = set(criterion.rule.related_checks) if criterion.rule else set()
        return [finding for finding in self.review.findings if finding.check in checks] if checks else []

    @on(RowList.Moved, "#question-rows")
    def _moved(self) -> None:
        self._show_detail()

    @on(RowList.Chosen, "#question-rows")
    def action_zoom(self) -> None:
        self.add_class("-zoomed")
        self.query_one("#question-detail").focus()

    def action_back(self) -> None:
        self.remove_class("-zoomed")
        self.rows.focus()

    # Answers

    def action_answer(self, value: str) -> None:
        criterion = self.current
        if criterion is not None:
            self.attempt(lambda: self._record(criterion, {"value": value}))

    def _record(self, criterion: Criterion, values: Values) -> None:
        """UsageError goes to the form."""
        value = ", ".join(filter(None, (values.get("value"), values.get("words"))))
        self.review.answer(
            criterion.id,
            value,
            by=self.surveyor.user,
            now=self.surveyor.clock(),
            artefact=values.get("artefact") or None,
            artefact_date=values.get("artefact_date") or None,
        )
        self.surveyor.review_changed()
        self.say(f"{criterion.id}: {WORDS.get(value, 'answered')} · u undoes")
        self.action_next_open(1, quietly=True)

    def action_answer_in_words(self) -> None:
        criterion = self.current
        if criterion is None or criterion.question is None:
            return
        known = self.answer_to(criterion)
        value = known.word if known and known.word else "yes"
        words = known.value.removeprefix(known.word).lstrip(" ,:;.") if known else ""
        fields = [
            Field("words", "In words", value=words, required=criterion.question.type == "text"),
            Field(
                "artefact",
                "Artefact",
                value=(known.artefact or "") if known else "",
                hint="a link or a path that shows it",
            ),
            Field("artefact_date", "Its date", "day", hint="YYYY-MM-DD"),
        ]
        if criterion.question.type != "text":
            choices = (("yes", ""), ("no", ""), ("unknown", "don't know"))
            fields.insert(0, Field("value", "Answer", "choice", value=value, choices=choices))
        title = f"{criterion.id} {criterion.area.value}"
        self.app.push_screen(
            Form(title, criterion.question.text, fields, lambda values: self._record(criterion, values),
                 self.surveyor.clock().date())
        )  # fmt: skip

    def action_next_open(self, direction: int, quietly: bool = False) -> None:
        everything = range(len(self.criteria))
        position = step(
            everything, self.rows.cursor, direction > 0, lambda at: self.answer_to(self.criteria[at]) is None
        )
        if position is not None:
            self.rows.cursor = position
        elif not quietly:
            self.say("Every question is answered")

    def action_undo(self) -> None:
        words = self.attempt(lambda: self.review.undo(by=self.surveyor.user, now=self.surveyor.clock()))
        self.surveyor.review_changed()
        self.say(f"undone: {words}" if words else "Nothing to undo")

    def action_redo(self) -> None:
        words = self.attempt(lambda: self.review.redo(by=self.surveyor.user, now=self.surveyor.clock()))
        self.surveyor.review_changed()
        self.say(f"redone: {words}" if words else "Nothing to redo")


def question_paragraphs(
    criterion: Criterion, answer: Answer | None, status: CriterionStatus | None, seen: str = ""
) -> list[Paragraph]:
    """A question in full, with its answer and what the evidence says about the same criterion."""
    question = criterion.question
    assert question is not None
    level = "red flag" if criterion.red_flag else f"level {criterion.level}"
    space = Content(" ")
    shown = [
        Paragraph(line((f"{criterion.id}   {criterion.area.value}   {level}", "$muted")), space),
        Paragraph(prose(question.text, "bold $strong"), space),
        Paragraph(EMPTY),
        Paragraph(_answer_line(answer), space),
    ]
    if answer is not None and answer.artefact:
        shown.append(Paragraph(line((answer.artefact, "$code"), (f"  {answer.artefact_date or ''}", "$muted")), space))
    for heading, text in (
        ("Seen so far", seen.removeprefix("seen: ")),
        ("Why it matters", question.why),
        ("A good answer names", question.good),
    ):
        if text:
            shown += [
                Paragraph(EMPTY),
                Paragraph(line((heading, "bold $accent")), space),
                Paragraph(prose(text), space),
            ]
    shown += [
        Paragraph(EMPTY),
        Paragraph(line(("The criterion", "bold $accent")), space),
        Paragraph(prose(criterion.statement), space),
        Paragraph(line((MINIMUM[criterion.minimum], "$muted")), space),
    ]
    if status is not None:
        said: list[Part] = [("Now ", "$muted"), (status.status.replace("_", " "), "bold")]
        if status.observed and status.observed != seen:
            said.append(f": {status.observed}")
        if status.reason:
            said.append((f"  ({status.reason.replace('_', ' ')})", "$muted"))
        shown.append(Paragraph(line(*said), space))
    return shown


def bearing_paragraphs(findings: Sequence[Finding]) -> list[Paragraph]:
    """The findings that bear on a question."""
    if not findings:
        return []
    shown = [Paragraph(EMPTY), Paragraph(line(("Findings that bear on it", "bold $accent")), Content(" "))]
    for finding in findings[:BEARING_SHOWN]:
        assert finding.severity is not None
        mark = line(" ", (SEVERITY_SYMBOLS[finding.severity], severity_style(finding.severity)), " ")
        shown.append(Paragraph(prose(finding.title, limit=300), mark))
    if len(findings) > BEARING_SHOWN:
        shown.append(Paragraph(line((f"and {len(findings) - BEARING_SHOWN} more", "$muted")), line("   ")))
    return shown


def _answer_line(answer: Answer | None) -> Content:
    if answer is None:
        return line(("not answered yet", "$warning"))
    symbol, look = SYMBOLS.get(answer.word, ("✎", "$success"))
    words = WORDS.get(answer.value, answer.value)
    return line((f"{symbol} {words}", f"bold {look}"), (f"   {answer.by or ''}", "$muted"))
