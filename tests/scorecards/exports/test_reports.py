"""What the reports promise beyond their golden files."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as xml

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.checklist import run_checks
from checks.evidence.database.facts import FreezeAge, FreezeAges
from checks.evidence.evidence import Evidence
from checks.model import Fix, Location, Severity
from scorecards.compare import compare
from scorecards.exports import FORMATS, render
from scorecards.model import Gate, Scorecard
from scorecards.review import ReviewState
from tests.scorecards.reviewed import NOW, evidence, finding, found, passed, results, scorecard

HEADINGS = [
    "Verdict", "Red flags", "Scorecard", "What moves the needle next", "Across the areas", "Cost", "What we could not see",
    "Said versus measured",
]  # fmt: skip
HOSTILE = [
    "a|b", "``` \n# x", "<img src=x onerror=alert(1)>", "@everyone", "#123", "[x](javascript:alert(1))", "*b* _i_ ~~s~~",
    "x\n\n## Forged heading\n\n| a | b |", "\x1b]52;c;aGk=\x07", "\u202egnp.exe", "</details>", "&#64;ada", "https://e.vil",
    "$(x)$", "`" * 7, "\\", "-->", "<!--", "1. x", "> q", "\udcff",
]  # fmt: skip


def hostile(text: str) -> Scorecard:
    odd = finding(
        "schema.no-primary-key", "table", text, text, title=text, observed={text: text, "list": [text]},
        locations=(Location(text, 1),), why=text, fix=Fix(text, text, text, False, text),
    )  # fmt: skip
    return scorecard(results=(found("schema.no-primary-key", [odd]), *results()[1:]))


def outside_code(markdown: str) -> str:
    """Markdown without fenced blocks and code spans."""
    text = re.sub(r"(?ms)^(`{3,})sql\n.*?\n\1$", "", markdown)
    return re.sub(r"(?<!\\)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["markdown", "comment"])
def test_hostile_names_start_nothing(name: str, text: str) -> None:
    plain, markdown = render(hostile("name"), name), render(hostile(text), name)
    rest = outside_code(markdown)
    assert re.findall(r"(?m)^#+ ", rest) == re.findall(r"(?m)^#+ ", outside_code(plain))
    assert set(re.findall(r"<[^>]*>", re.sub(r"\\[<>]", "", rest))) <= {
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
    }
    assert rest.count("<details>") == rest.count("</details>") == plain.count("<details>")
    assert not re.search(r"@\w|(?<!\w)#\d|https?://", rest)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", markdown)
    for line in rest.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) in {3, 4, 5, 6, 7, 8, 9}, line
    markdown.encode()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
@settings(max_examples=40, deadline=None)
def test_no_name_breaks_an_export(text: str) -> None:
    made = hostile(text)
    for name in FORMATS:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", render(made, name))
    xml.fromstring(render(made, "junit").encode())
    json.loads(render(made, "sarif"))


def test_the_first_screen_is_plain_and_in_order(reviewed: Scorecard) -> None:
    markdown = render(reviewed, "markdown")
    headings = re.findall(r"(?m)^## (.*)$", markdown)
    assert headings[: len(HEADINGS)] == HEADINGS
    assert "<details>" not in markdown[: markdown.index("## Areas")]
    moves = markdown[markdown.index("## What moves") : markdown.index("## Across")]
    assert len(re.findall(r"(?m)^\| \d", moves)) <= 5


def test_lowered_thresholds_stand_first(reviewed: Scorecard) -> None:
    assert (
        render(reviewed, "markdown")
        .split("\n\n")[1]
        .startswith("> **Threshold** window_days: 7 → 0 (lowered by the repository)")
    )


def test_an_open_red_flag_is_on_the_first_screen() -> None:
    old = FreezeAges((FreezeAge(("assistant",), 1_700_000_000, 1),))
    flagged = scorecard(evidence=evidence(freeze_ages=old))
    markdown = render(flagged, "markdown")
    assert "1 red flag is open: SCH-R2." in markdown
    assert "- **SCH-R2** " in markdown
    assert json.loads(render(flagged, "badge"))["message"] == "red flag"
    assert any(move.effect.startswith("clears red flag SCH-R2") for move in flagged.moves)


def test_more_than_five_findings_are_a_table_and_a_count(reviewed: Scorecard) -> None:
    markdown = render(reviewed, "markdown")
    block = markdown[markdown.index("`indexing.unused-index`") :]
    block = block[: block.index("</details>")]
    assert len(re.findall(r"(?m)^\| low", block)) == 5
    assert "and 2 more; all in the JSON." in block
    assert markdown.count("Why indexing.unused-index matters, said once.") == 1


def test_a_report_of_nothing() -> None:
    nothing = Evidence(tool_version="0.1.0", observed_at=NOW)
    empty = scorecard(evidence=nothing, results=run_checks(nothing), state=ReviewState())
    for name in FORMATS:
        assert render(empty, name)
    assert "Scope: no database · no repository" in render(empty, "markdown")


def test_a_comment_fits_and_says_what_it_left_out() -> None:
    checks = [f"{area}.made-up-{number}" for area in ("schema", "indexing", "hybrid") for number in range(30)]
    many = [
        found(
            check,
            [
                finding(check, "table", "public", f"t{number}", severity=Severity.HIGH, why="x" * 900)
                for number in range(4)
            ],
        )
        for check in checks
    ]
    large = scorecard(results=(*results(), *many))
    comment = render(large, "comment")
    assert len(comment) <= 60_000
    assert len(comment) > 50_000
    assert re.search(r"Left out to fit into a comment: the findings of \d+ checks, all of .*Hybrid", comment)
    assert comment.count("<details>") == comment.count("</details>")
    assert "Method and provenance" in comment
    assert "#### Verdict" in comment
    small = render(scorecard(), "comment")
    assert "Left out" not in small


def test_a_failed_gate_is_told(reviewed: Scorecard) -> None:
    failed = msgspec.structs.replace(reviewed, gate=Gate(("fail-on red",), ("red flag SCH-R1: <b>",)))
    for name in ("markdown", "comment"):
        assert r"- red flag SCH-R1: \<b\>" in render(failed, name)


def test_sarif_has_a_place_and_a_fingerprint_of_its_own_for_each_finding(reviewed: Scorecard) -> None:
    run = json.loads(render(reviewed, "sarif"))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(run["results"]) == len(reviewed.findings) == len(set(prints))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w.~/%-]+", uri)
        assert not uri.startswith("/")
    assert "security-severity" not in render(reviewed, "sarif")
    assert sum("suppressions" in result for result in run["results"]) == 7


# What readers of JUnit files agree on: element, attributes that it has, elements in it, whether it may hold text.
JUNIT = {
    "testsuites": ({"name"}, {"testsuite"}, False),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"testcase"}, False),
    "testcase": ({"classname", "name", "time"}, {"failure", "error", "skipped"}, False),
    "failure": ({"message", "type"}, set(), True),
    "error": ({"message", "type"}, set(), True),
    "skipped": ({"message"}, set(), False),
}
BADGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schemaVersion", "label", "message", "color"],
    "properties": {
        "schemaVersion": {"const": 1},
        "label": {"type": "string", "minLength": 1},
        "message": {"type": "string", "minLength": 1},
        "color": {"enum": ["red", "orange", "yellow", "yellowgreen", "green", "brightgreen", "lightgrey"]},
        "cacheSeconds": {"type": "integer", "minimum": 300},
    },
}


@pytest.mark.parametrize("text", ["name", *HOSTILE])
def test_junit_is_what_its_readers_agree_on(text: str) -> None:
    root = xml.fromstring(render(hostile(text), "junit").encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children, may_hold_text = JUNIT[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children
        assert len(element) <= 1 or element.tag != "testcase"
        assert may_hold_text or not (element.text or "").strip()


def test_the_badge_is_an_endpoint_of_shields(reviewed: Scorecard) -> None:
    flagged = scorecard(evidence=evidence(freeze_ages=FreezeAges((FreezeAge(("assistant",), 1_700_000_000, 1),))))
    bare = Evidence(tool_version="0.1.0", observed_at=NOW)
    nothing = scorecard(evidence=bare, results=run_checks(bare), state=ReviewState())
    for card in (reviewed, flagged, nothing):
        jsonschema.validate(json.loads(render(card, "badge")), BADGE)


def test_junit_counts(reviewed: Scorecard) -> None:
    suites = xml.fromstring(render(reviewed, "junit").encode())
    assert len(suites) == 6
    for suite in suites:
        cases = list(suite)
        assert int(suite.attrib["tests"]) == len(cases)
        for word, tag in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
            assert int(suite.attrib[word]) == sum(case.find(tag) is not None for case in cases)


def test_the_badge_has_only_keys_that_shields_knows(reviewed: Scorecard) -> None:
    badge = json.loads(render(reviewed, "badge"))
    assert list(badge) == ["schemaVersion", "label", "message", "color", "cacheSeconds"]
    assert badge["message"] == f"level 0 · {reviewed.overall.index}"


def test_only_what_counts_against_a_criterion_is_named_beside_it() -> None:
    check = "indexing.foreign-key-without-index"
    findings = [
        finding(check, "constraint", "public", "messages", "mild", severity=Severity.LOW),
        finding(check, "constraint", "public", "messages", "counts", severity=Severity.HIGH),
    ]
    card = scorecard(results=(*(entry for entry in results() if entry.check != check), found(check, findings)))
    for name in ("markdown", "html"):
        row = next(
            line for line in render(card, name).splitlines() if "<strong>IDX-2.1" in line or "**IDX-2.1**" in line
        )
        assert "only 6 of 7 objects" in row
        assert "public.messages.counts" in row
        assert "mild" not in row


def unfolded(markdown: str) -> str:
    return re.sub(r"(?s)<details>.*?</details>", "", markdown)


def test_a_comment_is_one_screen_with_the_rest_folded(reviewed: Scorecard) -> None:
    comment = render(reviewed, "comment")
    seen = unfolded(comment)
    assert re.findall(r"(?m)^#### (.*)$", seen) == HEADINGS[:4]
    assert len([line for line in seen.splitlines() if line]) < 40
    folds = re.findall(r"<summary>([^:<]*)", comment)
    assert folds[:4] == HEADINGS[4:8]
    assert folds[-1] == "Method and provenance"


def test_a_comment_says_what_the_change_does() -> None:
    old, new = scorecard(results=(passed("schema.no-primary-key"), *results()[1:])), scorecard()
    card = msgspec.structs.replace(new, since=compare(old, new))
    seen = unfolded(render(card, "comment"))
    assert f"#### Since `{old.review.id}` of {old.as_of}" in seen
    assert "1 new finding." in seen
    assert "##### New findings (1)" in render(card, "comment")
    assert "##### New findings" not in seen


def test_what_was_observed_is_told_with_its_units() -> None:
    odd = finding(
        "schema.no-primary-key", "table", "public", "t",
        observed={"size_bytes": 24_576, "used_share": 0.7712, "blocks_share": 3.5, "longest_idle_s": 4_000, "mean_ms": 27.72,
                  "searches_per_s": 6.895, "timeout_ms": -1, "columns": ["a", "b"], "nothing": None},
        title="Rows are sent one by one (app/a.py:3)", locations=(Location("app/a.py", 3),),
    )  # fmt: skip
    markdown = render(scorecard(results=(found("schema.no-primary-key", [odd]), *results()[1:])), "markdown")
    seen = next(line for line in markdown.splitlines() if line.startswith("Seen: "))
    assert set(seen.removeprefix("Seen: ").split("; ")) == {
        "size: 24 kB", "used share: 77.1 %", "blocks share: 3.5", "longest idle: 67 min", "mean: 27.72 ms",
        "searches per s: 6.895", "timeout ms: -1", "columns: a, b",
    }  # fmt: skip
    assert "**Rows are sent one by one**" in markdown
