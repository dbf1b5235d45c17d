"""Standard output that is closed, full or left early, a locale without UTF-8, a review that lacks its evidence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from checks.evidence import store
from tests.e2e.conftest import PROGRAM, Run
from tests.scorecards.reviewed import evidence


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "evidence.json.gz"
    store.save(evidence(), path)
    return str(path)


def shell(home: Path, command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}".replace("pgsurveyor", PROGRAM[0])],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_reader_that_leaves_changes_no_status(home: Path, saved: str) -> None:
    assert shell(home, "pgsurveyor checks | head -1").returncode == 0
    assert shell(home, f"pgsurveyor run --evidence {saved} --format html | head -1").returncode == 0
    failed = shell(home, f"pgsurveyor run --evidence {saved} --format html --min schema=5 | head -1")
    assert (failed.returncode, b"gate: schema" in failed.stderr) == (1, True)


def test_standard_output_that_takes_nothing(home: Path, saved: str) -> None:
    for command, words in (
        (f"pgsurveyor run --evidence {saved} >/dev/full", "standard output cannot be written: No space left on device"),
        (f"pgsurveyor run --evidence {saved} >&-", "standard output is closed"),
        ("pgsurveyor checks >/dev/full", "cannot write: No space left on device"),
    ):
        ended = shell(home, command)
        assert ended.returncode == 3
        assert f"pgsurveyor: {words}\n" in ended.stderr.decode()
    assert shell(home, f"pgsurveyor run --evidence {saved} --format badge 2>&-").returncode == 0


def test_results_are_utf_8_whatever_the_locale(home: Path, saved: str) -> None:
    plain = shell(home, f"pgsurveyor run --evidence {saved}", LC_ALL="C.UTF-8")
    narrow = shell(home, f"pgsurveyor run --evidence {saved}", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (plain.returncode, narrow.returncode) == (0, 0)
    assert narrow.stdout == plain.stdout
    assert "■" in plain.stdout.decode()


def test_what_cannot_be_is_said_before_anything_is_observed(pgsurveyor: Run, tmp_path: Path) -> None:
    nowhere = "host=/nowhere dbname=app"
    for words, message in (
        (("run", nowhere, "--baseline", "none"), "there is no review 'none'"),
        (("collect", nowhere, "-o", str(tmp_path / "none" / "e.gz")), f"there is no folder {tmp_path / 'none'}"),
        (("collect", nowhere, "-o", str(tmp_path)), f"{tmp_path} is a folder"),
    ):
        ended = pgsurveyor(*words)
        assert (ended.returncode, ended.stderr.splitlines()[0]) == (2, f"pgsurveyor: {message}")


def test_a_review_without_its_evidence(pgsurveyor: Run, home: Path, saved: str) -> None:
    assert pgsurveyor("run", "--evidence", saved).returncode == 0
    (kept,) = home.glob(".local/share/pgsurveyor/reviews/*/evidence.json.gz")
    kept.unlink()
    ended = pgsurveyor("export", str(kept.parent))
    assert ended.returncode == 3
    assert ended.stderr.startswith(f"pgsurveyor: cannot read evidence from {kept}: No such file or directory\n")
