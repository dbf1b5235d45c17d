"""The status of each criterion: from its checks, from facts, and from what people answered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Finding, NotApplicable, Outcome, Reason, Subject, Unknown
from checks.text import visible_line
from scorecards.facts import FACTS, PRECONDITIONS
from scorecards.facts.verdict import Verdict, absent, met, unknown, unmet
from scorecards.hints import hint
from scorecards.maturity import ANSWER_DAYS, ARTEFACT_DAYS, Standing
from scorecards.profile import Scale
from scorecards.review import Answer
from scorecards.rubric import Criterion, Question, Require, Rubric, Rule, Strength
from scorecards.words import without_paths


class Judged(msgspec.Struct, frozen=True):
    """A criterion and its verdict. `findings` are those that make it unmet, or that tell of the objects which do; `mended` is the
    verdict without them, None if other things speak against it too; `contradiction` is said and measured, if they differ;
    `asked`: an answer could decide it; `seen`: what evidence alone says, in words."""

    criterion: Criterion
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    contradiction: str = ""
    asked: bool = False
    seen: str = ""
    mended: Verdict | None = None

    @property
    def answerable(self) -> bool:
        """Whether all that is missing is a person's word."""
        return self.asked and self.verdict.reason in (Reason.NEEDS_ANSWER, Reason.STALE_ANSWER)

    @property
    def standing(self) -> Standing:
        return self.standing_with(self.verdict)

    def standing_with(self, verdict: Verdict) -> Standing:
        criterion = self.criterion
        return Standing(
            criterion.id, criterion.area, criterion.level, verdict.status, verdict.strength, criterion.minimum,
            criterion.provisional,
        )  # fmt: skip


def judge_criteria(
    rubric: Rubric,
    evidence: Evidence,
    results: Mapping[str, CheckResult],
    answers: Mapping[str, Answer],
    as_of: dt.date,
    scale: Scale,
    *,
    strict: tuple[Evidence, Mapping[str, CheckResult]] | None = None,
) -> tuple[Judged, ...]:
    """Every criterion of the rubric, in its order. `strict` is what red flags are judged on: evidence and results under
    thresholds that the repository has not lowered."""
    judged = []
    for criterion in rubric.criteria:
        facts, outcomes = strict if strict and criterion.red_flag else (evidence, results)
        entry = _judge(criterion, facts, outcomes, answers.get(criterion.id), as_of, scale)
        seen = ""
        if criterion.question and entry.verdict.status != "not_applicable":
            rule = _from_evidence(criterion.rule, facts, outcomes).verdict
            words = (rule.observed if rule else "", hint(criterion.id, evidence))
            seen = visible_line("; ".join(dict.fromkeys(part for part in words if part)), 400)
        judged.append(msgspec.structs.replace(entry, verdict=_shown(entry.verdict), seen=seen))
    return tuple(judged)


def _shown(verdict: Verdict) -> Verdict:
    """With words that may be shown to anybody."""
    unlock = visible_line(without_paths(verdict.unlock))
    return msgspec.structs.replace(verdict, observed=visible_line(verdict.observed), unlock=unlock)


def _judge(
    criterion: Criterion,
    evidence: Evidence,
    results: Mapping[str, CheckResult],
    answer: Answer | None,
    as_of: dt.date,
    scale: Scale,
) -> Judged:
    fact = _not_applicable(criterion, evidence, scale)
    if fact:
        return Judged(criterion, absent(fact))
    seen, findings, mended = _from_evidence(criterion.rule, evidence, results)
    question = criterion.question
    if question is None:
        verdict = seen or unknown(Reason.NOT_RUN, "no check decides this yet")
        return Judged(criterion, verdict, findings, mended=_passed(criterion.rule) if mended else None)
    said = _from_answer(question, answer, as_of)
    if seen is None:
        return Judged(criterion, said, asked=True)
    if seen.status == "unmet":
        contradiction = f"said yes, seen: {seen.observed}" if said.status == "met" else ""
        # What evidence no longer speaks against, a person must still say.
        without = said if seen.objects or question.role == "also" else _passed(criterion.rule)
        return Judged(criterion, seen, findings, contradiction, mended=without if mended else None)
    if question.role == "also":
        return Judged(criterion, _both(seen, said), findings, asked=seen.status == "met")
    if seen.status in ("met", "not_applicable"):
        return Judged(criterion, seen, findings)
    if said.status == "unknown":
        stale = said.reason is Reason.STALE_ANSWER
        open_question = stale or seen.reason is Reason.NEEDS_ANSWER
        reason, unlock = (said.reason, said.unlock) if open_question else (seen.reason, seen.unlock)
        return Judged(criterion, unknown(reason or Reason.NEEDS_ANSWER, unlock, seen.observed), findings, asked=True)
    return Judged(criterion, said, findings, asked=True)


def _passed(rule: Rule | None) -> Verdict:
    return met("", rule.evidence if rule and rule.checks else Strength.MEASURED)


def _not_applicable(criterion: Criterion, evidence: Evidence, scale: Scale) -> str:
    if not scale.reaches(criterion.scale):
        return f"scale profile {scale.profile}: {scale.basis}"
    if not criterion.applies:
        return ""
    try:
        return PRECONDITIONS[criterion.applies](evidence)
    except Unknown:
        return ""


class _Seen(NamedTuple):
    """`verdict` is None if the criterion has no rule; `mended`: nothing else speaks against it."""

    verdict: Verdict | None
    findings: tuple[Finding, ...] = ()
    mended: bool = False


def _from_evidence(rule: Rule | None, evidence: Evidence, results: Mapping[str, CheckResult]) -> _Seen:
    """What checks and fact say together."""
    if rule is None:
        return _Seen(None)
    verdicts: list[Verdict] = []
    findings: list[Finding] = []
    without: list[bool] = []
    for check in rule.checks:
        result = results.get(check)
        if result is None:
            verdicts.append(unknown(Reason.NOT_RUN, f"--only {check}"))
            without.append(False)
            continue
        verdict, blamed = _from_check(rule, result)
        verdicts.append(verdict)
        without.append((bool(blamed) and result.reason is None) or verdict.status in ("met", "not_applicable"))
        findings += blamed if verdict.status != "met" else ()
    if rule.fact:
        fact = _from_fact(rule.fact, evidence)
        verdicts.append(fact)
        told = _told(rule, fact.objects, results)
        findings += [finding for finding in told if not any(finding is other for other in findings)]
        covered = all(any(_tells_of(finding, entry) for finding in told) for entry in fact.objects)
        without.append((bool(fact.objects) and covered) or fact.status in ("met", "not_applicable"))
    combined = verdicts[0]
    for verdict in verdicts[1:]:
        combined = _both(combined, verdict)
    if combined.status == "met" and not combined.observed:
        combined = msgspec.structs.replace(combined, observed=f"{', '.join(rule.checks)} passed")
    return _Seen(combined, tuple(findings), combined.status == "unmet" and all(without))


def _told(rule: Rule, objects: Sequence[Subject], results: Mapping[str, CheckResult]) -> list[Finding]:
    """The findings about objects that a fact names."""
    if not objects:
        return []
    outcomes = [results[check] for check in rule.told_by if check in results]
    return [
        finding
        for result in outcomes
        for finding in result.findings
        if any(_tells_of(finding, entry) for entry in objects)
    ]


def _tells_of(finding: Finding, entry: Subject) -> bool:
    """Whether a finding is about that object, which may be one of a family of schemas."""
    if entry in (finding.subject, *finding.related):
        return True
    named = (finding.subject, *finding.related) if "schemas" in finding.observed else ()
    return any((entry.kind, entry.path[1:]) == (other.kind, other.path[1:]) for other in named)


def _from_fact(name: str, evidence: Evidence) -> Verdict:
    try:
        return FACTS[name](evidence)
    except Unknown as gap:
        return unknown(gap.gap.reason, gap.gap.unlock)
    except NotApplicable as fact:
        return absent(str(fact))


def _from_check(rule: Rule, result: CheckResult) -> tuple[Verdict, list[Finding]]:
    reason, unlock = result.reason or Reason.NOT_RUN, result.unlock or ""
    if result.outcome is Outcome.NOT_APPLICABLE:
        return absent(result.fact or ""), []
    if result.outcome is Outcome.ERROR:
        return unknown(Reason.CHECK_ERROR, unlock), []
    blamed = [entry for entry in result.findings if entry.severity and entry.severity.rank <= rule.at_least.rank]
    strength = Strength.INFERRED if all(entry.confidence != "measured" for entry in blamed) else Strength.MEASURED
    strength = strength if blamed else rule.evidence
    if rule.require is not Require.NONE_FOUND and result.outcome is not Outcome.UNKNOWN and result.of == 0:
        return absent(f"there are no {result.noun or 'objects'}"), []
    bad = _unmet_objects(result, blamed)
    words = _counted(result, bad) if result.of != 1 else (blamed[0].title if blamed else "")
    if rule.share is not None:
        return _by_share(rule.share, result, bad, words, strength), blamed
    if blamed:
        return unmet(_too_few(words), strength), blamed
    if result.reason is not None:
        return unknown(reason, unlock, words), []
    return met(words, strength), []


def _unmet_objects(result: CheckResult, blamed: Sequence[Finding]) -> int:
    """Objects that fail, where the check counted them, less those whose findings are too mild, of which one may be about many."""
    if not blamed or result.unmet is None:
        return len(blamed)
    counted = {id(finding) for finding in blamed}
    mild = sum(_objects_of(finding) for finding in result.findings if id(finding) not in counted)
    return max(len(blamed), result.unmet - mild)


def _objects_of(finding: Finding) -> int:
    """One, or as many as it stands for: the same in many schemas, or those of a schema that are told together."""
    count = finding.observed.get("schemas") or finding.observed.get("number") or 1
    return count if isinstance(count, int) else 1


def _counted(result: CheckResult, bad: int) -> str:
    """`397 of 400 tables` are fine, or `20 of 400 tables looked at`, all fine."""
    name = result.check.partition(".")[2].replace("-", " ")
    if result.examined is None or result.of is None:
        return f"{name}: {bad} found" if bad else ""
    words = f"{max(0, result.examined - bad)} of {result.of} {result.noun or 'objects'}"
    return words if bad or result.examined == result.of else f"{words} looked at"


def _too_few(words: str) -> str:
    """`only 300 of 400 tables`, so that nobody takes those that are fine for those that are not."""
    if words.startswith("0 of "):
        return f"none {words[2:]}"
    return f"only {words}" if words[:1].isdigit() else words


def _by_share(share: float, result: CheckResult, bad: int, words: str, strength: Strength) -> Verdict:
    """Objects that were not examined may pass or fail: the status is known only if neither would change it."""
    gap = unknown(result.reason or Reason.NOT_RUN, result.unlock or "", words)
    if result.of is None or result.examined is None:
        if result.outcome is Outcome.UNKNOWN:
            return gap
        return unmet(_too_few(words), strength) if bad else met(words, strength)
    bad = min(bad, result.of)
    worst, best = (result.examined - bad) / result.of, (result.of - bad) / result.of
    if worst >= share:
        return met(words, Strength.MEASURED if strength is not Strength.INFERRED or not bad else strength)
    return unmet(_too_few(words), strength) if best < share else gap


def _from_answer(question: Question, answer: Answer | None, as_of: dt.date) -> Verdict:
    if answer is None or answer.word == "unknown":
        return unknown(Reason.NEEDS_ANSWER, question.text)
    if answer.on is not None and (as_of - answer.on).days > ANSWER_DAYS:
        return unknown(
            Reason.STALE_ANSWER, f"answered on {answer.on}, more than {ANSWER_DAYS} days ago: {question.text}"
        )
    strength = Strength.STATED
    if answer.artefact and answer.artefact_date and (as_of - answer.artefact_date).days <= ARTEFACT_DAYS:
        strength = Strength.ARTEFACT
    by = f" by {answer.by}" if answer.by else ""
    if answer.word == "no":
        return unmet(f"answered {answer.value}{by}", strength)
    proof = f", {answer.artefact} of {answer.artefact_date}" if strength is Strength.ARTEFACT else ""
    return met(f"answered {answer.value}{by}{proof}", strength)


def _both(one: Verdict, other: Verdict) -> Verdict:
    """Both must hold: unmet wins, then unknown; what is not applicable says nothing; of two that are met the weaker counts."""
    if one.status == "not_applicable":
        return other
    if other.status == "not_applicable":
        return one
    for status in ("unmet", "unknown"):
        chosen = [verdict for verdict in (one, other) if verdict.status == status]
        if chosen:
            observed = "; ".join(dict.fromkeys(verdict.observed for verdict in chosen if verdict.observed))
            first = max(chosen, key=lambda verdict: verdict.reason is not Reason.NEEDS_ANSWER)
            strengths = [verdict.strength for verdict in chosen if verdict.strength]
            strongest = min(strengths, key=list(Strength).index) if strengths else None
            objects = tuple(entry for verdict in chosen for entry in verdict.objects)
            return Verdict(status, observed, strongest, first.reason, first.unlock, objects)
    strengths = [verdict.strength for verdict in (one, other) if verdict.strength]
    observed = "; ".join(dict.fromkeys(verdict.observed for verdict in (one, other) if verdict.observed))
    return Verdict("met", observed, max(strengths, key=list(Strength).index))


def comes_along(judged: Sequence[Judged], met: Collection[str]) -> dict[str, Standing]:
    """Further criteria as they stand once those are met: what makes them unmet is mended with what makes those unmet."""
    gone = {
        _key(finding)
        for entry in judged
        if entry.criterion.id in met and not (entry.criterion.rule and entry.criterion.rule.share)
        for finding in entry.findings
    }
    return {
        entry.criterion.id: entry.standing_with(entry.mended)
        for entry in judged
        if entry.mended and entry.criterion.id not in met and all(_key(finding) in gone for finding in entry.findings)
    }


def _key(finding: Finding) -> tuple[str, Subject, str]:
    """What a finding's id is made of, without the price of ids."""
    return (finding.check, finding.subject, finding.discriminator)
