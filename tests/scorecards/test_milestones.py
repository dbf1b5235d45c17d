from __future__ import annotations

from pathlib import Path

import pytest

from checks.errors import StoreError, UsageError
from scorecards.review import Event
from scorecards.store import EVENTS, EVIDENCE, HEAD, MILESTONES, ReviewFolder, find, recent
from tests.scorecards.reviewed import NOW, evidence


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    return ReviewFolder.create(tmp_path, evidence(), title="Support assistant", reviewers=("ada",), now=NOW)


def note(text: str) -> Event:
    return Event("noted", "ada", NOW, finding="f1", text=text)


def test_a_milestone_stays_as_it_was(folder: ReviewFolder) -> None:
    folder.append(note("before"))
    frozen = folder.freeze("launch", by="ada", now=NOW)
    folder.append(note("after"))
    assert [event.text for event in ReviewFolder.open(frozen.path).events()] == ["before"]
    assert [event.text for event in folder.events()] == ["before", "after"]
    assert (frozen.id, frozen.milestone) == (folder.id, "launch")
    assert frozen.identity.title == "Support assistant (launch)"
    with pytest.raises(StoreError, match="cannot change"):
        frozen.append(note("no"))
    assert not [path for path in frozen.path.iterdir() if path.stat().st_mode & 0o222]


@pytest.mark.parametrize("file", [EVENTS, EVIDENCE])
def test_one_that_was_changed_is_none(folder: ReviewFolder, file: str) -> None:
    path = folder.freeze("launch", by="ada", now=NOW).path
    (path / file).chmod(0o600)
    with (path / file).open("ab") as stream:
        stream.write(b"{}\n")
    with pytest.raises(StoreError, match="was changed"):
        ReviewFolder.open(path)
    assert folder.milestones() == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x" * 65, "a b", "\x1b"])
def test_what_is_no_name(folder: ReviewFolder, name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        folder.freeze(name, by="ada", now=NOW)


def test_a_name_is_taken_once(folder: ReviewFolder) -> None:
    frozen = folder.freeze("launch", by="ada", now=NOW)
    with pytest.raises(UsageError, match="there is a milestone launch already"):
        folder.freeze("launch", by="grace", now=NOW)
    with pytest.raises(UsageError, match="is a milestone itself"):
        frozen.freeze("again", by="ada", now=NOW)
    assert [path.name for path in (folder.path / MILESTONES).iterdir()] == ["launch"]


def test_one_is_found_by_name(folder: ReviewFolder, tmp_path: Path) -> None:
    folder.freeze("launch", by="ada", now=NOW)
    for argument in (f"{folder.id}@launch", "launch", str(folder.path / MILESTONES / "launch")):
        assert find(argument, tmp_path).milestone == "launch"
    with pytest.raises(UsageError, match="no milestone 'other'"):
        find(f"{folder.id}@other", tmp_path)
    second = ReviewFolder.create(tmp_path, evidence(), title="b", now=NOW.replace(year=2027))
    second.freeze("launch", by="ada", now=NOW)
    with pytest.raises(UsageError, match="several reviews"):
        find("launch", tmp_path)
    assert len(recent(tmp_path)) == 2
    assert (folder.path / HEAD).is_file()
