"""Each format against a file that a person has read. `GOLDEN=write` writes them anew, to be read again before a commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.errors import ExportError, UsageError
from scorecards.exports import FORMATS, render, render_files, write
from scorecards.model import Scorecard

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", FORMATS)
def test_golden(name: str, reviewed: Scorecard) -> None:
    for file, text in render_files(reviewed, name).items():
        path = GOLDEN / file
        if os.environ.get("GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        assert text == path.read_bytes().decode()


def test_a_format_that_is_not_there(reviewed: Scorecard) -> None:
    with pytest.raises(UsageError, match="no format is called 'pdf'"):
        render(reviewed, "pdf")


def test_writing(tmp_path: Path, reviewed: Scorecard) -> None:
    assert write(reviewed, "badge", tmp_path) == (tmp_path / "badge.json",)
    assert write(reviewed, "badge", tmp_path / "b") == (tmp_path / "b",)
    assert (tmp_path / "b").read_text() == render(reviewed, "badge")
    with pytest.raises(ExportError, match="cannot be written"):
        write(reviewed, "badge", tmp_path / "b" / "c")
    records = write(reviewed, "adr", tmp_path)
    assert [path.parent for path in records] == [tmp_path / "adr"] * len(records)
    assert len(records) == 3
