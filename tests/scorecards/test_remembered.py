from __future__ import annotations

import os
from pathlib import Path

from scorecards import remembered
from scorecards.store import EVIDENCE, ReviewFolder
from tests.scorecards.reviewed import NOW, evidence


def test_results_are_kept_and_worked_out_again_where_they_cannot_be_read(tmp_path: Path) -> None:
    folder = ReviewFolder.create(tmp_path / "reviews", evidence(), title="support", now=NOW)
    cache = tmp_path / "cache"
    first = remembered.results_of(folder, cache)
    [kept] = cache.iterdir()
    assert remembered.results_of(folder, cache) == first
    kept.write_bytes(b"\xff nothing of the kind")
    assert remembered.results_of(folder, cache) == first
    cache.chmod(0o500)
    assert remembered.results_of(folder, cache / "no") == first
    cache.chmod(0o700)


def test_other_evidence_has_other_results(tmp_path: Path) -> None:
    folder = ReviewFolder.create(tmp_path / "reviews", evidence(), title="support", now=NOW)
    cache = tmp_path / "cache"
    remembered.results_of(folder, cache)
    os.utime(folder.path / EVIDENCE, (1, 1))
    remembered.results_of(folder, cache)
    assert len(list(cache.iterdir())) == 2


def test_only_a_few_are_kept(tmp_path: Path) -> None:
    folder = ReviewFolder.create(tmp_path / "reviews", evidence(), title="support", now=NOW)
    cache = tmp_path / "cache"
    for number in range(remembered.KEPT + 3):
        os.utime(folder.path / EVIDENCE, (number, number))
        remembered.keep(folder, (), cache)
    assert len(list(cache.iterdir())) == remembered.KEPT
