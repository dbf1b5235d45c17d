"""The rubric as data, read from `rubric/YEAR.N.toml`: criteria are a stable contract, checks are many and growing."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from functools import cache
from pathlib import Path

import msgspec

from checks.model import Area, Severity
from checks.typed import convert

CURRENT = "2026.1"
PREFIXES = {
    "SCH": Area.SCHEMA,
    "IDX": Area.INDEXING,
    "PLN": Area.PLANS,
    "REP": Area.REPLICATION,
    "OBS": Area.OBSERVABILITY,
    "HYB": Area.HYBRID,
}


class Strength(StrEnum):
    """How well a status is known, strongest first; `artefact` is stated with a link or file that has a recent date."""

    MEASURED = "measured"
    INFERRED = "inferred"
    ARTEFACT = "artefact"
    STATED = "stated"

    def reaches(self, minimum: Strength) -> bool:
        order = list(Strength)
        return order.index(self) <= order.index(minimum)

    @property
    def word(self) -> str:
        """As scorecards write it: measured, inferred or stated."""
        return "stated" if self is Strength.ARTEFACT else self.value


class Require(StrEnum):
    """How a criterion follows from its checks. `all` and `share` are about objects and say nothing where there are none."""

    ALL = "all"
    NONE_FOUND = "none-found"
    SHARE = "share"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What evidence decides. `checks` are judged by `require`, findings below `at_least` left out; `fact` is a predicate of
    scorecards.facts. Where both stand, both must be met. `evidence` is what a pass of the checks is worth. `told_by` are checks
    that decide nothing here, but whose findings tell how to mend the objects that the fact names."""

    checks: tuple[str, ...] = ()
    require: Require = Require.NONE_FOUND
    share: float | None = None
    at_least: Severity = Severity.MEDIUM
    fact: str = ""
    told_by: tuple[str, ...] = ()
    evidence: Strength = Strength.MEASURED

    @property
    def related_checks(self) -> tuple[str, ...]:
        """Those that decide it, and those that tell of what the fact names."""
        return tuple(dict.fromkeys((*self.checks, *self.told_by)))


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only a person can answer. `role`: `else` answers where evidence does not decide; `also` must be answered with yes
    as well. `type`: yes/no, or text, where any words count as a yes."""

    text: str
    why: str
    good: str
    type: str = "yes/no"
    role: str = "else"


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the rubric. Level 0 is a red flag. `applies` names a precondition of scorecards.facts; `scale` is the
    smallest scale profile it is asked of. A provisional criterion is shown and counts for nothing."""

    id: str
    level: int
    statement: str
    minimum: Strength
    effort: str
    action: str
    sources: tuple[str, ...]
    rule: Rule | None = None
    question: Question | None = None
    applies: str = ""
    scale: str = "S"
    provisional: bool = False

    @property
    def area(self) -> Area:
        return PREFIXES[self.id[:3]]

    @property
    def red_flag(self) -> bool:
        return self.level == 0


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    criteria: tuple[Criterion, ...]

    @property
    def questions(self) -> dict[str, Question]:
        """Every question by the id of its criterion, in the rubric's order."""
        return {criterion.id: criterion.question for criterion in self.criteria if criterion.question}

    def criterion(self, id: str) -> Criterion | None:
        return next((criterion for criterion in self.criteria if criterion.id == id), None)


@cache
def load_rubric(version: str = CURRENT) -> Rubric:
    """The criteria in the order of areas and ids. Raises ValueError where the file contradicts itself."""
    path = Path(__file__).with_name("rubric") / f"{version}.toml"
    document = tomllib.loads(path.read_text("utf-8"))
    criteria = convert(document.get("criteria", []), tuple[Criterion, ...])
    areas = list(Area)
    for criterion in criteria:
        problem = _problem(criterion)
        if problem:
            raise ValueError(f"rubric {version}, {criterion.id}: {problem}")
    ordered = sorted(criteria, key=lambda criterion: (areas.index(criterion.area), sort_key(criterion.id)))
    if len({criterion.id for criterion in ordered}) != len(ordered):
        raise ValueError(f"rubric {version}: two criteria have one id")
    return Rubric(version, tuple(ordered))


def sort_key(id: str) -> tuple[int, int, str]:
    """Criteria by id: red flags first, then by level and number."""
    level, _, number = id[4:].partition(".")
    return (int(level), int(number), id) if level.isdigit() else (0, int(level[1:]), id)


def _problem(criterion: Criterion) -> str:
    rule, question = criterion.rule, criterion.question
    level = 0 if criterion.id[4:5] == "R" else int(criterion.id[4:5])
    if level != criterion.level:
        return f"level {criterion.level} does not agree with the id"
    if rule is None and question is None and not criterion.provisional:
        return "nothing decides it, and it is not provisional"
    if rule is not None and not (rule.checks or rule.fact):
        return "the rule names neither checks nor a fact"
    if rule is not None and rule.told_by and not rule.fact:
        return "`told_by` belongs to a fact"
    if rule is not None and (rule.require is Require.SHARE) != (rule.share is not None):
        return "`share` belongs to require = share, and only there"
    if criterion.level >= 4 and criterion.minimum is Strength.STATED:
        return "at levels 4 and 5 words need an artefact"
    if criterion.effort not in ("S", "M", "L") or criterion.scale not in ("S", "M", "L"):
        return "effort and scale are S, M or L"
    if question is not None and (question.type not in ("yes/no", "text") or question.role not in ("else", "also")):
        return "the question's type or role is not known"
    return ""
