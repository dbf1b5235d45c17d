from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks.checklist import run_checks
from checks.configuration import Configuration, Override, Waiver
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Area, CheckResult, Examined, Finding, Location, Outcome, Reason, Severity, Subject, Unobserved
from checks.registry import Check, all_checks
from scorecards.exports import FORMATS, render
from scorecards.exports.schema import schema_text, scorecard_schema
from scorecards.maturity import Standing, score
from scorecards.model import Scorecard
from scorecards.review import Answer, Decision, ReviewState
from scorecards.rubric import Strength, load_rubric
from scorecards.words import cleaned, without_paths
from tests.scorecards.reviewed import AS_OF, NOW, evidence, finding, found, results, scorecard, state, unseen

VALIDATOR = jsonschema.Draft202012Validator(scorecard_schema())


def document(given: Scorecard) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(render(given, "json"))
    return parsed


def nothing_seen() -> Evidence:
    return Evidence(tool_version="0.1.0", observed_at=NOW)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_scorecards_agree_with_the_schema(reviewed: Scorecard) -> None:
    VALIDATOR.validate(document(reviewed))
    VALIDATOR.validate(document(scorecard(results=run_checks(evidence()))))


@pytest.mark.parametrize("section", ["server", "catalog", "statements", "repository", "settings", "replication"])
def test_scorecards_of_partial_evidence_agree_with_the_schema(section: str) -> None:
    partial = evidence(**{section: Unobserved(Reason.NOT_PERMITTED, "GRANT pg_monitor TO reviewer;")})
    VALIDATOR.validate(document(scorecard(evidence=partial, results=run_checks(partial))))


def test_a_scorecard_of_nothing_agrees_with_the_schema() -> None:
    empty = scorecard(evidence=nothing_seen(), results=run_checks(nothing_seen()), state=ReviewState())
    VALIDATOR.validate(document(empty))
    assert empty.overall.demonstrated == 0
    assert empty.overall.possible == 5
    assert (empty.target.database, empty.target.repository) == (None, None)
    assert all(area.target is None for area in empty.areas)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parsed: parsed.pop("growth"),
        lambda parsed: parsed["areas"].reverse(),
        lambda parsed: parsed["areas"].pop(),
        lambda parsed: parsed["overall"].update(index=101),
        lambda parsed: parsed["findings"][0].update(severity="bad"),
        lambda parsed: parsed["findings"][0]["locations"].append({"path": "/home/ada/app.py", "line": 1}),
        lambda parsed: parsed["checks"][0].update(outcome="skipped"),
        lambda parsed: parsed["areas"][0]["criteria"][0].update(reason="because"),
        lambda parsed: parsed["statements"][0].update(query_id=1),
        lambda parsed: parsed.update(as_of="yesterday"),
    ],
)
def test_the_schema_is_strict(reviewed: Scorecard, spoil: object) -> None:
    parsed = document(reviewed)
    spoil(parsed)  # type: ignore[operator]
    assert list(VALIDATOR.iter_errors(parsed))


def test_additions_are_free(reviewed: Scorecard) -> None:
    parsed = document(reviewed)
    parsed["later"] = {"a": 1}
    VALIDATOR.validate(parsed)


def test_the_contracts_keys_in_the_contracts_order(reviewed: Scorecard) -> None:
    keys = list(document(reviewed))
    assert keys[:18] == [
        "schema", "tool", "rubric", "as_of", "review", "target", "evidence_sha256", "overall", "gate", "areas", "checks",
        "findings", "questions", "statements", "growth", "moves", "overrides", "notices",
    ]  # fmt: skip


def test_the_same_evidence_gives_the_same_bytes(reviewed: Scorecard) -> None:
    for name in FORMATS:
        assert render(reviewed, name) == render(scorecard(), name)


def test_orders(reviewed: Scorecard) -> None:
    ranks = [(Severity(entry.severity).rank, entry.check, entry.subject.path) for entry in reviewed.findings]
    assert ranks == sorted(ranks)
    assert [check.id for check in reviewed.checks] == sorted(check.id for check in reviewed.checks)
    shares = [(-entry.total_share, entry.query_id) for entry in reviewed.statements]
    assert shares == sorted(shares)
    for area in reviewed.areas:
        levels = [entry.level for entry in area.criteria]
        assert levels == sorted(levels)


def test_statements_carry_share_mean_and_code(reviewed: Scorecard) -> None:
    first = reviewed.statements[0]
    assert (first.query_id, first.mean_ms, first.total_share) == ("8123456789012345678", 60.0, 0.8072)
    assert [(place.path, place.line, place.match) for place in first.locations] == [("app/search.py", 88, "query_id")]


def test_statements_of_several_users_are_one() -> None:
    base = evidence()
    statements = base.statements
    assert not isinstance(statements, Unobserved)
    twice = msgspec.structs.replace(statements, entries=(*statements.entries, statements.entries[0]))
    merged = scorecard(evidence=evidence(statements=twice)).statements
    assert [entry.calls for entry in merged if entry.query_id == "8123456789012345678"] == [1_800_000]
    assert sum(entry.total_share for entry in merged) == pytest.approx(1, abs=1e-3)


def test_lowered_thresholds_come_first(reviewed: Scorecard) -> None:
    assert reviewed.overrides == (
        "window_days: 7 → 0 (lowered by the repository)",
        "lag_seconds: 30 → 10 (made stricter by the user)",
    )


def test_the_repository_cannot_lower_a_red_flag(declared_checks: dict[str, Check]) -> None:
    """Neither one that a fact decides nor one that a check does."""
    check = "schema.integer-key-running-out"

    def nearly_full(given: Evidence) -> Iterator[Finding | Examined]:
        yield Examined(1, 1, "numbered columns")
        red = given.limit("key_used_red") <= 0.95
        yield finding(check, "column", "public", "t", "id", severity=Severity.CRITICAL if red else Severity.HIGH)

    declared_checks[check] = msgspec.structs.replace(declared_checks[check], run=nearly_full)
    mild = found(check, [finding(check, "column", "public", "t", "id", severity=Severity.HIGH)])
    others = tuple(result for result in results() if result.check != check)
    for source, flags in (("repository", ("SCH-R1",)), ("user", ())):
        lenient = Configuration((Override("key_used_red", 0.99, 0.9, source, True),))
        given = scorecard(evidence=evidence(configuration=lenient), results=(*others, mild))
        assert given.overall.red_flags == flags


def test_observed_values_are_json(reviewed: Scorecard) -> None:
    primary_key = next(entry for entry in reviewed.findings if entry.check == "schema.no-primary-key")
    assert primary_key.observed == {
        "rows": 2_100_000,
        "share": 0.1235,
        "since": "2026-11-23T12:00:00Z",
        "size_bytes": 240_000_000,
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": (1, 2)}, {"a": [1, 2], "b": 1}),
        (float("nan"), None),
        (float("inf"), None),
        ({3, 1}, [1, 3]),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.timedelta(minutes=2), 120.0),
        (Severity.HIGH, "high"),
        (Subject("table", ("a", "b")), {"kind": "table", "path": ["a", "b"]}),
        (b"x", "b'x'"),
        ("\x1b[31m", r"\x1b[31m"),
    ],
)
def test_cleaned(value: object, written: object) -> None:
    assert cleaned(value) == written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /home/ada/app: it is no folder", "cannot read …/app: it is no folder"),
        ("'/home/ada/my app'", "'…/my app'"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        (r"C:\Users\ada\app", r"…/app"),
        ("app/db.py:3 and 1/2", "app/db.py:3 and 1/2"),
        ("10 GB/s / 2", "10 GB/s / 2"),
    ],
)
def test_no_absolute_path(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_no_folder_of_the_reviewer_reaches_an_export() -> None:
    gap = Unobserved(Reason.REPO_NOT_GIVEN, "/home/ada/secret-project/app is no readable folder; give another")
    given = evidence(repository=gap, notices=("read /etc/ada/service.conf",))
    made = scorecard(evidence=given, results=run_checks(given))
    for name in ("json", "markdown", "comment", "sarif", "junit"):
        text = render(made, name)
        assert "secret-project" not in text
        assert "/etc/" not in text


def test_an_area_without_anything_to_judge_is_not_applicable() -> None:
    base = evidence()
    catalog = base.catalog
    assert not isinstance(catalog, Unobserved)
    columns = tuple(column for column in catalog.columns if column.base_type in ("int8", "timestamp"))
    plain = evidence(catalog=msgspec.structs.replace(catalog, columns=columns), repository=Repository("r"))
    only_sql = tuple(
        CheckResult(result.check, Outcome.NOT_APPLICABLE, fact="no document") if result.area == "hybrid" else result
        for result in results()
    )
    hybrid = scorecard(evidence=plain, results=only_sql).areas[5]
    assert hybrid.demonstrated is hybrid.target is hybrid.coverage is None
    assert hybrid.not_applicable is not None
    assert "no vector column" in hybrid.not_applicable


def test_waivers_of_the_repository_show_as_decisions_of_their_owner(reviewed: Scorecard) -> None:
    unused = [entry for entry in reviewed.findings if entry.check == "indexing.unused-index"]
    assert {(entry.decision.kind, entry.decision.owner, entry.decision.by) for entry in unused if entry.decision} == {
        ("waive", "grace", None)
    }
    expired = next(entry for entry in reviewed.findings if entry.check == "schema.timestamp-without-time-zone")
    assert expired.decision is None
    criteria = {entry.id: entry for entry in reviewed.areas[1].criteria}
    assert criteria["IDX-3.1"].accepted is not None
    assert (criteria["IDX-3.1"].status, criteria["IDX-3.1"].accepted.until) == ("unmet", "2027-03-01")


def test_contradictions_are_told(reviewed: Scorecard) -> None:
    assert [entry.criterion for entry in reviewed.contradictions] == ["OBS-1.1"]


def test_as_of_decides_what_is_fresh() -> None:
    later = scorecard(as_of=AS_OF + dt.timedelta(days=181))
    stale = {entry.id for area in later.areas for entry in area.criteria if entry.reason == "stale_answer"}
    assert {"REP-R3", "REP-1.1", "REP-2.2"} <= stale
    assert "REP-R3" in later.overall.red_flags_unknown


def test_a_grant_that_shows_several_criteria_is_one_move() -> None:
    hidden = tuple(
        unseen(result.check, Reason.NOT_PERMITTED, "GRANT pg_monitor TO reviewer;")
        if result.check in {"indexing.duplicate-index", "indexing.invalid-index"}
        else result
        for result in results()
    )
    moves = scorecard(results=hidden).moves
    look = next(move for move in moves if move.action == "look: GRANT pg_monitor TO reviewer;")
    assert {"IDX-1.1", "IDX-1.2"} <= set(look.criteria)
    assert look.effect.startswith("indexing 0→1")
    assert look.effort == "S"


def test_moves_have_exactly_the_effect_they_promise(reviewed: Scorecard) -> None:
    assert 0 < len(reviewed.moves) <= 10
    criteria = [entry for area in reviewed.areas for entry in area.criteria]
    rubric = load_rubric()
    areas = {entry.id: area.area for area in reviewed.areas for entry in area.criteria}
    for move in reviewed.moves:
        standings = []
        for entry in criteria:
            criterion = rubric.criterion(entry.id)
            assert criterion is not None
            done = entry.id in move.criteria
            strength = Strength.MEASURED if done else Strength(entry.evidence) if entry.evidence else None
            if entry.id == "REP-2.2":
                strength = Strength.ARTEFACT
            standings.append(
                Standing(entry.id, criterion.area, entry.level, "met" if done else entry.status, strength,
                         criterion.minimum, entry.provisional)
            )  # fmt: skip
        after = score(standings)
        for area, old, new in re.findall(r"(?:^|, )(\w+) (\d)→(\d)", move.effect):
            found_levels = next((levels for levels in after.areas if levels.area == area), after)
            assert found_levels.demonstrated == int(new)
            before = {entry.area: entry.demonstrated for entry in reviewed.areas} | {
                "overall": reviewed.overall.demonstrated
            }
            assert before[area] == int(old)
        assert all(id in areas for id in move.criteria)


def test_no_move_is_made_of_provisional_criteria() -> None:
    """They count for nothing, so that nothing can be gained by them."""
    rubric = load_rubric()
    criteria = tuple(
        msgspec.structs.replace(entry, provisional=entry.id in {"SCH-1.1", "HYB-2.1"}) for entry in rubric.criteria
    )
    made = scorecard(rubric=msgspec.structs.replace(rubric, criteria=criteria))
    provisional = {entry.id for area in made.areas for entry in area.criteria if entry.provisional}
    assert provisional == {"SCH-1.1", "HYB-2.1"}
    assert not provisional & {id for move in made.moves for id in (move.criterion, *move.criteria)}


def test_names_are_shown_and_paths_are_raw() -> None:
    hostile = "a\x1b[31m|`<b>@ada #1\u202eb\udc80"
    odd = finding("schema.no-primary-key", "table", "public", hostile, title=hostile,
                  locations=(Location("dir/" + hostile, 3),), observed={hostile: hostile})  # fmt: skip
    made = scorecard(
        results=(found("schema.no-primary-key", [odd]),), state=ReviewState(answers={"REP-R3": Answer("no")})
    )
    entry = made.findings[0]
    assert "\x1b" not in entry.title + entry.subject.name
    assert "\x1b" in entry.subject.path[1]
    text = render(made, "json")
    assert json.loads(text)["findings"][0]["subject"]["path"] == ["public", "a\x1b[31m|`<b>@ada #1\u202eb\\udc80"]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)
    VALIDATOR.validate(json.loads(text))


def test_every_check_of_the_program_is_listed() -> None:
    listed = scorecard(results=run_checks(evidence())).checks
    assert {check.id for check in listed} == set(all_checks())
    assert state().answers


@given(
    st.sampled_from(list(Area)),
    st.sampled_from(list(Severity)),
    st.sampled_from([Outcome.PASSED, Outcome.FOUND, Outcome.UNKNOWN, Outcome.ERROR, Outcome.NOT_APPLICABLE]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_adding_a_check_moves_no_level(reviewed: Scorecard, area: Area, severity: Severity, outcome: Outcome) -> None:
    """A check that no criterion names is advice, whatever it finds."""
    id = f"{area}.made-up-of-late"
    extra = CheckResult(id, outcome, reason=Reason.NOT_PERMITTED if outcome is Outcome.UNKNOWN else None)
    if outcome is Outcome.FOUND:
        extra = found(id, [finding(id, "table", "public", "events", severity=severity)])
    more = scorecard(results=(*results(), extra))
    assert more.overall == reviewed.overall
    assert more.areas == reviewed.areas
    assert [move.criteria for move in more.moves] == [move.criteria for move in reviewed.moves]


WAIVERS = st.builds(
    Waiver,
    st.sampled_from(["false-positive", "accepted-risk", "planned"]),
    st.just("ada"),
    st.dates(dt.date(2026, 1, 1), dt.date(2030, 1, 1)),
    check=st.sampled_from(["*", "schema.*", "indexing.unused-index", "SCH-1.1", "SCH-*", "OBS-?.1", "plans.*"]),
    objects=st.sampled_from([(), ("public.*",), ("*",), ("nothing",)]),
)


@given(st.lists(WAIVERS, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_waiver_moves_no_level(waivers: list[Waiver], decided: bool) -> None:
    """Neither one of a configuration file nor one that reviewers decide on."""
    plain = scorecard(evidence=evidence(configuration=Configuration()), state=ReviewState())
    decision = Decision("waive", "ada", AS_OF, "accepted-risk", "ada", dt.date(2027, 1, 1))
    said = {entry.id: decision for entry in plain.findings} if decided else {}
    waived = scorecard(
        evidence=evidence(configuration=Configuration(waivers=tuple(waivers))), state=ReviewState(decisions=said)
    )
    assert waived.overall == plain.overall
    for new, old in zip(waived.areas, plain.areas, strict=True):
        assert (new.demonstrated, new.claimed, new.possible, new.held_back_by) == (
            old.demonstrated, old.claimed, old.possible, old.held_back_by,
        )  # fmt: skip
        assert [entry.status for entry in new.criteria] == [entry.status for entry in old.criteria]
    assert waived.costs == plain.costs


def test_a_waiver_that_is_too_long_counts_for_nothing_and_is_told() -> None:
    def with_expiry(day: dt.date) -> Scorecard:
        waiver = Waiver("accepted-risk", "grace", day, check="schema.no-primary-key", objects=("public.ev*",))
        return scorecard(evidence=evidence(configuration=Configuration(waivers=(waiver,))), state=ReviewState())

    held = with_expiry(AS_OF + dt.timedelta(days=365))
    assert held.findings[0].check != "schema.no-primary-key" or held.reopened == ()
    assert "waive" in {entry.decision.kind for entry in held.findings if entry.decision}
    long = with_expiry(AS_OF + dt.timedelta(days=366))
    assert not [entry for entry in long.findings if entry.decision]
    assert long.reopened == (
        "waiver until 2027-11-24 (@grace) is more than 365 days away and counts for nothing: "
        "Table public.events has no primary key",
    )
    assert "**Open again** waiver until 2027-11-24" in render(long, "markdown")


def test_an_expired_decision_is_open_again() -> None:
    id = results()[0].findings[0].id
    decision = Decision("waive", "ada", AS_OF, "planned", "grace", dt.date(2026, 11, 1))
    card = scorecard(state=ReviewState(decisions={id: decision}))
    entry = next(entry for entry in card.findings if entry.id == id)
    assert entry.decision is not None
    assert entry.decision.expired
    assert "waiver expired on 2026-11-01 (@grace): Table public.events has no primary key" in card.reopened


def test_criteria_of_the_json_stand_by_id(reviewed: Scorecard) -> None:
    areas = json.loads(render(reviewed, "json"))["areas"]
    for area in areas:
        ids = [entry["id"] for entry in area["criteria"]]
        assert ids == sorted(ids)
    assert areas[0]["criteria"][-1]["id"] == "SCH-R2"
