"""The agenda: what is left to decide and to answer, where people disagree, what was promised, and the pace."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from checks.model import Finding
from scorecards.rubric import load_rubric
from tui.actions import bindings
from tui.pace import AreaLeft, Promise, duration, left_by_area, pace, promises
from tui.screens.base import SurveyScreen
from tui.text import SEVERITY_SHORT, SEVERITY_SYMBOLS, STATUS_SYMBOLS, Part, line, severity_style
from tui.widgets.bars import spread
from tui.widgets.rows import RowList

BAR = 20
PROMISES_SHOWN = 200


class Row:
    """One line: its words, and the screen and place that it leads to."""

    def __init__(self, left: Content, right: Part = "", leads_to: tuple[str, str] | None = None) -> None:
        self.left = left
        self.right = line(right)
        self.leads_to = leads_to


class AgendaPage(SurveyScreen):
    NAME = "agenda"
    BINDINGS = bindings("agenda")

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Row] = []
        self._before = 0

    def compose_body(self) -> ComposeResult:
        yield Static(line(""), id="agenda-head")
        yield RowList(id="agenda-rows")

    def on_mount(self) -> None:
        self.rows.focus()

    @property
    def rows(self) -> RowList:
        return self.query_one("#agenda-rows", RowList)

    def refresh_content(self) -> None:
        review = self.surveyor.review
        assert review is not None
        state, findings = review.state, review.entries
        left = left_by_area(findings, state)
        undecided = sum(area.undecided for area in left)
        self._show_head(undecided, len(findings))
        self.entries = [Row(line(("Left to decide", "bold $accent"))), *map(_area, left), Row(Content(""))]
        questions = load_rubric().questions
        unanswered = [id for id in questions if id not in state.answers]
        self.entries += [
            Row(line(("Left to answer", "bold $accent"))),
            Row(
                line(*_progress("questions", len(questions), len(unanswered))),
                leads_to=("questions", unanswered[0] if unanswered else ""),
            ),
            Row(Content("")),
        ]
        clashes = [findings[id] for id in state.conflicts if id in findings]
        if clashes:
            self.entries.append(Row(line(("Decided twice, unaware of each other", "bold $warning"))))
            for finding in clashes:
                first, second = state.conflicts[finding.id]
                self.entries.append(_finding(finding, f"{first.by} ≠ {second.by}", "$warning"))
            self.entries.append(Row(Content("")))
        kept = promises(findings, state, self.surveyor.clock().date())
        self.entries.append(Row(line(("To be done", "bold $accent"), ("" if kept else "   nothing yet", "$muted"))))
        self.entries += [_promise(promise) for promise in kept[:PROMISES_SHOWN]]
        self.rows.show(len(self.entries), self._draw, self._landing(self.rows.cursor, 1))

    def _landing(self, row: int, direction: int) -> int:
        """The nearest row in that direction, else in the other, that leads somewhere."""
        last = len(self.entries)
        ahead = range(row, last) if direction > 0 else range(row, -1, -1)
        behind = range(row, -1, -1) if direction > 0 else range(row, last)
        return next((at for way in (ahead, behind) for at in way if self.entries[at].leads_to), row)

    def _show_head(self, undecided: int, count: int) -> None:
        review = self.surveyor.review
        assert review is not None
        each = pace(review.folder.events())
        parts: list[Part] = [(f" {count - undecided} of {count} decided", "bold $strong")]
        if each is not None and undecided:
            parts.append((f"   {duration(each)} a decision: about {duration(each * undecided)} to go", "$foreground"))
        elif not undecided:
            parts.append(("   all are decided", "bold $success"))
        self.query_one("#agenda-head", Static).update(line(*parts))

    def _draw(self, row: int, width: int) -> Content:
        entry = self.entries[row]
        return spread(line(" ", entry.left), entry.right, width)

    @on(RowList.Chosen)
    def action_open(self) -> None:
        entry = self.entries[self.rows.cursor] if self.entries else None
        if entry is not None and entry.leads_to is not None:
            self.surveyor.show_place(*entry.leads_to)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "open":
            return bool(self.entries) and self.entries[self.rows.cursor].leads_to is not None
        return super().check_action(action, parameters)

    @on(RowList.Moved)
    def _moved(self) -> None:
        """Headings are passed over."""
        rows = self.rows
        rows.cursor = self._landing(rows.cursor, 1 if rows.cursor >= self._before else -1)
        self._before = rows.cursor
        self.show_keys()


def _progress(name: str, count: int, left: int) -> list[Part]:
    """A bar of what is done, and `12 of 48 open`."""
    filled = round(BAR * (count - left) / count) if count else 0
    return [
        f"  {name:<15}",
        ("━" * filled, "bold $accent"),
        ("─" * (BAR - filled), "$faint"),
        (f"  {left:>5,}", "bold $strong" if left else "$muted"),
        (f" of {count:,} open".ljust(16) if count else "   nothing found", "$muted"),
    ]


def _area(left: AreaLeft) -> Row:
    parts = _progress(left.area.value, left.findings, left.undecided)
    if left.worst is not None:
        mark = f"worst {SEVERITY_SYMBOLS[left.worst]} {SEVERITY_SHORT[left.worst]}"
        parts.append((mark, severity_style(left.worst)))
    leads_to = ("walk", f"area:{left.area.value}") if left.findings else None
    return Row(line(*parts), "", leads_to)


def _promise(promise: Promise) -> Row:
    due = f"due {promise.decision.due}" if promise.decision.due else "no due day"
    owner = f"@{promise.owner}" if promise.owner else "no owner"
    words = f"{owner}   {due}{', overdue' if promise.overdue else ''}"
    symbol = STATUS_SYMBOLS["accepted" if promise.decision.kind == "accept" else "follow-up"]
    return _finding(promise.finding, words, "$error" if promise.overdue else "$muted", symbol)


def _finding(finding: Finding, about: str, look: str, symbol: str = "≠") -> Row:
    left = line((f"  {symbol} ", "bold $accent"), finding.title)
    return Row(left, (about, look), ("walk", finding.id))
