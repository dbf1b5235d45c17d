"""What would change if something were fixed: findings taken away, criteria met, and all levels scored again. Exact, and pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Finding, Outcome
from scorecards.criteria import Judged, comes_along, judge_criteria
from scorecards.maturity import Levels, Standing, score
from scorecards.moves import effect_of
from scorecards.profile import scale_of
from scorecards.review import Answer
from scorecards.rubric import Rubric, Strength, load_rubric
from scorecards.scorecard import strictly


class Effect(msgspec.Struct, frozen=True):
    """Of fixing one finding. `words` say which levels move, "" if none does. `criteria` are those it makes met; `held_by` are
    those that it holds back together with so many other findings."""

    words: str = ""
    criteria: tuple[str, ...] = ()
    held_by: tuple[tuple[str, int], ...] = ()


class Effects:
    """Of one review at one day. `judged` are its criteria as they are; `levels` what they add up to."""

    def __init__(
        self,
        evidence: Evidence,
        results: Sequence[CheckResult],
        answers: Mapping[str, Answer],
        as_of: dt.date,
        rubric: Rubric | None = None,
    ) -> None:
        self._evidence, self._answers, self._as_of = evidence, answers, as_of
        self._rubric = rubric or load_rubric()
        self._outcomes = {result.check: result for result in results}
        self._scale = scale_of(evidence)
        self._strict = strictly(evidence, self._rubric, self._outcomes)
        self.judged = self._judge(self._rubric, self._outcomes, self._strict)
        self.levels = self._score({})
        self._by_check: dict[str, list[str]] = {}
        for criterion in self._rubric.criteria:
            for check in criterion.rule.related_checks if criterion.rule else ():
                self._by_check.setdefault(check, []).append(criterion.id)

    def _judge(
        self,
        rubric: Rubric,
        outcomes: Mapping[str, CheckResult],
        strict: tuple[Evidence, Mapping[str, CheckResult]] | None,
    ) -> dict[str, Judged]:
        judged = judge_criteria(
            rubric, self._evidence, outcomes, self._answers, self._as_of, self._scale, strict=strict
        )
        return {entry.criterion.id: entry for entry in judged}

    def _score(self, changed: Mapping[str, Standing]) -> Levels:
        return score([changed.get(id, entry.standing) for id, entry in self.judged.items()])

    def met(self, criteria: Collection[str]) -> Levels:
        """The levels if those criteria were met, each with the evidence it needs, and what is met with them."""
        changed = {
            id: msgspec.structs.replace(self.judged[id].standing, status="met", strength=Strength.MEASURED)
            for id in criteria
            if id in self.judged
        }
        return self._score({**changed, **comes_along(tuple(self.judged.values()), criteria)})

    def words(self, after: Levels) -> str:
        """Which levels differ from those that hold, in a few words; "" if none does."""
        return effect_of(self.levels, after)

    def fixed(self, finding: Finding) -> Effect:
        """What comes of it if that finding is no more and all else stays."""
        touched = self._by_check.get(finding.check, [])
        blamed = {
            id: entry
            for id in touched
            if (entry := self.judged[id]).verdict.status == "unmet"
            and any(_same(one, finding) for one in entry.findings)
        }
        if not blamed:
            return Effect()
        outcomes = _without(self._outcomes, finding)
        strict = (self._strict[0], _without(self._strict[1], finding)) if self._strict else None
        criteria = tuple(self.judged[id].criterion for id in blamed)
        after = self._judge(msgspec.structs.replace(self._rubric, criteria=criteria), outcomes, strict)
        # A fact is read from evidence, which stays: without any finding of those that tell of it, it holds again.
        verdicts = {
            id: (entry.verdict.status == "unmet" and not entry.findings and blamed[id].mended) or entry.verdict
            for id, entry in after.items()
        }
        met = tuple(id for id, verdict in verdicts.items() if verdict.status == "met")
        rest = tuple((id, len(after[id].findings)) for id, verdict in verdicts.items() if verdict.status == "unmet")
        levels = self._score({id: entry.standing_with(verdicts[id]) for id, entry in after.items()})
        return Effect(self.words(levels), met, rest)


def _same(one: Finding, other: Finding) -> bool:
    """Whether two findings of one check have one id, without the price of ids."""
    return one is other or (one.subject == other.subject and one.discriminator == other.discriminator)


def _without(outcomes: Mapping[str, CheckResult], finding: Finding) -> dict[str, CheckResult]:
    """The results as they would be without the finding, which may stand for the same in many schemas."""
    result = outcomes[finding.check]
    left = tuple(one for one in result.findings if not _same(one, finding))
    objects = finding.observed.get("schemas", 1)
    gone = objects if isinstance(objects, int) else 1
    unmet = None if result.unmet is None else max(len(left), result.unmet - gone) if left else 0
    outcome = result.outcome if left else Outcome.PASSED
    return {**outcomes, finding.check: msgspec.structs.replace(result, findings=left, unmet=unmet, outcome=outcome)}
