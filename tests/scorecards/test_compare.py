"""Two reviews of one target: what the team changed, what the rubric changed, and what is only out of sight."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import jsonschema
import msgspec
import pytest

from checks.errors import UsageError
from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from scorecards.compare import OVERALL, compare
from scorecards.exports import render
from scorecards.exports.schema import scorecard_schema
from scorecards.exports.since import render_comparison
from scorecards.history import Side, compare_sides, read_side, side_of_folder, trend
from scorecards.model import Scorecard
from scorecards.rubric import Rubric, Strength, load_rubric
from scorecards.store import ReviewFolder
from tests.scorecards.reviewed import NOW, evidence, finding, found, passed, results, scorecard, unseen

KEY = "schema.no-primary-key"


def table(name: str, severity: Severity = Severity.HIGH) -> object:
    return finding(KEY, "table", "public", name, severity=severity)


def with_tables(*findings: object) -> Scorecard:
    others = (*results()[1:], passed("schema.no-usable-unique-key"))
    first = found(KEY, list(findings)) if findings else passed(KEY)  # type: ignore[arg-type]
    return scorecard(results=(first, *others))


def test_the_same_review_twice_has_nothing_to_tell(reviewed: Scorecard) -> None:
    same = compare(reviewed, scorecard())
    assert (*same.better, *same.worse, *same.new_findings, *same.gone, *same.unseen, *same.rubric) == ()
    assert "still 0" in render_comparison(same)


def test_new_gone_better_and_worse_go_by_fingerprint() -> None:
    old = with_tables(table("a"), table("b", Severity.MEDIUM), table("c"))
    new = with_tables(table("b"), table("c", Severity.LOW), table("d"))
    told = compare(old, new)
    names = {entry.id: entry.subject.name for card in (old, new) for entry in card.findings}
    assert [names[change.id] for change in told.new_findings] == ["public.d"]
    assert [names[change.id] for change in told.gone] == ["public.a"]
    assert [(names[change.id], change.was, change.now) for change in told.worse] == [("public.b", "medium", "high")]
    assert [names[change.id] for change in told.better] == ["public.c"]


def test_a_criterion_that_is_met_now_is_better_and_lifts_its_area() -> None:
    told = compare(with_tables(table("a")), with_tables())
    assert [change.id for change in told.better] == ["SCH-1.1"]
    assert told.better[0].was.startswith("unmet (")
    schema = next(entry for entry in told.levels if entry.area == "schema")
    assert (schema.was, schema.now) == (0, 1)
    back = compare(with_tables(), with_tables(table("a")))
    assert [change.id for change in back.worse] == ["SCH-1.1"]


def test_what_can_no_longer_be_seen_is_not_gone() -> None:
    blind = unseen(KEY, Reason.NOT_PERMITTED, "GRANT pg_monitor TO reviewer;")
    told = compare(with_tables(table("a")), scorecard(results=(blind, *results()[1:])))
    assert not told.gone
    assert {change.id for change in told.unseen} == {"SCH-1.1", finding(KEY, "table", "public", "a").id}


def test_the_effect_of_the_rubric_stands_apart(tmp_path: Path) -> None:
    """The old rubric had no SCH-1.1, and was content with words for SCH-1.2: the old evidence is scored again."""
    present = load_rubric()
    earlier = Rubric(
        "2025.9",
        tuple(
            msgspec.structs.replace(entry, minimum=Strength.STATED) if entry.id == "SCH-1.2" else entry
            for entry in present.criteria
            if entry.id != "SCH-1.1"
        ),
    )
    bare = msgspec.structs.replace(evidence(), configuration=type(evidence().configuration)())
    folder = ReviewFolder.create(tmp_path, bare, title="before", now=NOW)
    old = side_of_folder(folder, earlier)
    assert old.as_reported is not None
    told = compare_sides(old, side_of_folder(folder))
    assert ("SCH-1.1", "not asked") in [(change.id, change.was) for change in told.rubric]
    assert (*told.better, *told.worse, *told.new_findings, *told.gone) == ()
    assert (told.old.rubric, told.new.rubric) == ("2025.9", present.version)
    text = render_comparison(told)
    assert "Effect of the rubric (2025.9 → 2026.1)" in text
    assert "As reported then" in text or all(entry.as_reported == entry.was for entry in told.levels)


def test_the_report_tells_what_changed_since(reviewed: Scorecard) -> None:
    old = with_tables()
    card = msgspec.structs.replace(reviewed, since=compare_sides(Side(old), Side(reviewed)))
    markdown = render(card, "markdown")
    assert "## Since last review" in markdown
    assert "New findings (1)" in markdown
    assert f"({reviewed.overall.index - old.overall.index:+d} since 2026-11-23)" in markdown  # type: ignore[operator]
    assert "New findings (1)" in render(card, "html")
    jsonschema.validate(msgspec.json.decode(render(card, "json")), scorecard_schema())


def test_a_side_is_a_folder_an_id_a_milestone_or_json(tmp_path: Path, reviewed: Scorecard) -> None:
    root = tmp_path / "reviews"
    folder = ReviewFolder.create(root, evidence(), title="t", now=NOW)
    folder.freeze("launch", by="ada", now=NOW)
    path = tmp_path / "scorecard.json"
    path.write_text(render(reviewed, "json"))
    for argument in (str(folder.path), folder.id, f"{folder.id}@launch", "launch", str(path), str(tmp_path)):
        assert read_side(argument, root).scorecard.review.title
    path.write_text('{"schema": "pgsurveyor.scorecard/1"}')
    with pytest.raises(UsageError, match="no scorecard"):
        read_side(str(path), root)


def test_a_scorecard_of_another_rubric_says_what_cannot_be_told(tmp_path: Path, reviewed: Scorecard) -> None:
    path = tmp_path / "old.json"
    path.write_text(render(msgspec.structs.replace(reviewed, rubric="2025.9"), "json"))
    (notice,) = compare_sides(read_side(str(path)), Side(reviewed)).notices
    assert "cannot be told apart" in notice


def test_other_targets_are_told() -> None:
    other = scorecard(evidence=evidence(server=msgspec.structs.replace(evidence().get(Server), database="other")))
    assert "these are reviews of different targets" in compare_sides(Side(other), Side(scorecard())).notices


def test_the_trend_is_of_one_target(tmp_path: Path) -> None:
    def observed(days: int, cluster: str = "1") -> Evidence:
        server = msgspec.structs.replace(evidence().get(Server), system_identifier=cluster)
        return evidence(observed_at=NOW + dt.timedelta(days=days), server=server)

    for days, cluster in ((-20, "1"), (-10, "1"), (-5, "2")):
        given = observed(days, cluster)
        ReviewFolder.create(tmp_path, given, title="t", now=given.observed_at)
    oldest = min((ReviewFolder.open(path) for path in tmp_path.iterdir()), key=lambda folder: folder.started)
    oldest.freeze("launch", by="ada", now=NOW)
    points = trend(scorecard(evidence=observed(0)), observed(0), tmp_path)
    assert [(point.as_of, point.name) for point in points] == [
        ("2026-11-03", ""), ("2026-11-03", "launch"), ("2026-11-13", ""), ("2026-11-23", ""),
    ]  # fmt: skip
    card = msgspec.structs.replace(scorecard(), trend=points)
    assert render(card, "html").count('<svg class="trend"') == 7
    assert "| 2026-11-13 |" in render(card, "markdown")


def test_levels_tell_overall_last(reviewed: Scorecard) -> None:
    assert compare(reviewed, reviewed).levels[-1].area == OVERALL
    assert {result.outcome for result in results()} >= {Outcome.FOUND, Outcome.PASSED}
