from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checks.configuration import Waiver
from checks.errors import UsageError
from checks.evidence.database.facts import FreezeAge, FreezeAges
from checks.model import Severity
from scorecards.exports import render
from scorecards.gate import Baseline, baseline_of, judge, parse_minimums, read_baseline
from scorecards.model import Scorecard
from scorecards.review import Decision, ReviewState
from scorecards.store import ReviewFolder
from tests.scorecards.reviewed import AS_OF, NOW, evidence, finding, found, results, scorecard

TODAY = AS_OF
NOTHING = Baseline(frozenset(), frozenset())
OLD = FreezeAges((FreezeAge(("assistant",), 1_700_000_000, 1),))
CHECK = "schema.no-primary-key"


def with_red_flag(**more: Any) -> Scorecard:
    return scorecard(evidence=evidence(freeze_ages=OLD), **more)


def waived(expires: dt.date) -> ReviewState:
    id = finding(CHECK, "table", "public", "orders").id
    return ReviewState(decisions={id: Decision("waive", "ada", AS_OF, "planned", "grace", expires)})


def one_finding(severity: Severity = Severity.HIGH, state: ReviewState | None = None) -> Scorecard:
    return scorecard(
        results=(found(CHECK, [finding(CHECK, "table", "public", "orders", severity=severity)]),),
        state=state or ReviewState(),
        evidence=evidence(configuration=type(evidence().configuration)()),
    )


def test_nothing_asked_nothing_failed(reviewed: Scorecard) -> None:
    gate = judge(reviewed, (), {}, None, TODAY)
    assert (gate.asked, gate.failed) == ((), ())
    assert judge(reviewed, ("never",), {}, None, TODAY).failed == ()


def test_red(reviewed: Scorecard) -> None:
    assert judge(reviewed, ("red",), {}, None, TODAY).failed == ()
    (line,) = judge(with_red_flag(), ("red",), {}, None, TODAY).failed
    assert line.startswith("red flag SCH-R2: ")
    assert "1,700 million" in line


def test_a_red_flag_can_be_waived_until_its_day() -> None:
    waiver = Waiver("planned", "grace", TODAY, check="SCH-R2")
    flagged = with_red_flag()
    assert judge(flagged, ("red",), {}, None, TODAY, [waiver]).failed == ()
    lines = judge(flagged, ("red",), {}, None, TODAY + dt.timedelta(days=1), [waiver]).failed
    assert [line.split(":")[0] for line in lines] == ["red flag SCH-R2", "waiver expired on 2026-11-23 (@grace)"]


@pytest.mark.parametrize(
    ("severity", "count"), [("critical", 2), ("high", 2), ("medium", 2), ("low", 0), ("note", 0)]
)  # the finding, and the criterion that it makes unmet
def test_new_findings_count_from_medium_on(severity: str, count: int) -> None:
    current = one_finding(Severity(severity))
    baseline = msgspec.structs.replace(baseline_of(current), findings=frozenset(), unmet=frozenset())
    known = baseline_of(scorecard(results=(), state=ReviewState(), evidence=current_evidence()))
    baseline = msgspec.structs.replace(baseline, unmet=known.unmet)
    assert len(judge(current, ("new",), {}, baseline, TODAY).failed) == count


def current_evidence() -> Any:
    return evidence(configuration=type(evidence().configuration)())


def test_what_the_baseline_has_is_not_new() -> None:
    current = one_finding()
    assert judge(current, ("new",), {}, baseline_of(current), TODAY).failed == ()


def test_from_known_to_unknown_is_not_new() -> None:
    before = one_finding()
    blind = scorecard(results=(), state=ReviewState(), evidence=current_evidence())
    assert judge(blind, ("new",), {}, baseline_of(before), TODAY).failed == ()


def test_new_needs_a_baseline(reviewed: Scorecard) -> None:
    with pytest.raises(UsageError, match="needs --baseline"):
        judge(reviewed, ("new",), {}, None, TODAY)


@pytest.mark.parametrize(("days", "waived_today"), [(0, True), (1, True), (-1, False)])
def test_a_waived_finding_does_not_count_until_it_expires(days: int, waived_today: bool) -> None:
    expires = TODAY + dt.timedelta(days=days)
    current = one_finding(state=waived(expires))
    known = baseline_of(scorecard(results=(), state=ReviewState(), evidence=current_evidence()))
    failed = judge(current, ("new",), {}, known, TODAY).failed
    assert (failed == ()) == waived_today
    if not waived_today:
        assert any(line.startswith(f"waiver expired on {expires} (@grace): ") for line in failed)


def test_a_waiver_of_the_repository_counts_like_one_of_the_review() -> None:
    current = one_finding()
    known = baseline_of(scorecard(results=(), state=ReviewState(), evidence=current_evidence()))
    for waiver in (
        Waiver("planned", "grace", TODAY, check="schema.*", objects=("public.ord*",)),
        Waiver("planned", "grace", TODAY, finding=current.findings[0].id),
    ):
        new = [line for line in judge(current, ("new",), {}, known, TODAY, [waiver]).failed if "finding" in line]
        assert new == []
    other = Waiver("planned", "grace", TODAY, check="schema.*", objects=("public.users",))
    assert judge(current, ("new",), {}, known, TODAY, [other]).failed


def test_an_expired_waiver_of_something_that_is_gone_is_no_matter(reviewed: Scorecard) -> None:
    gone = Waiver("planned", "grace", dt.date(2020, 1, 1), check=CHECK, objects=("public.gone",))
    assert judge(reviewed, ("red",), {}, None, TODAY, [gone]).failed == ()


@pytest.mark.parametrize(
    ("minimums", "failing"),
    [
        ({"schema": 0}, []),
        ({"schema": 1}, ["schema"]),
        ({"indexing": 1, "plans": 2}, ["plans"]),
        ({"overall": 1}, ["overall"]),
        ({"overall": 0}, []),
    ],
)
def test_minimums(reviewed: Scorecard, minimums: dict[str, int], failing: list[str]) -> None:
    failed = judge(reviewed, (), minimums, None, TODAY).failed
    assert [line.split()[0] for line in failed] == failing


def test_an_area_that_is_not_applicable_passes(reviewed: Scorecard) -> None:
    areas = tuple(
        msgspec.structs.replace(area, demonstrated=None, not_applicable="nothing") if area.area == "hybrid" else area
        for area in reviewed.areas
    )
    given = msgspec.structs.replace(reviewed, areas=areas)
    assert judge(given, (), {"hybrid": 5}, None, TODAY).failed == ()


def test_what_was_asked_is_told(reviewed: Scorecard) -> None:
    gate = judge(reviewed, ("new", "red"), {"schema": 2}, NOTHING, TODAY)
    assert gate.asked == ("fail-on red", "fail-on new", "min schema=2")


@pytest.mark.parametrize(
    "word", ["schema", "schema=", "schema=6", "schema=-1", "schema=two", "scheme=1", "=1", "schema=²"]
)
def test_what_is_no_minimum(word: str) -> None:
    with pytest.raises(UsageError, match="--min"):
        parse_minimums([word])


def test_minimums_are_read() -> None:
    assert parse_minimums(["schema=2", "overall=1", "schema=1"]) == {"schema": 2, "overall": 1}


def test_a_baseline_is_a_review_or_a_scorecard(tmp_path: Path, reviewed: Scorecard) -> None:
    expected = baseline_of(reviewed)
    path = tmp_path / "scorecard.json"
    path.write_text(render(reviewed, "json"))
    assert read_baseline(str(path), tmp_path) == expected
    assert read_baseline(str(tmp_path), tmp_path) == expected
    folder = ReviewFolder.create(tmp_path / "reviews", evidence(), title="t", now=NOW)
    assert "SCH-R2" not in read_baseline(folder.id, tmp_path / "reviews").unmet


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "other/1"}', '{"schema": "pgsurveyor.scorecard/1"}', "\xff"]
)
def test_what_is_no_baseline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_baseline(str(path), tmp_path)
    with pytest.raises(UsageError, match="there is no review"):
        read_baseline("missing", tmp_path)


def test_the_fixed_review_has_findings_of_its_own() -> None:
    assert {result.check for result in results() if result.findings} == {entry.check for entry in scorecard().findings}
