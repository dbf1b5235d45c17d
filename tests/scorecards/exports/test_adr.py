from __future__ import annotations

import datetime as dt
import json
import re

import pytest

from checks.configuration import Configuration, Waiver
from scorecards.exports import render, render_files
from scorecards.exports.adr import records
from scorecards.model import Scorecard
from scorecards.review import Decision, ReviewState
from tests.scorecards.exports.test_reports import HOSTILE
from tests.scorecards.reviewed import AS_OF, evidence, finding, found, results, scorecard

SECTIONS = [
    "# ", "## Context and Problem Statement", "## Considered Options", "## Decision Outcome", "### Consequences",
    "### Confirmation",
]  # fmt: skip


def test_a_record_for_each_waiver_costly_change_and_principle(reviewed: Scorecard) -> None:
    made = records(reviewed)
    assert [(record.title, record.status) for record in made] == [
        ("Leave as it is: An index that no node uses", "accepted"),
        ("Change it: A table has no primary key", "accepted"),
        ("Write the admission rule for new tables and workloads", "proposed"),
    ]
    assert list(render_files(reviewed, "adr")) == [
        "adr/0001-leave-as-it-is-an-index-that-no-node-uses.md",
        "adr/0002-change-it-a-table-has-no-primary-key.md",
        "adr/0003-write-the-admission-rule-for-new-tables-and.md",
    ]


def test_every_record_is_madr(reviewed: Scorecard) -> None:
    for text in render_files(reviewed, "adr").values():
        _, front, body = text.split("---\n", 2)
        assert [line.partition(":")[0] for line in front.splitlines()] == ["status", "date", "decision-makers"]
        assert [re.match("#+ ", line) is not None for line in body.splitlines() if line.startswith("#")] == [True] * 6
        assert all(f"\n{section}" in body for section in SECTIONS)
        assert "`pgsurveyor " in body.partition("### Confirmation")[2]


def test_a_waived_criterion_is_a_record() -> None:
    waiver = Waiver("accepted-risk", "grace", dt.date(2027, 3, 1), check="OBS-1.1")
    card = scorecard(evidence=evidence(configuration=Configuration(waivers=(waiver,))))
    assert "Do without OBS-1.1" in [record.title for record in records(card)]


def test_an_expired_waiver_is_no_decision() -> None:
    made = finding("schema.no-primary-key", "table", "public", "t")
    state = ReviewState(decisions={made.id: Decision("waive", "ada", AS_OF, "planned", "ada", dt.date(2026, 1, 1))})
    card = scorecard(results=(found("schema.no-primary-key", [made]),), state=state)
    assert [record.status for record in records(card)].count("accepted") == 0
    assert "Open again" in render(card, "markdown")


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_people_and_words_start_nothing(text: str) -> None:
    made = finding("schema.no-primary-key", "table", "public", text, title=text, why=text)
    decision = Decision("waive", text, AS_OF, "planned", text, dt.date(2027, 1, 1), note=text)
    card = scorecard(
        results=(found("schema.no-primary-key", [made]), *results()[1:]),
        state=ReviewState(decisions={made.id: decision}),
    )
    for path, content in render_files(card, "adr").items():
        assert re.fullmatch(r"adr/\d{4}-[a-z0-9-]+\.md", path)
        _, front, body = content.split("---\n", 2)
        makers = front.splitlines()[2].partition(": ")[2]
        assert all(isinstance(name, str) for name in json.loads(makers))
        assert len(re.findall(r"(?m)^#+ ", body)) == 6
