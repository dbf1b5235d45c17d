from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from checks.evidence.database.facts import Rates
from checks.model import CheckResult, Confidence, Examined, Outcome, Reason, Severity, Unobserved
from scorecards.criteria import Judged, judge_criteria
from scorecards.profile import Scale, scale_of
from scorecards.review import Answer
from scorecards.rubric import Criterion, Question, Require, Rubric, Rule, Strength
from tests.scorecards.reviewed import AS_OF, catalog, evidence, finding, found, passed, server, unseen

CHECK = "schema.no-primary-key"
QUESTION = Question("Is it so?", "It matters.", "A date.")
SMALL = Scale("S", "small")


def judge(
    results: list[CheckResult],
    *,
    rule: Rule | None = None,
    question: Question | None = None,
    answer: Answer | None = None,
    **more: Any,
) -> Judged:
    criterion = Criterion(
        "SCH-1.1", 1, "So.", Strength.MEASURED, "S", "do it", ("ours",), rule, question, **more,
    )  # fmt: skip
    answers: Mapping[str, Answer] = {"SCH-1.1": answer} if answer else {}
    scale = more.pop("scale_seen", SMALL)
    assert isinstance(scale, Scale)
    outcomes = {result.check: result for result in results}
    return judge_criteria(Rubric("2026.1", (criterion,)), evidence(), outcomes, answers, AS_OF, scale)[0]


NONE_FOUND = Rule(checks=(CHECK,))
ALL = Rule(checks=(CHECK,), require=Require.ALL)
SHARE = Rule(checks=(CHECK,), require=Require.SHARE, share=0.9)


def tables(bad: int, of: int, *, examined: int | None = None, severity: Severity = Severity.HIGH) -> CheckResult:
    findings = [finding(CHECK, "table", "public", f"t{number}", severity=severity) for number in range(bad)]
    seen = Examined(of if examined is None else examined, of, "tables")
    if not findings:
        return CheckResult(CHECK, Outcome.PASSED, (), seen.examined, seen.of, 0, "tables")
    return found(CHECK, findings, seen)


@pytest.mark.parametrize(
    ("rule", "result", "status", "observed"),
    [
        (NONE_FOUND, tables(0, 400), "met", "400 of 400 tables"),
        (NONE_FOUND, tables(3, 400), "unmet", "only 397 of 400 tables"),
        (NONE_FOUND, tables(3, 400, severity=Severity.LOW), "met", "400 of 400 tables"),
        (NONE_FOUND, tables(0, 0), "met", "0 of 0 tables"),
        (ALL, tables(0, 0), "not_applicable", "there are no tables"),
        (ALL, tables(1, 400), "unmet", "only 399 of 400 tables"),
        (SHARE, tables(40, 400), "met", "360 of 400 tables"),
        (SHARE, tables(41, 400), "unmet", "only 359 of 400 tables"),
        (SHARE, tables(1, 400, examined=300), "unknown", "299 of 400 tables"),
        (SHARE, tables(100, 400, examined=300), "unmet", "only 200 of 400 tables"),
        (SHARE, tables(1, 400, examined=390), "met", "389 of 400 tables"),
        (NONE_FOUND, unseen(CHECK, Reason.NOT_PERMITTED, "GRANT"), "unknown", ""),
        (NONE_FOUND, CheckResult(CHECK, Outcome.NOT_APPLICABLE, fact="no tables"), "not_applicable", "no tables"),
        (NONE_FOUND, CheckResult(CHECK, Outcome.ERROR, reason=Reason.CHECK_ERROR), "unknown", ""),
        (Rule(checks=("schema.never-run",)), tables(0, 4), "unknown", ""),
    ],
)
def test_status_from_a_check(rule: Rule, result: CheckResult, status: str, observed: str) -> None:
    verdict = judge([result], rule=rule).verdict
    assert (verdict.status, verdict.observed) == (status, observed)


def test_an_error_is_unknown_with_its_reason() -> None:
    assert (
        judge([CheckResult(CHECK, Outcome.ERROR, reason=Reason.CHECK_ERROR)], rule=ALL).verdict.reason == "check_error"
    )


@pytest.mark.parametrize("count", [{"schemas": 7}, {"number": 7}])
def test_objects_behind_one_mild_finding_do_not_count(count: dict[str, int]) -> None:
    mild = finding(CHECK, "schema", "public", severity=Severity.NOTE, observed=count)
    wrong = finding(CHECK, "table", "public", "t")
    seen = judge([found(CHECK, [mild], Examined(400, 400, "tables", unmet=7))], rule=NONE_FOUND).verdict
    assert (seen.status, seen.observed) == ("met", "400 of 400 tables")
    seen = judge([found(CHECK, [mild, wrong], Examined(400, 400, "tables", unmet=8))], rule=NONE_FOUND).verdict
    assert (seen.status, seen.observed) == ("unmet", "only 399 of 400 tables")
    seen = judge([found(CHECK, [wrong], Examined(1, 3, "tables", unmet=1))], rule=NONE_FOUND).verdict
    assert (seen.status, seen.observed) == ("unmet", "none of 3 tables")


def test_objects_that_stand_behind_one_finding_are_counted() -> None:
    result = found(CHECK, [finding(CHECK, "table", "public", "tenant")], Examined(400, 400, "tables", unmet=399))
    assert judge([result], rule=NONE_FOUND).verdict.observed == "only 1 of 400 tables"


def test_some_found_and_the_rest_hidden_is_unmet() -> None:
    result = CheckResult(CHECK, Outcome.FOUND, (finding(CHECK, "table", "public", "t"),), 3, 5, 1, "tables",
                         Reason.NOT_PERMITTED, "GRANT")  # fmt: skip
    assert judge([result], rule=NONE_FOUND).verdict.status == "unmet"


def test_a_mild_finding_does_not_prove_what_was_not_seen() -> None:
    mild = finding(CHECK, "table", "public", "t", severity=Severity.NOTE)
    result = CheckResult(CHECK, Outcome.FOUND, (mild,), 3, 5, 1, "tables", Reason.NOT_PERMITTED, "GRANT")
    assert judge([result], rule=NONE_FOUND).verdict.status == "unknown"


def test_evidence_class_of_findings_and_of_passes() -> None:
    inferred = finding(CHECK, "table", "public", "t", confidence=Confidence.INFERRED)
    assert judge([found(CHECK, [inferred])], rule=NONE_FOUND).verdict.strength is Strength.INFERRED
    assert (
        judge([passed(CHECK)], rule=Rule(checks=(CHECK,), evidence=Strength.INFERRED)).verdict.strength
        is Strength.INFERRED
    )
    assert judge([passed(CHECK)], rule=NONE_FOUND).verdict.strength is Strength.MEASURED


YES, NO = Answer("yes", "ada", AS_OF), Answer("no", "ada", AS_OF)
OLD = Answer("yes", "ada", AS_OF - dt.timedelta(days=181))
PROVEN = Answer("yes: see there", "ada", AS_OF, "https://wiki.example/drill", AS_OF - dt.timedelta(days=365))
OLD_PROOF = Answer("yes", "ada", AS_OF, "https://wiki.example/drill", AS_OF - dt.timedelta(days=366))


@pytest.mark.parametrize(
    ("answer", "status", "strength", "reason"),
    [
        (None, "unknown", None, "needs_answer"),
        (Answer("unknown"), "unknown", None, "needs_answer"),
        (YES, "met", Strength.STATED, None),
        (NO, "unmet", Strength.STATED, None),
        (OLD, "unknown", None, "stale_answer"),
        (PROVEN, "met", Strength.ARTEFACT, None),
        (OLD_PROOF, "met", Strength.STATED, None),
    ],
)
def test_status_from_an_answer(
    answer: Answer | None, status: str, strength: Strength | None, reason: str | None
) -> None:
    verdict = judge([], question=QUESTION, answer=answer).verdict
    assert (verdict.status, verdict.strength, verdict.reason) == (status, strength, reason)


def test_evidence_comes_before_words_and_a_contradiction_is_told() -> None:
    judged = judge([tables(3, 400)], rule=NONE_FOUND, question=QUESTION, answer=YES)
    assert judged.verdict.status == "unmet"
    assert judged.contradiction == "said yes, seen: only 397 of 400 tables"
    assert judge([tables(0, 400)], rule=NONE_FOUND, question=QUESTION, answer=NO).verdict.status == "met"


def test_words_decide_where_evidence_does_not() -> None:
    hidden = unseen(CHECK, Reason.NOT_PERMITTED, "GRANT")
    assert judge([hidden], rule=NONE_FOUND, question=QUESTION, answer=YES).verdict.strength is Strength.STATED
    silent = judge([hidden], rule=NONE_FOUND, question=QUESTION).verdict
    assert (silent.reason, silent.unlock) == ("not_permitted", "GRANT")


def test_a_question_that_must_be_answered_as_well() -> None:
    also = Question("Is it so?", "It matters.", "A date.", role="also")
    assert judge([passed(CHECK)], rule=NONE_FOUND, question=also).verdict.status == "unknown"
    both = judge([passed(CHECK)], rule=NONE_FOUND, question=also, answer=YES).verdict
    assert (both.status, both.strength) == ("met", Strength.STATED)
    assert judge([passed(CHECK)], rule=NONE_FOUND, question=also, answer=NO).verdict.status == "unmet"


def test_words_of_a_text_question_count_as_yes() -> None:
    text = Question("Which?", "It matters.", "A list.", type="text")
    assert judge([], question=text, answer=Answer("logins and payments", on=AS_OF)).verdict.status == "met"


def test_both_checks_must_pass() -> None:
    rule = Rule(checks=(CHECK, "schema.other"))
    other = unseen("schema.other", Reason.NOT_PERMITTED, "GRANT")
    assert judge([passed(CHECK), other], rule=rule).verdict.status == "unknown"
    assert judge([tables(1, 4), other], rule=rule).verdict.status == "unmet"
    absent = CheckResult("schema.other", Outcome.NOT_APPLICABLE, fact="none")
    assert judge([passed(CHECK), absent], rule=rule).verdict.status == "met"


def test_a_criterion_of_larger_installations_is_not_asked_of_small_ones() -> None:
    assert judge([tables(1, 4)], rule=NONE_FOUND, scale="M").verdict.status == "not_applicable"


@pytest.mark.parametrize(
    ("size", "profile", "target"),
    [(9_999_999_999, "S", 2), (10**10, "M", 3), (500 * 10**9, "M", 3), (500 * 10**9 + 1, "L", 4), (None, "", None)],
)
def test_scale_profile_from_the_size(size: int | None, profile: str, target: int | None) -> None:
    scale = scale_of(evidence(server=server(size_bytes=size)))
    assert (scale.profile, scale.target) == (profile, target)
    assert scale.reaches("M") == (profile != "S")


def test_scale_profile_from_what_was_watched() -> None:
    def watched(writes: float | None, size: int = 10**9) -> Scale:
        rates = Rates(30.0, write_transactions_per_s=writes)
        return scale_of(evidence(server=server(size_bytes=size), rates=rates))

    assert [watched(writes).profile for writes in (None, 5.0, 100.0, 2_000.0, 2_001.0)] == ["S", "S", "M", "M", "L"]
    assert watched(1.0, 600 * 10**9).profile == "L"
    assert watched(120.0).basis == "from its size of 954 MB and 120 write transactions/s, watched for 30 s"


def test_a_precondition_that_cannot_be_seen_keeps_the_criterion() -> None:
    criterion = Criterion(
        "HYB-3.1", 3, "So.", Strength.MEASURED, "S", "do it", ("ours",), None, QUESTION, "json_columns"
    )
    hidden = evidence(catalog=Unobserved(Reason.NOT_PERMITTED, "GRANT"))
    without = evidence(catalog=type(catalog())())
    rubric = Rubric("2026.1", (criterion,))
    assert judge_criteria(rubric, hidden, {}, {}, AS_OF, SMALL)[0].verdict.status == "unknown"
    assert judge_criteria(rubric, without, {}, {}, AS_OF, SMALL)[0].verdict.status == "not_applicable"
