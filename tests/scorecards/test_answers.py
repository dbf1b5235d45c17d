from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from checks.errors import UsageError
from scorecards.answers import read_answers
from scorecards.review import Answer


def test_answers_as_the_contract_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(
        """
        [REP-2.2]
        answer = "yes"
        by = "ada"
        on = 2026-11-01
        artefact = "https://wiki.example/restore"
        artefact_date = 2026-05-04

        ["REP-1.1"]
        answer = "no: nightly dumps only"
        """
    )
    assert read_answers(path) == {
        "REP-2.2": Answer("yes", "ada", dt.date(2026, 11, 1), "https://wiki.example/restore", dt.date(2026, 5, 4)),
        "REP-1.1": Answer("no: nightly dumps only"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[REP-2.2]\nanswer = "yes"\n\n[REP-9.9]\nanswer = "yes"', "line 4: there is no question REP-9.9"),
        ('[SCH-1.1]\nanswer = "yes"', "line 1: there is no question SCH-1.1"),
        ("[REP-2.2]\n\nanswer = true", "line 3: answer must be a string"),
        ('[REP-2.2]\nanswer = "yes"\non = "2026-11-01"', "line 3: on must be a date"),
        ('[REP-2.2]\nanswer = "yes"\non = 2026-11-01T10:00:00Z', "line 3: on must be a date"),
        ('[REP-2.2]\nanswer = "maybe"', "line 2: the answer must be yes"),
        ('[REP-2.2]\nanswer = "yes"\nwho = "ada"', "line 3: REP-2.2 has an unknown key 'who'"),
        ('[REP-2.2]\nby = "ada"', "line 1: REP-2.2 has no answer"),
        ("a = 1", "line 1: there is no question a"),
        ("REP-2.2 = 3", "line 1"),
        ("[REP-2.2]\nanswer = yes", "line 2"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_answers(path)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read answers"):
        read_answers(tmp_path / "missing.toml")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    with pytest.raises(UsageError, match="binary"):
        read_answers(tmp_path / "binary")
