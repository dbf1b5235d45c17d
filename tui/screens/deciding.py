"""What one does to a finding in the walk: decide, note, assign, undo, copy, open."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from checks.configuration import WAIVER_REASONS
from checks.model import Finding
from tui import editor
from tui.queue import STATUSES
from tui.screens.base import SurveyScreen
from tui.screens.form import Field, Form, Values
from tui.words import plural

if TYPE_CHECKING:
    from scorecards.session import Review

WAIVER_DAYS = "+180d"
MEANINGS = {
    "false-positive": "the check is wrong here",
    "accepted-risk": "true, and we live with it",
    "planned": "true, and its repair is planned",
    "not-worth-it": "true, and repairing costs more",
    "compensated": "true, and something else covers it",
}
DONE = {**STATUSES, "reopen": "open again"}


class Deciding(SurveyScreen):
    """The actions of the walk that change the review. The walk says what the cursor and the marks are on."""

    marks: set[str]

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[int] = []
        self._undone: list[int] = []

    @property
    def review(self) -> Review:
        review = self.surveyor.review
        assert review is not None
        return review

    @property
    def current(self) -> Finding | None:
        raise NotImplementedError

    def after_decision(self, single: bool) -> None:
        raise NotImplementedError

    def _chosen(self) -> list[Finding]:
        """The marked findings, else the one under the cursor."""
        if self.marks:
            return [finding for finding in self.review.findings if finding.id in self.marks]
        return [self.current] if self.current is not None else []

    def action_decide(self, kind: str) -> None:
        chosen = self._chosen()
        if not chosen:
            return
        if kind == "reopen":
            self.attempt(lambda: self._apply(kind, chosen, {}))
            return
        what = f"{plural(len(chosen), 'finding')}" if len(chosen) > 1 else chosen[0].title
        owner = self.review.state.owners.get(chosen[0].id, "") if len(chosen) == 1 else ""
        self._ask(
            _TITLES[kind],
            what,
            _fields(kind, owner, self.surveyor.user),
            lambda values: self._decide(kind, chosen, values),
        )

    def _ask(self, title: str, about: str, fields: Sequence[Field], submit: Callable[[Values], None]) -> None:
        self.app.push_screen(Form(title, about, fields, submit, self.surveyor.clock().date()))

    def _decide(self, kind: str, chosen: Sequence[Finding], values: Values) -> None:
        given = {name: value for name, value in values.items() if value}
        self._apply(kind, chosen, given)

    def _apply(self, kind: str, chosen: Sequence[Finding], given: Values) -> None:
        """Records the decision on each; UsageError goes to the form."""
        by, now = self.surveyor.user, self.surveyor.clock()
        for finding in chosen:
            self.review.decide(finding.id, kind, by=by, now=now, **given)
        self._recorded(len(chosen), f"{DONE[kind]}: {plural(len(chosen), 'finding')} · u undoes")
        self.marks.clear()
        self.after_decision(len(chosen) == 1 and kind != "reopen")

    def _recorded(self, events: int, words: str) -> None:
        self._groups.append(events)
        self._undone.clear()
        self.surveyor.review_changed()
        self.say(words)

    def action_note(self) -> None:
        chosen = self._chosen()
        if chosen:
            fields = [Field("text", "Comment", required=True)]
            self._ask("Comment", chosen[0].title, fields, lambda values: self._note(chosen, values["text"]))

    def _note(self, chosen: Sequence[Finding], text: str) -> None:
        for finding in chosen:
            self.review.note(finding.id, text, by=self.surveyor.user, now=self.surveyor.clock())
        self._recorded(len(chosen), "noted · u undoes")

    def action_assign(self) -> None:
        chosen = self._chosen()
        if chosen:
            owner = self.review.state.owners.get(chosen[0].id, "")
            fields = [Field("owner", "Owner", value=owner, required=True, hint="a person or a team")]
            self._ask("Owner", chosen[0].title, fields, lambda values: self._assign(chosen, values["owner"]))

    def _assign(self, chosen: Sequence[Finding], owner: str) -> None:
        for finding in chosen:
            self.review.assign(finding.id, owner.removeprefix("@"), by=self.surveyor.user, now=self.surveyor.clock())
        self._recorded(len(chosen), f"owner is {owner.removeprefix('@')} · u undoes")

    def action_undo(self) -> None:
        """Undoes the last decision, all of it if it was on several findings."""
        self._back_and_forth(self._groups, self._undone, self.review.undo, "undone", "Nothing to undo")

    def action_redo(self) -> None:
        if self._undone:
            self._back_and_forth(self._undone, self._groups, self.review.redo, "redone", "Nothing to redo")
        else:
            self.say("Nothing to redo")

    def _back_and_forth(self, done: list[int], other: list[int], act: Callable[..., Any], word: str, none: str) -> None:
        events = done.pop() if done else 1
        words = None
        for _ in range(events):
            words = self.attempt(lambda: act(by=self.surveyor.user, now=self.surveyor.clock())) or words
        if words is None:
            self.say(none)
            return
        other.append(events)
        self.surveyor.review_changed()
        self.say(f"{word}: {words}" if events == 1 else f"{word}: {events} decisions")

    # Out of the program

    def action_copy_fix(self) -> None:
        if self.current is not None and self.current.fix.sql:
            self.app.copy_to_clipboard(self.current.fix.sql)
            self.surveyor.tell(
                "Sent to the terminal's clipboard (OSC 52). If nothing arrives, your terminal or tmux does not allow it: "
                "export the review instead (E).",
                title="Fix SQL copied",
            )

    def action_copy_command(self) -> None:
        if self.current is not None:
            command = f"pgsurveyor decide {self.review.folder.id} {self.current.id} accept"
            self.app.copy_to_clipboard(command)
            self.surveyor.tell(command, title="Sent to the terminal's clipboard (OSC 52)")

    def action_edit(self) -> None:
        """Opens the first place of the finding; where there is no terminal to give away, says where it is."""
        finding = self.current
        if finding is None or not finding.locations:
            return
        location = finding.locations[0]
        words = f"{location.path}:{location.line}"
        root = self.surveyor.repository
        path = editor.place(root, location) if root is not None else None
        command = editor.command(path, location.line) if path is not None else None
        if command is None:
            why = "no editor was found: set EDITOR" if path is not None else "its repository is not at hand"
            self.app.copy_to_clipboard(words)
            self.surveyor.tell(f"{words}\nCopied instead; {why}.", title="Not opened", severity="warning")
            return
        try:
            with self.app.suspend():
                subprocess.run(command, check=False, env={**os.environ})
        except SuspendNotSupported:
            self.app.copy_to_clipboard(words)
            self.surveyor.tell(f"{words}\nCopied instead; this terminal cannot be given away.", title="Not opened")
        except OSError as error:
            self.surveyor.tell(f"{command[0]} could not be started: {error.strerror}", severity="error")
        self.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        finding = self.current
        if action == "copy_fix":
            return finding is not None and finding.fix.sql is not None
        if action == "edit":
            return finding is not None and bool(finding.locations)
        if action in {"decide", "note", "assign", "copy_command", "zoom", "mark"} and finding is None:
            return False
        if action == "decide" and parameters == ("reopen",) and finding is not None:
            return bool(self.marks) or finding.id in self.review.state.decisions
        return super().check_action(action, parameters)


_TITLES = {"accept": "Accept", "waive": "Waive", "follow-up": "Follow up", "dispute": "Dispute"}


def _fields(kind: str, owner: str, user: str) -> list[Field]:
    when = "2026-12-01, +30d, +6w, +3m"
    if kind == "accept":
        return [
            Field("owner", "Owner", value=owner, hint="who fixes it; may stay empty"),
            Field("due", "Due", "day", hint=when),
            Field("note", "Note"),
        ]
    if kind == "waive":
        reasons = tuple((reason, MEANINGS[reason]) for reason in WAIVER_REASONS)
        return [
            Field("reason", "Reason", "choice", value="accepted-risk", required=True, choices=reasons),
            Field("note", "In words", hint="what the next reviewer should know"),
            Field("owner", "Owner", value=owner or user, required=True, hint="who answers for it"),
            Field("expires", "Expires", "day", value=WAIVER_DAYS, required=True, hint=f"{when}; a year at most"),
        ]
    if kind == "follow-up":
        return [
            Field("note", "What is missing", required=True),
            Field("owner", "Owner", value=owner or user, hint="who finds out"),
            Field("due", "Due", "day", hint=when),
        ]
    return [Field("note", "Why it is not true", required=True, hint="it helps to correct the check")]
