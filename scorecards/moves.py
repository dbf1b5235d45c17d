"""What moves the needle next, by exact simulation: set criteria met, score again, rank by effect over effort.

Singles, pairs inside an area's next level, and everything that one look (a GRANT, an option, a DSN) would show at once.
Looking and answering rank with fixing; the effect of a look is what it has if all turns out well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec

from checks.model import Area, Reason
from scorecards.costs import Costs
from scorecards.criteria import Judged, comes_along
from scorecards.maturity import Levels, Standing, score
from scorecards.model import Move
from scorecards.rubric import Strength

MAXIMUM = 10
_EFFORT = {"S": 1, "M": 2, "L": 4}


class _Candidate(msgspec.Struct, frozen=True):
    """Criteria to be met together, what it takes, and what comes of it. `one_look`: one action shows all of them; `along`: what
    is met with them, by the same."""

    judged: tuple[Judged, ...]
    before: Levels
    after: Levels
    one_look: bool = False
    along: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        return (*(entry.criterion.id for entry in self.judged), *self.along)

    @property
    def effort(self) -> int:
        efforts = [_EFFORT[effort_of(entry)] for entry in self.judged]
        return max(efforts) if self.one_look else sum(efforts)

    @property
    def gain(self) -> tuple[float, ...]:
        """Overall level, area levels, index (before it is rounded down and capped), red flags cleared, and claimed area
        levels: all that words alone can move where a criterion wants more than words."""
        pairs = list(zip(self.before.areas, self.after.areas, strict=True))
        areas = sum((new.demonstrated or 0) - (old.demonstrated or 0) for old, new in pairs)
        claimed = sum((new.claimed or 0) - (old.claimed or 0) for old, new in pairs)
        return (
            (self.after.demonstrated or 0) - (self.before.demonstrated or 0),
            areas,
            round(_points(self.after) - _points(self.before), 6),
            len(self.before.red_flags) - len(self.after.red_flags),
            claimed,
        )

    @property
    def key(self) -> tuple[float | str, ...]:
        return (*(-part / self.effort for part in self.gain), *(entry.criterion.id for entry in self.judged))


def find_moves(judged: Sequence[Judged], before: Levels | None = None, costs: Costs | None = None) -> tuple[Move, ...]:
    """At most ten moves, the best first, no criterion in two of them; with what their findings cost."""
    standings = [entry.standing for entry in judged]
    before = before or score(standings)
    open_ones = [entry for entry in judged if _movable(entry)]
    blocking = _blocking(standings, before)
    singles = [(entry,) for entry in open_ones if entry.criterion.id in blocking[entry.criterion.area]]
    pairs = [
        pair
        for area, ids in blocking.items()
        for pair in combinations(
            [one for one in open_ones if one.criterion.area is area and one.criterion.id in ids], 2
        )
    ]
    simulated = [_simulate(judged, before, group, False) for group in (*singles, *pairs)]
    simulated += [_simulate(judged, before, group, True) for group in _looks(open_ones)]
    candidates = [candidate for candidate in simulated if any(part > 0 for part in candidate.gain)]
    # A pair is worth its own line only if it lifts a level that neither of its halves lifts.
    lifted = {
        candidate.judged[0].criterion.id: candidate.gain[:2] for candidate in candidates if len(candidate.judged) == 1
    }
    worth = [
        candidate
        for candidate in candidates
        if candidate.one_look
        or len(candidate.judged) == 1
        or all(candidate.gain[:2] > lifted.get(entry.criterion.id, (0, 0)) for entry in candidate.judged)
    ]
    chosen: list[_Candidate] = []
    taken: set[str] = set()
    for candidate in sorted(worth, key=lambda candidate: candidate.key):
        ids = set(candidate.ids)
        if not ids & taken and len(chosen) < MAXIMUM:
            chosen.append(candidate)
            taken |= ids
    return tuple(_move(candidate, costs) for candidate in chosen)


def _blocking(standings: Sequence[Standing], before: Levels) -> dict[Area, set[str]]:
    """What holds each area back; under an open red flag, also what would hold it back without the flag."""
    cleared = [
        msgspec.structs.replace(entry, status="met", strength=Strength.MEASURED) if entry.open_red_flag else entry
        for entry in standings
    ]
    after = score(cleared) if before.red_flags else before
    return {
        old.area: {*old.held_back_by, *new.held_back_by} for old, new in zip(before.areas, after.areas, strict=True)
    }


def _points(levels: Levels) -> float:
    return sum((area.demonstrated or 0) + area.progress for area in levels.areas)


def _simulate(judged: Sequence[Judged], before: Levels, group: Sequence[Judged], one_look: bool) -> _Candidate:
    along = comes_along(judged, {entry.criterion.id for entry in group})
    standings = [along.get(entry.criterion.id, entry.standing) for entry in judged]
    met = tuple(id for id, standing in along.items() if standing.status == "met" and standing.counts)
    return _Candidate(tuple(group), before, score(_with_met(standings, group)), one_look, met)


def _looks(open_ones: Sequence[Judged]) -> list[tuple[Judged, ...]]:
    """Unknown criteria that the same unlock line would show."""
    groups: dict[str, list[Judged]] = {}
    for entry in open_ones:
        verdict = entry.verdict
        if verdict.status == "unknown" and verdict.unlock and not entry.answerable:
            groups.setdefault(verdict.unlock, []).append(entry)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def effort_of(judged: Judged) -> str:
    """Looking and answering are cheap; an artefact must first exist, and a window must first pass."""
    if judged.verdict.status == "unmet":
        return judged.criterion.effort
    if judged.verdict.reason is Reason.WINDOW_TOO_SHORT:
        return "M"
    if judged.asked and judged.criterion.minimum is Strength.ARTEFACT:
        return judged.criterion.effort
    return "S"


def _movable(entry: Judged) -> bool:
    standing = entry.standing
    return (
        standing.counts
        and not standing.demonstrated
        and (standing.status != "met" or _best(entry).reaches(standing.minimum))
    )


def _best(entry: Judged) -> Strength:
    """The strongest evidence that the move can bring: words can't measure."""
    if entry.answerable or entry.criterion.rule is None:
        return Strength.ARTEFACT
    return Strength.MEASURED


def _with_met(standings: Sequence[Standing], group: Sequence[Judged]) -> list[Standing]:
    met = {entry.criterion.id: _best(entry) for entry in group}
    return [
        msgspec.structs.replace(entry, status="met", strength=met[entry.id]) if entry.id in met else entry
        for entry in standings
    ]


def _move(candidate: _Candidate, costs: Costs | None) -> Move:
    actions = dict.fromkeys(action_of(entry) for entry in candidate.judged)
    if candidate.one_look:
        actions = {f"look: {candidate.judged[0].verdict.unlock}": None}
    effort = (
        "S"
        if candidate.one_look
        else max((effort_of(entry) for entry in candidate.judged), key=lambda effort: _EFFORT[effort])
    )
    ids = candidate.ids
    saves = costs.of(finding for entry in candidate.judged for finding in entry.findings) if costs else None
    return Move(ids[0], " + ".join(actions), effect_of(candidate.before, candidate.after), effort, ids, saves)


def action_of(entry: Judged) -> str:
    """Fix, answer or look, in one sentence."""
    criterion, verdict = entry.criterion, entry.verdict
    if verdict.status == "unmet":
        return criterion.action
    if criterion.question is not None and (entry.answerable or verdict.status == "met"):
        proof = " (with a dated link)" if criterion.minimum is Strength.ARTEFACT else ""
        return f"answer{proof}: {criterion.question.text}"
    return f"look: {verdict.unlock}" if verdict.unlock else f"look: {criterion.action}"


def effect_of(before: Levels, after: Levels) -> str:
    """`clears red flag SCH-R1, schema 0→1, overall 0→1`; the index only if no demonstrated level moves, and the share of the
    next level only if the index, which is rounded down, does not move either."""
    cleared = [f"clears red flag {id}" for id in before.red_flags if id not in after.red_flags]
    pairs = list(zip(before.areas, after.areas, strict=True))
    levels = [
        f"{old.area} {old.demonstrated}→{new.demonstrated}"
        for old, new in pairs
        if old.demonstrated != new.demonstrated
    ]
    if before.demonstrated != after.demonstrated:
        levels.append(f"overall {before.demonstrated}→{after.demonstrated}")
    if not levels and before.index != after.index:
        levels.append(f"index {before.index}→{after.index}")
    if not levels:
        levels = [
            f"{old.area} {old.progress:.0%}→{new.progress:.0%} of level {(old.demonstrated or 0) + 1}"
            for old, new in pairs
            if old.progress != new.progress
        ]
    claimed = [
        f"{old.area} claimed {old.claimed}→{new.claimed}"
        for old, new in pairs
        if old.demonstrated == new.demonstrated and old.claimed != new.claimed
    ]
    return ", ".join((*cleared, *levels, *claimed))
