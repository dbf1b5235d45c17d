"""A review as people work on it: the same calls for the terminal program and the command line.

Every call validates first and raises UsageError; what it returns without an error is saved.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from checks.checklist import sort_key
from checks.configuration import WAIVER_REASONS, Waiver
from checks.errors import UsageError
from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Finding
from scorecards.answers import check_answer
from scorecards.model import Gate, ReviewIdentity, Scorecard
from scorecards.review import DECISION_KINDS, Answer, Decision, Event, ReviewState, redoable, replay, undoable
from scorecards.rubric import Rubric, load_rubric
from scorecards.scorecard import NO_GATE, build_scorecard
from scorecards.store import ReviewFolder, derived_identity
from scorecards.targets import title_of
from scorecards.waivers import LONGEST_DAYS

LONGEST_TEXT = 4_000


class Review:
    """A folder and the results of the checks over its evidence; or, `derived`, a review that is in no folder yet.

    `role` (driver or navigator) and `partner` (who sits beside) go with every event that is said here.
    """

    def __init__(self, folder: ReviewFolder, results: Sequence[CheckResult]) -> None:
        self._set_up(folder, folder.evidence(), results, folder.identity, {})

    def _set_up(
        self,
        folder: ReviewFolder | None,
        evidence: Evidence,
        results: Sequence[CheckResult],
        identity: ReviewIdentity,
        answers: Mapping[str, Answer],
    ) -> None:
        self._folder = folder
        self.evidence = evidence
        self.results = tuple(results)
        self.identity = identity
        self.findings: tuple[Finding, ...] = tuple(
            sorted((finding for result in results for finding in result.findings), key=sort_key)
        )
        self._by_id = {finding.id: finding for finding in self.findings}
        self._answers = dict(answers)
        self._replayed: tuple[tuple[Event, ...], ReviewState] = ((), ReviewState())
        self.role = ""
        self.partner = ""

    @classmethod
    def derived(
        cls, evidence: Evidence, results: Sequence[CheckResult], answers: Mapping[str, Answer] | None = None
    ) -> Review:
        """A review that nobody sits at: its id and start follow from the evidence."""
        review = cls.__new__(cls)
        review._set_up(None, evidence, results, derived_identity(evidence, title_of(evidence)), answers or {})
        return review

    @property
    def folder(self) -> ReviewFolder:
        """Raises UsageError while a derived review is not saved."""
        if self._folder is None:
            raise UsageError("this review is not saved", "save it before you decide on it")
        return self._folder

    @property
    def entries(self) -> Mapping[str, Finding]:
        """The findings by their ids, in the order of `findings`: an id is a hash, which thousands need not be asked for again."""
        return self._by_id

    @property
    def decided(self) -> int:
        """How many of the findings have a decision."""
        return sum(id in self._by_id for id in self.state.decisions)

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """Those of the configuration files, also expired ones."""
        return self.evidence.configuration.waivers

    @property
    def state(self) -> ReviewState:
        """What holds now, with what others said meanwhile. Raises StoreError."""
        events = self._folder.events() if self._folder else ()
        if events is not self._replayed[0]:
            self._replayed = (events, replay(events))
        state = self._replayed[1]
        return msgspec.structs.replace(state, answers={**state.answers, **self._answers}) if self._answers else state

    def with_answers(self, answers: Mapping[str, Answer]) -> Review:
        """The same review as if those answers had been given, without saving them."""
        other = Review.__new__(Review)
        other._set_up(self._folder, self.evidence, self.results, self.identity, {**self._answers, **answers})
        return other

    def save(self, root: Path) -> ReviewFolder:
        """Keeps a derived review, with its answers, so that people can go on with it. Raises StoreError."""
        folder = ReviewFolder.keep(root, self.evidence, self.identity)
        known = replay(folder.events()).answers
        for id, answer in self._answers.items():
            if known.get(id) != answer:
                said = answer.by or "answers file"
                folder.append(Event("answered", said, self.evidence.observed_at, question=id, answer=answer))
        return folder

    def scorecard(self, as_of: dt.date | None = None, gate: Gate = NO_GATE, rubric: Rubric | None = None) -> Scorecard:
        """Judged at that day; by default, the day on which the evidence was observed."""
        day = as_of or self.evidence.observed_at.date()
        return build_scorecard(
            self.evidence, self.results, self.state, as_of=day, identity=self.identity, gate=gate, rubric=rubric
        )

    def decide(
        self,
        finding_id: str,
        kind: str,
        *,
        by: str,
        now: dt.datetime,
        reason: str | None = None,
        owner: str | None = None,
        expires: dt.date | None = None,
        due: dt.date | None = None,
        note: str | None = None,
        over: str | None = None,
    ) -> Event:
        """accept, waive, follow-up, dispute or reopen. A waiver needs a reason of the closed list (words may follow a
        colon), an owner, and an expiry within 365 days; a dispute needs words. `over` is the id of the decision that the
        person saw, "" for none: where it is not the one that holds, both stay and count as a conflict."""
        finding = self.finding(finding_id)
        if kind not in DECISION_KINDS:
            raise UsageError(f"{kind!r} is not a decision", f"it is one of {', '.join(DECISION_KINDS)}")
        reason, owner, note = _text(reason), _text(owner), _text(note)
        owner = owner.removeprefix("@") if owner else None
        if kind == "waive":
            reason, note = _waiver_reason(reason, note)
            _check_expiry(expires, now.date())
            if owner is None:
                raise UsageError("a waiver needs an owner", "say who answers for it")
        elif expires is not None:
            raise UsageError("only a waiver expires", "use a due date, or waive")
        if kind == "dispute" and not (reason or note):
            raise UsageError("a dispute needs words", "say why the finding is false")
        decision = Decision(kind, by, now.date(), reason, owner, expires, due, note)
        return self._say(Event("decided", by, now, finding=finding.id, decision=decision, over=over))

    def answer(
        self,
        id: str,
        value: str,
        *,
        by: str,
        now: dt.datetime,
        artefact: str | None = None,
        artefact_date: dt.date | None = None,
    ) -> Event:
        """yes, no or unknown, perhaps with words behind it; an artefact is a link or a path, with the day it is of."""
        question = load_rubric().questions.get(id)
        if question is None:
            raise UsageError(f"there is no question {id!r}", "`pgsurveyor rubric` lists the criteria")
        answer = Answer(_text(value) or "", by, now.date(), _without_password(_text(artefact)), artefact_date)
        problem = check_answer(question, answer)
        if problem:
            raise UsageError(f"{id}: {problem}", question.text)
        return self._say(Event("answered", by, now, question=id, answer=answer))

    def note(self, finding_id: str, text: str, *, by: str, now: dt.datetime) -> Event:
        words = _text(text)
        if not words:
            raise UsageError("the note is empty", "say something")
        return self._say(Event("noted", by, now, finding=self.finding(finding_id).id, text=words))

    def assign(self, finding_id: str, owner: str, *, by: str, now: dt.datetime) -> Event:
        name = (_text(owner) or "").removeprefix("@")
        if not name:
            raise UsageError("the owner is empty", "name a person or a team")
        return self._say(Event("assigned", by, now, finding=self.finding(finding_id).id, owner=name))

    def undo(self, by: str, now: dt.datetime) -> str | None:
        """Takes back what that user said last, in words; None if there is nothing. Never what somebody else said."""
        return self._toggle("undone", undoable(self.folder.events(), by), by, now)

    def redo(self, by: str, now: dt.datetime) -> str | None:
        """Says again what that user took back last, unless they said something else since."""
        return self._toggle("redone", redoable(self.folder.events(), by), by, now)

    def finding(self, id: str) -> Finding:
        """By its id or a beginning of it that no other has, of at least four digits. Raises UsageError."""
        found = self._by_id.get(id)
        if found is None and len(id) >= 4:
            matching = [finding for key, finding in self._by_id.items() if key.startswith(id)]
            found = matching[0] if len(matching) == 1 else None
        if found is None:
            raise UsageError(f"there is no finding {id!r} in this review", "the scorecard lists their ids")
        return found

    def _toggle(self, kind: str, event: Event | None, by: str, now: dt.datetime) -> str | None:
        if event is None:
            return None
        self._say(Event(kind, by, now, target=event.id))
        return event.summary

    def _say(self, event: Event) -> Event:
        return self.folder.append(msgspec.structs.replace(event, role=self.role, partner=self.partner))


def _waiver_reason(reason: str | None, note: str | None) -> tuple[str, str | None]:
    """`accepted-risk: words` is a reason of the list and a note."""
    word, colon, words = (reason or "").partition(":")
    if word.strip() not in WAIVER_REASONS:
        raise UsageError(
            f"{reason!r} is not a reason to waive" if reason else "a waiver needs a reason",
            f"it is one of {', '.join(WAIVER_REASONS)}",
        )
    return word.strip(), "; ".join(part for part in (words.strip() if colon else "", note or "") if part) or None


def _check_expiry(expires: dt.date | None, today: dt.date) -> None:
    if expires is None:
        raise UsageError("a waiver needs an expiry", f"at most {LONGEST_DAYS} days from now")
    if expires < today:
        raise UsageError(f"{expires} is past", "a waiver expires in the future")
    if (expires - today).days > LONGEST_DAYS:
        latest = today + dt.timedelta(days=LONGEST_DAYS)
        raise UsageError(f"{expires} is more than {LONGEST_DAYS} days away", f"at the latest {latest}")


def _text(text: str | None) -> str | None:
    """Trimmed; None if nothing is left. Raises UsageError if it is longer than anybody reads."""
    if text is None or not text.strip():
        return None
    if len(text) > LONGEST_TEXT:
        raise UsageError(f"the text has {len(text)} characters", f"at most {LONGEST_TEXT} are kept")
    return text.strip().encode("utf-8", "replace").decode("utf-8")


def _without_password(link: str | None) -> str | None:
    """A link may be pasted with somebody's credentials in it; the review is shared."""
    if link is None or "@" not in link or "://" not in link:
        return link
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
