"""The scorecard: a function of evidence, check results, events, rubric, tool version and as_of, and of nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import msgspec

from checks import __version__
from checks.checklist import run_check, sort_key
from checks.configuration import Override, Waiver
from checks.evidence import store
from checks.evidence.database.facts import Catalog, Server, Statements
from checks.evidence.evidence import Evidence
from checks.limits import LIMITS
from checks.model import Area, CheckResult, Outcome, Reason
from checks.registry import all_checks
from checks.text import visible, visible_line
from checks.workload import pattern_by_query_id, statement_in_words
from scorecards.advice import advice_entry
from scorecards.chains import find_chains
from scorecards.costs import Costs
from scorecards.criteria import Judged, judge_criteria
from scorecards.entries import decision_of, finding_entry
from scorecards.growth import growth_basis, growth_entries
from scorecards.maturity import Levels, score
from scorecards.model import (
    SCHEMA,
    Accepted,
    AreaScore,
    CheckStatus,
    Contradiction,
    CriterionStatus,
    Gate,
    Overall,
    Profile,
    Provenance,
    QuestionEntry,
    ReviewIdentity,
    Scorecard,
    StatementEntry,
    StatementLocation,
    Tool,
)
from scorecards.moves import find_moves
from scorecards.profile import Scale, scale_of
from scorecards.review import ReviewState
from scorecards.rubric import Rubric, load_rubric
from scorecards.targets import describe_target
from scorecards.waivers import holds, reopened, waives_criterion
from scorecards.words import instant, ratio, without_paths

# Of checks that a lowered threshold lets decide, so many are named beside it.
NAMED_CHECKS = 3
STATEMENTS = 100
NO_GATE = Gate()


def build_scorecard(
    evidence: Evidence,
    results: Sequence[CheckResult],
    state: ReviewState,
    *,
    as_of: dt.date,
    identity: ReviewIdentity,
    gate: Gate = NO_GATE,
    rubric: Rubric | None = None,
) -> Scorecard:
    """Every key of CONTRACT.md. `results` are of all known checks, over that evidence."""
    rubric = rubric or load_rubric()
    outcomes = {result.check: result for result in results}
    scale = scale_of(evidence)
    strict = strictly(evidence, rubric, outcomes)
    judged = judge_criteria(rubric, evidence, outcomes, state.answers, as_of, scale, strict=strict)
    levels = score([entry.standing for entry in judged])
    waivers = [waiver for waiver in evidence.configuration.waivers if holds(waiver, as_of)]
    findings = sorted((finding for result in results for finding in result.findings), key=sort_key)
    costs, prices = Costs(evidence), evidence.configuration.prices
    entries = tuple(finding_entry(finding, state, waivers, as_of, costs.of([finding])) for finding in findings)
    listed = {entry.id for entry in entries}
    areas = tuple(_area(area, judged, levels, scale, state, waivers, as_of, listed) for area in Area)
    return Scorecard(
        schema=SCHEMA,
        tool=Tool("pgsurveyor", __version__),
        rubric=rubric.version,
        as_of=as_of,
        review=identity,
        target=describe_target(evidence),
        evidence_sha256=store.sha256(evidence),
        overall=Overall(
            levels.demonstrated, levels.claimed, levels.possible, levels.index, ratio(levels.coverage),
            levels.red_flags, levels.red_flags_unknown,
        ),
        gate=gate,
        areas=areas,
        checks=tuple(_check(result) for result in sorted(results, key=lambda result: result.check)),
        findings=entries,
        questions=tuple(_question(entry, state) for entry in judged if entry.criterion.question),
        statements=_statements(evidence),
        growth=growth_entries(evidence),
        moves=find_moves(judged, levels, costs),
        overrides=_overrides(evidence),
        notices=tuple(visible_line(without_paths(line)) for line in _notices(evidence)),
        contradictions=tuple(
            Contradiction(entry.criterion.id, visible_line(entry.contradiction)) for entry in judged if entry.contradiction
        ),
        profile=Profile(scale.profile or None, scale.basis),
        provenance=Provenance(
            instant(evidence.observed_at), evidence.effort.statements, round(evidence.effort.server_ms, 1)
        ),
        reopened=reopened(
            evidence.configuration.waivers, entries, [entry for area in areas for entry in area.criteria], as_of
        ),
        chains=find_chains(evidence, results, costs),
        costs=costs.by_area(findings),
        currency=visible_line(prices.currency) or None if prices else None,
        growth_basis=growth_basis(evidence),
        advice=advice_entry(evidence),
    )  # fmt: skip


def strictly(
    evidence: Evidence, rubric: Rubric, outcomes: Mapping[str, CheckResult]
) -> tuple[Evidence, Mapping[str, CheckResult]] | None:
    """For red flags: evidence without the thresholds that the repository lowers, and the checks run again under it."""
    overrides = evidence.configuration.overrides
    own = tuple(override for override in overrides if not (override.lowered and override.source == "repository"))
    if own == overrides:
        return None
    configuration = msgspec.structs.replace(evidence.configuration, overrides=own)
    stricter = msgspec.structs.replace(evidence, configuration=configuration)
    known, again = all_checks(), dict(outcomes)
    for criterion in rubric.criteria:
        for check in criterion.rule.related_checks if criterion.red_flag and criterion.rule else ():
            if check in known and check in outcomes and outcomes[check].reason is not Reason.NOT_RUN:
                again[check] = run_check(known[check], stricter)
    return stricter, again


def _area(
    area: Area,
    judged: Sequence[Judged],
    levels: Levels,
    scale: Scale,
    state: ReviewState,
    waivers: Sequence[Waiver],
    as_of: dt.date,
    listed: Collection[str],
) -> AreaScore:
    mine = [entry for entry in judged if entry.criterion.area is area]
    scored = levels.area(area)
    fact = None
    if scored.demonstrated is None:
        facts = dict.fromkeys(entry.verdict.observed for entry in mine if entry.verdict.status == "not_applicable")
        fact = visible_line("; ".join(facts)) or "no criterion applies"
    return AreaScore(
        area,
        fact,
        scored.demonstrated,
        scored.claimed,
        scored.possible,
        None if fact is not None else scale.target,
        ratio(scored.coverage),
        scored.held_back_by,
        tuple(_criterion(entry, state, waivers, as_of, listed) for entry in mine),
    )


def _criterion(
    entry: Judged, state: ReviewState, waivers: Sequence[Waiver], as_of: dt.date, listed: Collection[str]
) -> CriterionStatus:
    criterion, verdict = entry.criterion, entry.verdict
    # Of a red flag under a threshold that the repository lowered, findings may not be among those that are listed.
    ids = dict.fromkeys(finding.id for finding in sorted(entry.findings, key=sort_key))
    return CriterionStatus(
        criterion.id,
        criterion.level,
        criterion.statement,
        verdict.status,
        verdict.strength.word if verdict.strength else None,
        verdict.observed or None,
        verdict.reason.value if verdict.status == "unknown" and verdict.reason else None,
        verdict.unlock or None if verdict.status == "unknown" else None,
        _accepted(entry, state, waivers, as_of) if verdict.status == "unmet" else None,
        criterion.provisional,
        tuple(id for id in ids if id in listed) if verdict.status == "unmet" else (),
    )


def _accepted(entry: Judged, state: ReviewState, waivers: Sequence[Waiver], as_of: dt.date) -> Accepted | None:
    """By a waiver of the criterion itself, or by waivers of every finding that makes it unmet."""
    direct = [waiver for waiver in waivers if waives_criterion(waiver, entry.criterion.id)]
    if direct:
        last = max(direct, key=lambda waiver: (waiver.expires, waiver.owner))
        return Accepted(visible_line(last.owner), last.expires.isoformat())
    decisions = [decision_of(finding, state, waivers, as_of) for finding in entry.findings]
    held = [
        decision
        for decision in decisions
        if decision and decision.kind == "waive" and decision.expires and decision.expires >= as_of.isoformat()
    ]
    if not held or len(held) < len(decisions):
        return None
    first = min(held, key=lambda decision: (decision.expires or "", decision.owner or ""))
    return Accepted(first.owner or first.by or "", first.expires or "")


def _check(result: CheckResult) -> CheckStatus:
    known = all_checks().get(result.check)
    unknown = result.outcome in (Outcome.UNKNOWN, Outcome.ERROR)
    partial = result.reason is not None
    return CheckStatus(
        result.check,
        result.area.value,
        result.outcome.value,
        result.examined,
        result.of,
        len(result.findings),
        result.reason.value if result.reason and (unknown or partial) else None,
        visible_line(without_paths(result.unlock)) if result.unlock else None,
        known.title if known else "",
    )


def _question(entry: Judged, state: ReviewState) -> QuestionEntry:
    criterion, question = entry.criterion, entry.criterion.question
    assert question is not None
    answer = state.answers.get(criterion.id)
    return QuestionEntry(
        criterion.id,
        criterion.area.value,
        question.text,
        visible(answer.value) if answer else None,
        visible_line(answer.by) if answer and answer.by else None,
        answer.on.isoformat() if answer and answer.on else None,
        visible_line(without_paths(answer.artefact)) if answer and answer.artefact else None,
        answer.artefact_date.isoformat() if answer and answer.artefact_date else None,
        question.type,
        question.why,
        question.good,
        entry.seen or None,
    )


def _statements(evidence: Evidence) -> tuple[StatementEntry, ...]:
    """The hundred with the most execution time, rows of one query id summed over users."""
    statements = evidence.find(Statements)
    if statements is None:
        return ()
    patterns, catalog = pattern_by_query_id(evidence), evidence.find(Catalog)
    merged: dict[str, StatementEntry] = {}
    total_ms: dict[str, float] = {}
    for row in statements.entries:
        known = merged.get(row.query_id)
        total_ms[row.query_id] = total_ms.get(row.query_id, 0.0) + row.total_ms
        calls = row.calls + (known.calls if known else 0)
        locations = tuple(
            StatementLocation(place.path, place.line, how)
            for place, how in evidence.statement_locations.get(row.query_id, ())
        )
        merged[row.query_id] = StatementEntry(
            row.query_id,
            visible(row.text, 10_000),
            calls,
            round(total_ms[row.query_id] / calls, 3) if calls else 0.0,
            round(total_ms[row.query_id] / statements.total_ms, 4) if statements.total_ms else 0.0,
            locations,
            visible_line(statement_in_words(patterns[row.query_id], catalog)) if row.query_id in patterns else "",
        )
    ordered = sorted(merged.values(), key=lambda entry: (-entry.total_share, entry.query_id))
    return tuple(ordered[:STATEMENTS])


def _overrides(evidence: Evidence) -> tuple[str, ...]:
    """Thresholds that the repository lowered come first: the reviewed must not grade themselves unseen."""

    def words(override: Override) -> str:
        verb = "lowered" if override.lowered else "made stricter"
        line = f"{override.name}: {override.default:g} → {override.value:g} ({verb} by the {override.source})"
        believed = _believed_too_early(evidence, override.name) if override.lowered else []
        if not believed:
            return line
        listed = ", ".join(believed[:NAMED_CHECKS]) + (", ..." if len(believed) > NAMED_CHECKS else "")
        return f"{line}; else {len(believed)} checks would be unknown (window_too_short): {listed}"

    ordered = sorted(
        evidence.configuration.overrides,
        key=lambda override: (not override.lowered, override.source != "repository", override.name),
    )
    return tuple(words(override) for override in ordered)


def _believed_too_early(evidence: Evidence, limit: str) -> list[str]:
    """Checks that ask for a longer window of statistics than there is, and that a lowered `limit` lets decide all the same."""
    server = evidence.find(Server)
    days = server.statistics_window_days if server else None
    if days is None:
        return []
    return [
        check.id
        for check in all_checks().values()
        if check.window and limit in (check.window, "window_days") and days < LIMITS[check.window].default
    ]


def _notices(evidence: Evidence) -> tuple[str, ...]:
    unreached = tuple(f"replica {name} could not be reached" for name in evidence.unreached_replicas)
    return tuple(dict.fromkeys((*unreached, *evidence.configuration.notices, *evidence.notices)))
