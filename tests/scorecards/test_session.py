from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from checks.errors import UsageError
from scorecards.review import Answer
from scorecards.session import Review
from scorecards.store import ReviewFolder
from tests.scorecards.reviewed import AS_OF, NOW, evidence, results

WAIVER: dict[str, Any] = {"reason": "accepted-risk", "owner": "grace", "expires": dt.date(2027, 3, 1)}


@pytest.fixture
def review(tmp_path: Path) -> Review:
    folder = ReviewFolder.create(tmp_path, evidence(), title="Support assistant", reviewers=("ada",), now=NOW)
    return Review(folder, results())


def decide(review: Review, kind: str, number: int = 0, **more: Any) -> None:
    review.decide(review.findings[number].id, kind, by="ada", now=NOW, **more)


def test_findings_are_the_worst_first(review: Review) -> None:
    ranks = [finding.severity.rank for finding in review.findings if finding.severity]
    assert ranks == sorted(ranks)


def test_decisions_show_in_the_scorecard_and_move_no_level(review: Review) -> None:
    before = review.scorecard()
    for number, finding in enumerate(review.findings):
        review.decide(finding.id, "waive", by="ada", now=NOW, **WAIVER)
        assert len(review.state.decisions) == number + 1
    after = review.scorecard()
    assert after.overall == before.overall
    assert [area.demonstrated for area in after.areas] == [area.demonstrated for area in before.areas]
    assert all(finding.decision and finding.decision.kind == "waive" for finding in after.findings)
    accepted = {entry.id for area in after.areas for entry in area.criteria if entry.accepted}
    assert {"SCH-1.1", "IDX-2.1", "IDX-3.1"} <= accepted


def test_an_expired_waiver_accepts_nothing_any_more(review: Review) -> None:
    decide(review, "waive", **{**WAIVER, "expires": AS_OF})
    check = review.findings[0].check
    held = {day: _accepted(review, AS_OF + dt.timedelta(days=day)) for day in (0, 1)}
    assert held[0]
    assert not held[1]
    assert check


def _accepted(review: Review, day: dt.date) -> set[str]:
    listed = {entry.id for area in review.scorecard(day).areas for entry in area.criteria if entry.accepted}
    return listed - {"IDX-3.1"}


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("waive", {**WAIVER, "reason": None}, "needs a reason"),
        ("waive", {**WAIVER, "reason": "because"}, "not a reason"),
        ("waive", {**WAIVER, "owner": None}, "needs an owner"),
        ("waive", {**WAIVER, "owner": " "}, "needs an owner"),
        ("waive", {**WAIVER, "expires": None}, "needs an expiry"),
        ("waive", {**WAIVER, "expires": AS_OF - dt.timedelta(days=1)}, "is past"),
        ("waive", {**WAIVER, "expires": AS_OF + dt.timedelta(days=366)}, "more than 365 days"),
        ("accept", {"expires": AS_OF}, "only a waiver expires"),
        ("dispute", {}, "needs words"),
        ("ignore", {}, "is not a decision"),
        ("accept", {"note": "x" * 4_001}, "4001 characters"),
    ],
)
def test_what_cannot_be_decided(review: Review, kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decide(review, kind, **given)
    assert review.folder.events() == ()


def test_words_behind_the_reason_of_a_waiver(review: Review) -> None:
    decide(
        review, "waive", **{**WAIVER, "reason": "planned: with the move to 19", "note": "see ADR 7", "owner": "@grace"}
    )
    (decision,) = review.state.decisions.values()
    assert (decision.reason, decision.note, decision.owner) == ("planned", "with the move to 19; see ADR 7", "grace")


def test_a_waiver_holds_365_days_at_most(review: Review) -> None:
    decide(review, "waive", **{**WAIVER, "expires": AS_OF + dt.timedelta(days=365)})
    assert review.state.decisions


def test_findings_by_a_beginning_of_their_id(review: Review) -> None:
    finding = review.findings[0]
    assert review.finding(finding.id[:8]) is finding
    for wrong in ("", "zzzz", finding.id[:2], finding.id + "0"):
        with pytest.raises(UsageError, match="there is no finding"):
            review.finding(wrong)


def test_undo_and_redo(review: Review) -> None:
    assert review.undo("ada", NOW) is None
    decide(review, "accept", due=dt.date(2026, 12, 1))
    decide(review, "dispute", note="the table is a queue")
    review.note(review.findings[0].id, "ask the team", by="grace", now=NOW)
    undone = review.undo("ada", NOW)
    assert undone is not None
    assert undone.startswith("dispute")
    (decision,) = review.state.decisions.values()
    assert decision.kind == "accept"
    assert review.state.notes
    assert review.redo("ada", NOW) == undone
    assert review.redo("ada", NOW) is None


def test_two_people_at_one_review(review: Review) -> None:
    other = Review(ReviewFolder.open(review.folder.path), results())
    decide(review, "accept", 0)
    other.assign(other.findings[1].id, "@grace", by="grace", now=NOW)
    assert review.state == other.state
    assert review.state.owners == {review.findings[1].id: "grace"}


def test_answers(review: Review) -> None:
    review.answer("REP-2.2", "Yes, in May", by="ada", now=NOW, artefact="https://ada:secret@wiki.example/r",
                  artefact_date=dt.date(2026, 5, 4))  # fmt: skip
    answer = review.state.answers["REP-2.2"]
    assert answer.word == "yes"
    assert answer.artefact == "https://wiki.example/r"
    entry = next(entry for entry in review.scorecard().questions if entry.id == "REP-2.2")
    assert (entry.answer, entry.by, entry.on, entry.artefact_date) == ("Yes, in May", "ada", "2026-11-23", "2026-05-04")


@pytest.mark.parametrize(
    ("id", "value", "more", "message"),
    [
        ("REP-9.9", "yes", {}, "there is no question"),
        ("SCH-R1", "yes", {}, "there is no question"),
        ("REP-2.2", "perhaps", {}, "yes, no or unknown"),
        ("REP-2.2", " ", {}, "empty"),
        ("REP-2.2", "yes", {"artefact_date": AS_OF}, "needs the artefact"),
        ("REP-2.2", "yes", {"artefact": "x", "artefact_date": AS_OF + dt.timedelta(days=1)}, "after the answer"),
    ],
)
def test_what_is_no_answer(review: Review, id: str, value: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        review.answer(id, value, by="ada", now=NOW, **more)


def test_notes_and_owners_need_words(review: Review) -> None:
    with pytest.raises(UsageError, match="empty"):
        review.note(review.findings[0].id, "\n", by="ada", now=NOW)
    with pytest.raises(UsageError, match="empty"):
        review.assign(review.findings[0].id, "@", by="ada", now=NOW)


def test_a_derived_review_can_be_kept_and_gone_on_with(tmp_path: Path) -> None:
    answers = {"REP-2.2": Answer("yes", "ada", AS_OF)}
    derived = Review.derived(evidence(), results(), answers)
    assert derived.state.answers == answers
    with pytest.raises(UsageError, match="not saved"):
        decide(derived, "accept")
    folder = derived.save(tmp_path)
    assert derived.save(tmp_path).events() == folder.events()
    kept = Review(ReviewFolder.open(folder.path), results())
    assert kept.scorecard() == derived.scorecard()
    decide(kept, "accept")
    assert kept.state.decisions


def test_answers_given_for_one_export_are_not_saved(review: Review) -> None:
    review.answer("REP-R3", "no", by="ada", now=NOW)
    other = review.with_answers({"REP-R3": Answer("yes", on=AS_OF)})
    assert other.state.answers["REP-R3"].value == "yes"
    assert review.state.answers["REP-R3"].value == "no"
