from __future__ import annotations

import re
from collections import Counter

import pytest

from checks.model import Area
from checks.registry import all_checks
from scorecards.facts import FACTS, PRECONDITIONS
from scorecards.rubric import Criterion, load_rubric

CRITERIA = load_rubric().criteria


def test_a_hundred_criteria_ten_of_them_red_flags() -> None:
    assert len(CRITERIA) == 100
    flags = Counter(criterion.id[:3] for criterion in CRITERIA if criterion.red_flag)
    assert flags == {"SCH": 2, "IDX": 1, "PLN": 2, "REP": 3, "OBS": 1, "HYB": 1}


def test_the_rubric_lists_what_the_document_lists() -> None:
    counts = Counter((criterion.id[:3], criterion.level) for criterion in CRITERIA if not criterion.red_flag)
    expected = {
        "SCH": (2, 3, 3, 3, 3),
        "IDX": (2, 3, 3, 3, 2),
        "PLN": (2, 2, 4, 4, 2),
        "REP": (2, 3, 4, 5, 3),
        "OBS": (2, 3, 4, 4, 2),
        "HYB": (3, 4, 4, 4, 2),
    }
    assert {prefix: tuple(counts[prefix, level] for level in range(1, 6)) for prefix in expected} == expected


def test_every_level_of_every_area_can_be_decided() -> None:
    decided = {(criterion.area, criterion.level) for criterion in CRITERIA if not criterion.provisional}
    assert {(area, level) for area in Area for level in range(6)} - decided == set()


def test_rules_name_checks_and_facts_that_exist() -> None:
    rules = [criterion.rule for criterion in CRITERIA if criterion.rule]
    assert {check for rule in rules for check in rule.checks} <= set(all_checks())
    assert {rule.fact for rule in rules if rule.fact} == set(FACTS)
    assert {criterion.applies for criterion in CRITERIA if criterion.applies} == set(PRECONDITIONS)


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.id)
def test_the_words_of_a_criterion(criterion: Criterion) -> None:
    assert re.fullmatch(r"\S.*\.", criterion.statement)
    assert not criterion.statement.startswith("Ensure")
    assert criterion.action[0].islower() or criterion.action.split()[0].isupper()
    assert not criterion.action.endswith(".")
    assert criterion.sources
    if criterion.question:
        assert criterion.question.text.endswith("?")
        assert criterion.question.why.endswith(".")
        assert criterion.question.good.endswith(".")
