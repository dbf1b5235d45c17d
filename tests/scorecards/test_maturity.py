"""The ladder's invariants, over random rubrics and answers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.model import Area
from scorecards.maturity import Levels, Standing, score
from scorecards.rubric import Strength

STATUSES = ("met", "unmet", "unknown", "not_applicable")


@st.composite
def rubrics(draw: st.DrawFn) -> tuple[Standing, ...]:
    """Criteria of two or three areas, with red flags, at all levels, in any state."""
    standings = []
    for number in range(draw(st.integers(1, 24))):
        level = draw(st.integers(0, 5))
        status = draw(st.sampled_from(STATUSES))
        known = status in ("met", "unmet")
        standings.append(
            Standing(
                f"C-{number}",
                draw(st.sampled_from(list(Area)[:3])),
                level,
                status,
                draw(st.sampled_from(list(Strength))) if known else None,
                draw(st.sampled_from(list(Strength))),
                draw(st.booleans()) and draw(st.booleans()),
            )
        )
    return tuple(standings)


def changed(
    standings: tuple[Standing, ...], index: int, status: str, strength: Strength | None
) -> tuple[Standing, ...]:
    entry = msgspec.structs.replace(standings[index], status=status, strength=strength)
    return (*standings[:index], entry, *standings[index + 1 :])


def numbers(levels: Levels) -> list[int]:
    """Demonstrated levels and index, as far as they exist."""
    values = [levels.demonstrated, levels.index, *(area.demonstrated for area in levels.areas)]
    return [-1 if value is None else value for value in values]


@given(rubrics())
def test_demonstrated_is_at_most_claimed_is_at_most_possible(standings: tuple[Standing, ...]) -> None:
    levels = score(standings)
    for entry in (levels, *levels.areas):
        if entry.demonstrated is not None:
            assert entry.claimed is not None
            assert entry.possible is not None
            assert 0 <= entry.demonstrated <= entry.claimed <= entry.possible <= 5


@given(rubrics(), st.data())
def test_a_fix_never_lowers_anything(standings: tuple[Standing, ...], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(standings) - 1))
    if standings[index].status == "not_applicable":
        return
    before, after = score(standings), score(changed(standings, index, "met", Strength.MEASURED))
    assert all(new >= old for old, new in zip(numbers(before), numbers(after), strict=True))


@given(rubrics(), st.data())
def test_losing_sight_never_raises_anything(standings: tuple[Standing, ...], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(standings) - 1))
    hidden = standings[index]
    if hidden.status == "not_applicable":
        return
    before, after = score(standings), score(changed(standings, index, "unknown", None))
    if hidden.open_red_flag:
        assert (after.area(hidden.area).demonstrated or 0) <= 2
        assert (after.area(hidden.area).claimed or 0) <= 2
    else:
        assert all(new <= old for old, new in zip(numbers(before), numbers(after), strict=True))


@given(rubrics(), st.sampled_from(["met", "unmet"]), st.sampled_from(list(Strength)), st.data())
def test_resolving_an_unknown_stays_inside_the_interval(
    standings: tuple[Standing, ...], status: str, strength: Strength, data: st.DataObject
) -> None:
    unknown = [index for index, standing in enumerate(standings) if standing.status == "unknown"]
    if not unknown:
        return
    index = data.draw(st.sampled_from(unknown))
    after_standings = changed(standings, index, status, strength)
    area = standings[index].area
    before, after = score(standings).area(area), score(after_standings).area(area)
    if before.demonstrated is None or after_standings[index].open_red_flag:
        assert after.demonstrated in (None, 0)
        return
    assert after.demonstrated is not None
    assert after.possible is not None
    assert before.possible is not None
    assert before.demonstrated <= after.demonstrated <= before.possible
    assert after.possible <= before.possible


@given(rubrics())
def test_an_open_red_flag_sinks_the_whole(standings: tuple[Standing, ...]) -> None:
    levels = score(standings)
    if levels.red_flags:
        assert (levels.demonstrated, levels.claimed, levels.possible) == (0, 0, 0)
        assert levels.index is not None
        assert levels.index <= 39


@given(rubrics())
def test_provisional_criteria_move_no_number_upwards(standings: tuple[Standing, ...]) -> None:
    extra = Standing("C-new", Area.SCHEMA, 3, "unmet", Strength.MEASURED, provisional=True)
    level_three = [entry for entry in standings if entry.area is Area.SCHEMA and entry.level == 3 and entry.counts]
    before, after = numbers(score(standings)), numbers(score((*standings, extra)))
    assert before == after or not level_three


@given(rubrics())
def test_what_holds_an_area_back_would_lift_it(standings: tuple[Standing, ...]) -> None:
    for levels in score(standings).areas:
        if not levels.held_back_by:
            continue
        fixed = tuple(
            msgspec.structs.replace(entry, status="met", strength=Strength.MEASURED)
            if entry.id in levels.held_back_by
            else entry
            for entry in standings
        )
        lifted = score(fixed).area(levels.area)
        assert lifted.demonstrated is not None
        assert levels.demonstrated is not None
        assert lifted.demonstrated > levels.demonstrated or lifted.progress >= levels.progress


def standing(id: str, level: int, status: str = "met", strength: Strength | None = Strength.MEASURED) -> Standing:
    return Standing(id, Area.SCHEMA, level, status, strength if status in ("met", "unmet") else None)


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ([standing("1", 1)], (5, 5, 5)),
        ([standing("1", 1), standing("2", 2, "unknown")], (1, 1, 5)),
        ([standing("1", 1), standing("2", 2, "met", Strength.STATED)], (1, 5, 5)),
        ([standing("1", 1), standing("2", 2, "unmet")], (1, 1, 1)),
        ([standing("R", 0, "unknown"), standing("1", 1), standing("2", 2), standing("3", 3)], (2, 2, 5)),
        ([standing("R", 0, "unmet"), standing("1", 1)], (0, 0, 0)),
        ([standing("R", 0, "unmet", Strength.INFERRED), standing("1", 1)], (2, 2, 5)),
        ([standing("1", 1, "not_applicable")], (None, None, None)),
        ([standing("1", 1, "not_applicable"), standing("2", 2)], (5, 5, 5)),
    ],
)
def test_one_area(standings: list[Standing], expected: tuple[int | None, ...]) -> None:
    levels = score(standings).area(Area.SCHEMA)
    assert (levels.demonstrated, levels.claimed, levels.possible) == expected


def test_index_and_coverage() -> None:
    levels = score([standing("1", 1), standing("2a", 2), standing("2b", 2, "unknown"), standing("2c", 2, "unmet")])
    assert levels.index == 26  # 20 * (1 + 1/3), rounded down
    assert levels.coverage == 0.75
    assert levels.area(Area.SCHEMA).held_back_by == ("2b", "2c")
