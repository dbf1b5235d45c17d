from __future__ import annotations

import datetime as dt
import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checks.checklist import run_checks
from checks.errors import EvidenceError, StoreError, UsageError
from checks.evidence import store
from scorecards.exports import render
from scorecards.history import read_side
from scorecards.review import Event
from scorecards.session import Review
from scorecards.store import EVENTS, EVIDENCE, FORMAT, HEAD, ReviewFolder, derived_identity, find, recent
from tests.scorecards.reviewed import NOW, evidence

KILLS = int(os.environ.get("KILLS", "100"))


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    return ReviewFolder.create(tmp_path, evidence(), title="Support assistant", reviewers=("ada",), now=NOW)


def note(text: str) -> Event:
    return Event("noted", "ada", NOW, finding="f1", text=text)


def test_a_folder_holds_target_evidence_and_events(folder: ReviewFolder) -> None:
    again = ReviewFolder.open(folder.path)
    assert (again.id, again.title, again.started, again.reviewers) == (folder.id, "Support assistant", NOW, ("ada",))
    assert store.sha256(again.evidence()) == store.sha256(evidence())
    assert again.events() == ()
    assert {path.name for path in folder.path.iterdir()} == {HEAD, EVIDENCE, EVENTS}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.path.iterdir())


def test_events_are_said_in_order_and_have_ids(folder: ReviewFolder) -> None:
    said = [folder.append(note(text)) for text in ("one", "one", "two")]
    assert ReviewFolder.open(folder.path).events() == tuple(said)
    assert len({event.id for event in said}) == 3


def test_a_reader_sees_what_another_process_says(folder: ReviewFolder) -> None:
    reader = ReviewFolder.open(folder.path)
    assert reader.events() == ()
    folder.append(note("one"))
    assert [event.text for event in reader.events()] == ["one"]


@pytest.mark.parametrize("torn", [b'{"kind":"noted","by":"ad', b"\xff\xfe", b"{}", b'{"kind":"noted"}\n{"ki'])
def test_a_torn_last_line_is_passed_over_and_repaired(folder: ReviewFolder, torn: bytes) -> None:
    folder.append(note("one"))
    with (folder.path / EVENTS).open("ab") as stream:
        stream.write(torn)
    assert [event.text for event in ReviewFolder.open(folder.path).events()] == ["one"]
    folder.append(note("two"))
    assert [event.text for event in ReviewFolder.open(folder.path).events()] == ["one", "two"]


def test_several_reviews_of_one_target(tmp_path: Path) -> None:
    first = ReviewFolder.create(tmp_path, evidence(), title="a/../b", now=NOW)
    second = ReviewFolder.create(tmp_path, evidence(), title="a/../b", now=NOW + dt.timedelta(seconds=1))
    assert first.id != second.id
    assert first.path.parent == second.path.parent == tmp_path
    assert [summary.id for summary in recent(tmp_path)] == [second.id, first.id]
    assert find(first.id, tmp_path).path == first.path
    assert find(str(second.path), tmp_path).path == second.path
    assert find(first.id[:8], tmp_path).path == first.path


def test_a_derived_review_is_the_same_for_the_same_evidence(tmp_path: Path) -> None:
    identity = derived_identity(evidence(), "assistant")
    assert identity == derived_identity(evidence(), "assistant")
    assert identity.started == "2026-11-23T12:00:00Z"
    kept = ReviewFolder.keep(tmp_path, evidence(), identity)
    kept.append(note("one"))
    assert [event.text for event in ReviewFolder.keep(tmp_path, evidence(), identity).events()] == ["one"]


def test_what_is_not_there(tmp_path: Path, folder: ReviewFolder) -> None:
    with pytest.raises(UsageError, match="there is no review"):
        find("nothing", tmp_path)
    with pytest.raises(UsageError, match="there is no review"):
        find("", tmp_path)
    with pytest.raises(StoreError, match=r"review\.toml"):
        ReviewFolder.open(tmp_path)
    (folder.path / EVIDENCE).write_bytes(b"garbage")
    with pytest.raises(EvidenceError):
        ReviewFolder.open(folder.path).evidence()
    (folder.path / HEAD).write_text("id = 3")
    with pytest.raises(StoreError):
        ReviewFolder.open(folder.path)
    assert recent(tmp_path) == []
    assert recent(tmp_path / "missing") == []


def test_a_beginning_that_several_ids_share(tmp_path: Path) -> None:
    ids = [
        ReviewFolder.create(tmp_path, evidence(), title="t", now=NOW + dt.timedelta(seconds=number)).id
        for number in range(20)
    ]
    shared = next(id[0] for id in ids if sum(other[0] == id[0] for other in ids) > 1)
    with pytest.raises(UsageError, match="several reviews"):
        find(shared, tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write a review"):
        ReviewFolder.create(tmp_path / "file", evidence(), title="t", now=NOW)


WRITER = """
import sys
from pathlib import Path
from scorecards.review import Event
from scorecards.store import ReviewFolder
import datetime as dt
folder = ReviewFolder.open(Path(sys.argv[1]))
now = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
for number in range(100_000):
    folder.append(Event("noted", sys.argv[2], now, finding="f1", text=f"{number} " + "x" * 3_000))
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_loses_no_acknowledged_event(folder: ReviewFolder) -> None:
    """Two processes append at a time, and each is killed at a random moment, again and again."""
    said: dict[str, int] = {}
    moments = random.Random(20261123)
    for round in range(KILLS // 2):
        writers = {
            name: subprocess.Popen(
                [sys.executable, "-c", WRITER, str(folder.path), name],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ,
            )
            for name in (f"ada{round}", f"grace{round}")
        }
        for writer in writers.values():
            assert writer.stdout is not None
            assert writer.stdout.readline().strip() == "0"
        time.sleep(moments.uniform(0, 0.05))
        for name, writer in writers.items():
            writer.send_signal(signal.SIGKILL)
            output, _ = writer.communicate()
            acknowledged = [int(line) for line in output.split("\n")[:-1] if line]
            said[name] = max(acknowledged, default=0)
    events = ReviewFolder.open(folder.path).events()
    for name, last in said.items():
        numbers = [int(event.text.split()[0]) for event in events if event.by == name]
        assert numbers[: last + 1] == list(range(last + 1))
        assert len(numbers) <= last + 2
    assert len({event.id for event in events}) == len(events)


FIRST = Path(__file__).parent / "first"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A folder as the first version that wrote any left it: its head has no format."""
    path = tmp_path / "support-assistant-20261123T120000Z-404c12c65cff"
    path.mkdir()
    for name in (HEAD, EVENTS):
        (path / name).write_bytes((FIRST / name).read_bytes())
    (path / EVIDENCE).write_bytes(gzip.compress((FIRST / "evidence.json").read_bytes()))
    return path


def test_a_review_of_the_first_version_is_read_decided_on_and_scored(first: Path) -> None:
    folder = find("404c12c65cff", first.parent)
    assert (folder.title, folder.reviewers, folder.rubric) == ("Support assistant", ("ada",), "2026.1")
    review = Review(folder, run_checks(folder.evidence()))
    key = next(finding for finding in review.findings if finding.id == "164380b20202f4ee")
    decision = review.state.decisions[key.id]
    assert (decision.kind, decision.owner, str(decision.due)) == ("accept", "grace", "2026-12-15")
    assert [note.text for note in review.state.notes[key.id]] == ["The importer relies on duplicates."]
    assert review.state.answers["REP-1.1"].value == "yes"
    scorecard = review.scorecard()
    assert scorecard.target.database
    assert (scorecard.target.database.name, scorecard.target.database.tables) == ("assistant", 5)
    assert render(scorecard, "markdown")
    folder.append(note("later"))
    assert ReviewFolder.open(first).events()[-1].text == "later"
    assert ReviewFolder.open(folder.freeze("then", by="ada", now=NOW).path).milestone == "then"


def test_a_review_of_a_newer_version_says_so(folder: ReviewFolder) -> None:
    head = folder.path / HEAD
    assert f"format = {FORMAT}" in head.read_text()
    head.write_text(head.read_text().replace(f"format = {FORMAT}", f"format = {FORMAT + 1}").replace("0.1.0", "7.0"))
    assert recent(folder.path.parent) == []
    for review in (str(folder.path), folder.id, folder.id[:6]):
        with pytest.raises(StoreError, match=r"written by a newer pgsurveyor \(7\.0\)") as told:
            find(review, folder.path.parent)
        assert told.value.hint == "update pgsurveyor"


def test_evidence_and_scorecards_of_newer_versions_say_so(folder: ReviewFolder, tmp_path: Path) -> None:
    data = gzip.decompress((folder.path / EVIDENCE).read_bytes())
    newer = data.replace(b'"format":1', b'"format":2').replace(b'"tool_version":"0.1.0"', b'"tool_version":"7.0"')
    (folder.path / EVIDENCE).write_bytes(gzip.compress(newer))
    with pytest.raises(EvidenceError, match=r"written by a newer pgsurveyor \(7\.0\)"):
        ReviewFolder.open(folder.path).evidence()
    path = tmp_path / "scorecard.json"
    path.write_text('{"schema": "pgsurveyor.scorecard/2", "tool": {"name": "pgsurveyor", "version": "7.0"}}')
    with pytest.raises(UsageError, match=r"another pgsurveyor \(7\.0\): pgsurveyor\.scorecard/2"):
        read_side(str(path))
