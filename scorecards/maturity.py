"""The ladder: from the status of each criterion to levels, index and coverage. Pure, and small enough to be argued with.

An area's demonstrated level is the highest L such that every applicable criterion of levels 1 to L is met with at least
its minimum evidence. Claimed accepts any evidence; possible also takes what is unknown as met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import floor

import msgspec

from checks.model import Area
from scorecards.rubric import Strength

Passes = Callable[["Standing"], bool]

HIGHEST = 5
UNRESOLVED_CAP = 2
RED_FLAG_INDEX = 39
PROVISIONAL_COVERAGE = 0.6
ANSWER_DAYS = 180
ARTEFACT_DAYS = 365


class Standing(msgspec.Struct, frozen=True):
    """What the ladder needs of one criterion. `status`: met, unmet, unknown, not_applicable; level 0 is a red flag."""

    id: str
    area: Area
    level: int
    status: str
    strength: Strength | None = None
    minimum: Strength = Strength.MEASURED
    provisional: bool = False

    @property
    def counts(self) -> bool:
        return self.status != "not_applicable" and not self.provisional

    @property
    def sufficient(self) -> bool:
        return self.strength is not None and self.strength.reaches(self.minimum)

    @property
    def demonstrated(self) -> bool:
        return self.status == "met" and self.sufficient

    @property
    def open_red_flag(self) -> bool:
        """Failing with the evidence it needs; with less it is unresolved."""
        return self.level == 0 and self.counts and self.status == "unmet" and self.sufficient

    @property
    def unresolved_red_flag(self) -> bool:
        return self.level == 0 and self.counts and self.status != "met" and not self.open_red_flag

    @property
    def known(self) -> bool:
        return self.status in ("met", "unmet")


class AreaLevels(msgspec.Struct, frozen=True):
    """`progress` is the demonstrated share of the next level's criteria; levels are None where the area is not applicable."""

    area: Area
    demonstrated: int | None
    claimed: int | None
    possible: int | None
    progress: float
    known: int
    applicable: int
    held_back_by: tuple[str, ...]

    @property
    def coverage(self) -> float | None:
        return self.known / self.applicable if self.applicable else None


class Levels(msgspec.Struct, frozen=True):
    """Of a whole review. `overall` levels are those of the lowest applicable area."""

    areas: tuple[AreaLevels, ...]
    demonstrated: int | None
    claimed: int | None
    possible: int | None
    index: int | None
    coverage: float | None
    red_flags: tuple[str, ...]
    red_flags_unknown: tuple[str, ...]

    def area(self, area: Area) -> AreaLevels:
        return next(levels for levels in self.areas if levels.area == area)


def score(standings: Sequence[Standing]) -> Levels:
    """The levels of all six areas and of the whole."""
    by_area: dict[Area, list[Standing]] = {area: [] for area in Area}
    for standing in standings:
        by_area[standing.area].append(standing)
    areas = tuple(_area(area, entries) for area, entries in by_area.items())
    scored = [levels for levels in areas if levels.demonstrated is not None]
    red_flags = tuple(standing.id for standing in standings if standing.open_red_flag)
    applicable = sum(levels.applicable for levels in scored)
    return Levels(
        areas,
        _lowest(levels.demonstrated for levels in scored),
        _lowest(levels.claimed for levels in scored),
        _lowest(levels.possible for levels in scored),
        _index(scored, bool(red_flags)),
        sum(levels.known for levels in scored) / applicable if applicable else None,
        red_flags,
        tuple(standing.id for standing in standings if standing.unresolved_red_flag),
    )


def _area(area: Area, standings: Sequence[Standing]) -> AreaLevels:
    counted = [standing for standing in standings if standing.counts]
    if not counted:
        return AreaLevels(area, None, None, None, 0.0, 0, 0, ())
    known = sum(standing.known for standing in counted)
    open_flags = tuple(standing.id for standing in counted if standing.open_red_flag)
    if open_flags:
        return AreaLevels(area, 0, 0, 0, _progress(counted, 0), known, len(counted), open_flags)
    unproven = [standing for standing in counted if standing.level == 0 and not standing.demonstrated]
    unsaid = [standing for standing in counted if standing.unresolved_red_flag]
    demonstrated = _climb(standings, lambda standing: standing.demonstrated)
    claimed = _climb(standings, lambda standing: standing.status == "met")
    possible = _climb(standings, lambda standing: standing.status != "unmet", provisional=True)
    if unproven:
        demonstrated = min(demonstrated, UNRESOLVED_CAP)
    if unsaid:
        claimed = min(claimed, UNRESOLVED_CAP)
    blocking = tuple(
        standing.id
        for standing in standings
        if standing.status != "not_applicable"
        and (
            (standing.level == demonstrated + 1 and not standing.demonstrated and standing.counts)
            or (standing in unproven and demonstrated == UNRESOLVED_CAP)
        )
    )
    progress = _progress(counted, demonstrated)
    return AreaLevels(area, demonstrated, claimed, possible, progress, known, len(counted), blocking)


def _climb(standings: Sequence[Standing], passes: Passes, provisional: bool = False) -> int:
    """The highest level up to which every applicable criterion passes. A level of provisional criteria alone proves nothing,
    so it is passed only with `provisional`."""
    for level in range(1, HIGHEST + 1):
        applicable = [entry for entry in standings if entry.level == level and entry.status != "not_applicable"]
        counted = [entry for entry in applicable if not entry.provisional]
        if not all(passes(entry) for entry in counted) or (applicable and not counted and not provisional):
            return level - 1
    return HIGHEST


def _progress(counted: Sequence[Standing], demonstrated: int) -> float:
    following = [standing for standing in counted if standing.level == demonstrated + 1]
    return sum(standing.demonstrated for standing in following) / len(following) if following else 0.0


def _index(scored: Sequence[AreaLevels], red_flag: bool) -> int | None:
    if not scored:
        return None
    total = sum((levels.demonstrated or 0) + levels.progress for levels in scored)
    # A sum of thirds can end a hair below the integer it is: 1e-9 is far under the smallest step, 1/20 of a criterion.
    index = min(100, floor(20 * total / len(scored) + 1e-9))
    return min(index, RED_FLAG_INDEX) if red_flag else index


def _lowest(levels: Iterable[int | None]) -> int | None:
    return min((level for level in levels if level is not None), default=None)
