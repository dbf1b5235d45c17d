from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.model import Reason
from scorecards.criteria import Judged
from scorecards.facts.verdict import Verdict
from scorecards.maturity import score
from scorecards.moves import action_of, effort_of, find_moves
from scorecards.rubric import Criterion, Question, Rule, Strength

QUESTION = Question("Is it so?", "It matters.", "A date.")
RULE = Rule(fact="autovacuum_on")
IDS = [f"{prefix}-{level}.{number}" for prefix in ("SCH", "IDX") for level in (1, 2, 3) for number in (1, 2)]


def entry(
    id: str,
    status: str,
    reason: Reason | None = None,
    *,
    minimum: Strength = Strength.MEASURED,
    question: bool = False,
    rule: bool = True,
    effort: str = "M",
    unlock: str = "",
) -> Judged:
    level = 0 if "R" in id[4:] else int(id[4])
    criterion = Criterion(id, level, "So.", minimum, effort, f"do {id}", ("ours",), RULE if rule else None,
                          QUESTION if question else None)  # fmt: skip
    strength = Strength.MEASURED if status in ("met", "unmet") else None
    return Judged(criterion, Verdict(status, "", strength, reason, unlock), asked=question and status == "unknown")


def test_a_fix_a_look_and_an_answer_are_told_apart() -> None:
    fix = entry("SCH-1.1", "unmet")
    look = entry("SCH-1.1", "unknown", Reason.NOT_PERMITTED, unlock="GRANT pg_monitor TO ada;")
    answer = entry("SCH-1.1", "unknown", Reason.NEEDS_ANSWER, question=True, minimum=Strength.ARTEFACT, rule=False)
    wait = entry("SCH-1.1", "unknown", Reason.WINDOW_TOO_SHORT, unlock="run again later", effort="S")
    assert [action_of(one) for one in (fix, look, answer)] == [
        "do SCH-1.1",
        "look: GRANT pg_monitor TO ada;",
        "answer (with a dated link): Is it so?",
    ]
    assert [effort_of(one) for one in (fix, look, answer, wait)] == ["M", "S", "M", "M"]


def test_a_single_that_lifts_a_level_comes_before_one_that_lifts_the_index() -> None:
    judged = [
        entry("SCH-1.1", "unmet"),
        entry("IDX-1.1", "unmet"),
        entry("IDX-1.2", "unmet"),
        entry("IDX-2.1", "met"),
    ]
    first, second = find_moves(judged)
    assert first.criteria == ("SCH-1.1",)
    assert first.effect == "schema 0→5"
    assert second.criteria == ("IDX-1.1", "IDX-1.2")
    assert second.effect == "indexing 0→5"


def test_a_pair_is_a_move_only_if_it_lifts_more_than_its_halves() -> None:
    judged = [entry("SCH-1.1", "unmet"), entry("SCH-1.2", "unmet"), entry("SCH-1.3", "unmet")]
    assert all(len(move.criteria) == 1 for move in find_moves(judged))


def test_the_cheaper_of_equals_comes_first() -> None:
    judged = [entry("SCH-1.1", "unmet", effort="L"), entry("IDX-1.1", "unmet", effort="S")]
    assert [move.criterion for move in find_moves(judged)] == ["IDX-1.1", "SCH-1.1"]


def test_words_cannot_lift_what_must_be_measured() -> None:
    judged = [entry("SCH-1.1", "unknown", Reason.NEEDS_ANSWER, question=True)]
    (move,) = find_moves(judged)
    assert move.effect == "schema claimed 0→5"


def test_a_cleared_red_flag_is_told() -> None:
    judged = [entry("SCH-R1", "unmet"), entry("SCH-1.1", "met")]
    (move,) = find_moves(judged)
    assert move.effect == "clears red flag SCH-R1, schema 0→5, overall 0→5"


def test_a_red_flag_and_what_stands_behind_it_are_one_move() -> None:
    judged = [entry("IDX-R1", "unmet"), entry("IDX-1.1", "unmet"), entry("IDX-2.1", "unmet")]
    first = find_moves(judged)[0]
    assert first.criteria == ("IDX-R1", "IDX-1.1")
    assert first.effect == "clears red flag IDX-R1, indexing 0→1, overall 0→1"


def test_a_step_that_the_index_does_not_show_is_told_as_a_share() -> None:
    judged = [entry(f"SCH-1.{number}", "unmet" if number > 5 else "met") for number in range(30)]
    assert find_moves(judged)[0].effect == "schema 20%→23% of level 1"


def test_nothing_to_do_where_all_is_met_or_provisional() -> None:
    assert find_moves([entry("SCH-1.1", "met")]) == ()


@pytest.mark.parametrize("count", [9, 30])
def test_ten_moves_at_most(count: int) -> None:
    judged = [entry(f"SCH-1.{number}", "unmet") for number in range(count)]
    assert len(find_moves(judged)) == min(10, count)


@given(st.lists(st.sampled_from(["met", "unmet", "unknown", "not_applicable"]), min_size=len(IDS), max_size=len(IDS)))
def test_no_criterion_is_in_two_moves_and_none_lowers_anything(statuses: list[str]) -> None:
    judged = [
        entry(id, status, Reason.NOT_PERMITTED if status == "unknown" else None, unlock="GRANT")
        for id, status in zip(IDS, statuses, strict=True)
    ]
    moves = find_moves(judged)
    used = [id for move in moves for id in move.criteria]
    assert len(used) == len(set(used))
    open_ones = {one.criterion.id for one in judged if one.verdict.status in ("unmet", "unknown")}
    assert set(used) <= open_ones
    blocked = any(levels.held_back_by for levels in score([one.standing for one in judged]).areas)
    assert bool(moves) == blocked
