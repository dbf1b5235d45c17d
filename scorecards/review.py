"""What people said in a review, as events, and what the events add up to. Pure: the clock and the user are parameters."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

import msgspec

_WORD = re.compile(r"\s*(yes|no|unknown)(?![\w-])", re.IGNORECASE)

DECISION_KINDS = ("accept", "waive", "follow-up", "dispute", "reopen")


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided about a finding. `reason` of a waiver is one of a closed list, of others words."""

    kind: str
    by: str | None = None
    on: dt.date | None = None
    reason: str | None = None
    owner: str | None = None
    expires: dt.date | None = None
    due: dt.date | None = None
    note: str | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`value`: yes, no or unknown, perhaps with words behind it; or words alone. `on` is the day it was given."""

    value: str
    by: str | None = None
    on: dt.date | None = None
    artefact: str | None = None
    artefact_date: dt.date | None = None

    @property
    def word(self) -> str:
        """What it comes to: yes, no, unknown, or "" for words alone."""
        match = _WORD.match(self.value)
        return match[1].lower() if match else ""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    text: str
    by: str
    at: dt.datetime


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of events.jsonl. `kind`: decided, answered, noted, assigned, undone, redone; others are of a newer version and
    mean nothing here. `target` is the event that undone and redone speak of. `role` is driver or navigator and `partner` who
    sat beside, where people said so. `over` is the id of the decision that a person saw when deciding again, "" if there was
    none to see, None where it is not known."""

    kind: str
    by: str
    at: dt.datetime
    id: str = ""
    finding: str = ""
    question: str = ""
    decision: Decision | None = None
    answer: Answer | None = None
    text: str = ""
    owner: str = ""
    target: str = ""
    role: str = ""
    partner: str = ""
    over: str | None = None

    @property
    def summary(self) -> str:
        """In a few words, for undo and for the log."""
        if self.decision:
            return f"{self.decision.kind} {self.finding}"
        if self.answer:
            return f"answer {self.question}: {self.answer.value}"
        if self.kind == "assigned":
            return f"assign {self.finding} to {self.owner}"
        return f"note on {self.finding}" if self.kind == "noted" else self.kind


class ReviewState(msgspec.Struct, frozen=True):
    """What holds after all events. A reopened finding has no decision. `decided_in` is the id of the event that holds;
    `conflicts` are two decisions of two people of which the later did not know the earlier: the later one holds."""

    decisions: dict[str, Decision] = {}
    answers: dict[str, Answer] = {}
    notes: dict[str, tuple[Note, ...]] = {}
    owners: dict[str, str] = {}
    decided_in: dict[str, str] = {}
    conflicts: dict[str, tuple[Event, Event]] = {}


_ACTS = frozenset({"decided", "answered", "noted", "assigned"})


def replay(events: Iterable[Event]) -> ReviewState:
    """The state after those events. What was undone, and not redone since, counts as never said."""
    entries = list(events)
    dead = undone_ids(entries)
    decisions: dict[str, Decision] = {}
    answers: dict[str, Answer] = {}
    notes: dict[str, tuple[Note, ...]] = {}
    owners: dict[str, str] = {}
    last: dict[str, Event] = {}
    conflicts: dict[str, tuple[Event, Event]] = {}
    for event in entries:
        if event.id in dead:
            continue
        if event.kind == "decided" and event.decision:
            decisions.pop(event.finding, None)
            conflicts.pop(event.finding, None)
            before = last.get(event.finding)
            if before is not None and _disagree(before, event):
                conflicts[event.finding] = (before, event)
            last[event.finding] = event
            if event.decision.kind != "reopen":
                decisions[event.finding] = event.decision
        elif event.kind == "answered" and event.answer:
            answers[event.question] = event.answer
        elif event.kind == "noted":
            notes[event.finding] = (*notes.get(event.finding, ()), Note(event.text, event.by, event.at))
        elif event.kind == "assigned":
            owners[event.finding] = event.owner
    decided_in = {finding: event.id for finding, event in last.items() if finding in decisions}
    return ReviewState(decisions, answers, notes, owners, decided_in, conflicts)


def _disagree(before: Event, after: Event) -> bool:
    """Whether the later of two decisions on one finding was taken by another person, differs, and did not know the earlier."""
    if before.by == after.by or after.over is None or before.decision is None or after.decision is None:
        return False
    known = "" if before.decision.kind == "reopen" else before.id
    return after.over != known and before.decision.kind != after.decision.kind


def undone_ids(events: Iterable[Event]) -> set[str]:
    """Ids of the events that are undone and not redone."""
    dead: set[str] = set()
    for event in events:
        if event.kind == "undone":
            dead.add(event.target)
        elif event.kind == "redone":
            dead.discard(event.target)
    return dead


def undoable(events: Iterable[Event], by: str) -> Event | None:
    """The last live event of that user: nobody takes back by accident what somebody else said."""
    entries = list(events)
    dead = undone_ids(entries)
    mine = [event for event in entries if event.kind in _ACTS and event.by == by and event.id not in dead]
    return mine[-1] if mine else None


def redoable(events: Iterable[Event], by: str) -> Event | None:
    """What that user undid last, unless they said something new since."""
    acts: dict[str, Event] = {}
    undone: list[str] = []
    for event in events:
        if event.kind in _ACTS:
            acts[event.id] = event
        if event.by != by:
            continue
        if event.kind in _ACTS:
            undone.clear()
        elif event.kind == "undone":
            undone.append(event.target)
        elif event.kind == "redone" and event.target in undone:
            undone.remove(event.target)
    return acts.get(undone[-1]) if undone else None
