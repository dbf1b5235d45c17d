"""What one does to a finding in the walk: decide, note, assign, undo, copy, open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from checks.configuration import WAIVER_REASONS
from checks.model import Finding
from tui.links import Thing, statement_ids
from tui.screens.base import SurveyScreen
from tui.screens.form import Field, Form, Values
from tui.surroundings import DONE
from tui.words import plural

if TYPE_CHECKING:
    from scorecards.session import Review
    from tui.reproduce import Copy

WAIVER_DAYS = "+180d"
MEANINGS = {
    "false-positive": "the check is wrong here",
    "accepted-risk": "true, and we live with it",
    "planned": "true, and its repair is planned",
    "not-worth-it": "true, and repairing costs more",
    "compensated": "true, and something else covers it",
}


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
            return [finding for id, finding in self.review.entries.items() if id in self.marks]
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
        seen = dict(self.review.state.decided_in)
        self._ask(
            _TITLES[kind],
            what,
            _fields(kind, owner, self.surveyor.user),
            lambda values: self._decide(kind, chosen, values, seen),
            tuple(finding.id for finding in chosen),
        )

    def _ask(
        self,
        title: str,
        about: str,
        fields: Sequence[Field],
        submit: Callable[[Values], None],
        findings: tuple[str, ...] = (),
    ) -> None:
        self.app.push_screen(Form(title, about, fields, submit, self.surveyor.clock().date(), findings))

    def _decide(self, kind: str, chosen: Sequence[Finding], values: Values, seen: Mapping[str, str]) -> None:
        given = {name: value for name, value in values.items() if value}
        self._apply(kind, chosen, given, seen)

    def _apply(
        self, kind: str, chosen: Sequence[Finding], given: Values, seen: Mapping[str, str] | None = None
    ) -> None:
        """Records the decision on each; UsageError goes to the form. `seen` are the decisions that held when the form opened,
        by finding."""
        by, now = self.surveyor.user, self.surveyor.clock()
        known = self.review.state.decided_in if seen is None else seen
        for finding in chosen:
            self.review.decide(finding.id, kind, by=by, now=now, over=known.get(finding.id, ""), **given)
        conflicts = self.review.state.conflicts
        clash = next((conflicts[finding.id] for finding in chosen if finding.id in conflicts), None)
        words = f"{DONE[kind]}: {plural(len(chosen), 'finding')} · u undoes"
        if clash is not None:
            words = f"{clash[0].by} decided otherwise meanwhile: both stay"
        self._recorded(len(chosen), words)
        self.marks.clear()
        self.after_decision(len(chosen) == 1 and kind != "reopen" and clash is None)

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
            self.surveyor.copy("The fix", self.current.fix.sql)

    def action_copy_other(self) -> None:
        """Everything that can be taken out of the finding, to choose from."""
        finding = self.current
        if finding is None:
            return
        from tui.reproduce import copies
        from tui.screens.pick import Entry, Pick

        links = self.surveyor.links
        named = tuple(one for id in statement_ids(finding) if (one := links.statement(Thing("statement", (id,)))))
        target = self.surveyor.target_arguments
        options = [
            Entry("", entry.what, entry.about, entry) for entry in copies(finding, named, self.review.folder.id, target)
        ]

        def take(entry: Copy | None) -> None:
            if entry is not None:
                self.surveyor.copy(entry.what, entry.text)

        self.app.push_screen(Pick("Copy", options, "copy"), take)

    def action_edit(self) -> None:
        """Opens the first place of the finding."""
        if self.current is not None and self.current.locations:
            self.surveyor.open_in_editor(self.current.locations[0])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        finding = self.current
        if action == "copy_fix":
            return finding is not None and finding.fix.sql is not None
        if action == "edit":
            return finding is not None and bool(finding.locations)
        if action in {"decide", "note", "assign", "copy_other", "links", "zoom", "mark"} and finding is None:
            return False
        if action == "decide" and parameters == ("reopen",) and finding is not None:
            return bool(self.marks) or finding.id in self.review.state.decisions
        return super().check_action(action, parameters)


_TITLES = {"accept": "Accept", "waive": "Waive", "follow-up": "Follow up", "dispute": "Dispute"}


def _fields(kind: str, owner: str, user: str) -> list[Field]:
    when = "YYYY-MM-DD, +30d, +6w, +3m"
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
