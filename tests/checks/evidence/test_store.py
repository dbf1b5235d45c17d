"""Evidence files: small, versioned, read by newer versions, without a literal."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import msgspec
import pytest

from checks.checklist import run_checks
from checks.errors import EvidenceError
from checks.evidence import store
from checks.evidence.database.facts import Access, Catalog, Rates, Statements, Usage
from checks.evidence.evidence import FORMAT
from checks.evidence.repository.facts import Repository
from checks.model import Outcome, Reason
from scorecards.exports import render
from scorecards.session import Review

# Collected by the commit of 2026-11-23 that first had all sections of format 1, from a small shop with "SECRET" in every literal.
OLD = Path(__file__).parent / "golden" / "evidence-format-1.json.gz"


def test_an_old_file_is_read_and_reviewed() -> None:
    evidence = store.load(OLD)
    catalog, usage = evidence.find(Catalog), evidence.find(Usage)
    assert catalog is not None
    assert usage is not None
    assert {table.name for table in catalog.tables} >= {"orders", "customers", "open_orders"}
    assert (catalog.views, catalog.triggers, usage.wal) == ((), (), None)
    assert evidence.find(Statements) is not None
    repository = evidence.find(Repository)
    assert repository is not None
    assert repository.matches
    results = run_checks(evidence)
    outcomes = {result.check: result.outcome for result in results}
    assert Outcome.ERROR not in outcomes.values()
    assert outcomes["indexing.foreign-key-without-index"] is Outcome.FOUND
    assert "orders" in render(Review.derived(evidence, results, {}).scorecard(), "markdown")


def test_what_was_not_yet_observed_then_is_unknown_and_not_empty() -> None:
    evidence = store.load(OLD)
    access, rates = evidence.gap(Access), evidence.gap(Rates)
    assert access is not None
    assert access.reason == Reason.NOT_RUN
    assert "collect it again" in access.unlock
    assert rates is not None
    assert rates.reason == Reason.NOT_OPTED_IN


def test_no_literal_is_in_it() -> None:
    assert b"SECRET" not in gzip.decompress(OLD.read_bytes())


def test_saved_and_read_again_it_is_the_same(tmp_path: Path) -> None:
    evidence = store.load(OLD)
    path = tmp_path / "evidence.json.gz"
    store.save(evidence, path)
    assert store.load(path) == evidence
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size < len(store.encode(evidence)) / 3
    first = path.read_bytes()
    store.save(evidence, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not compressed", "not an evidence file"),
        (gzip.compress(b"{}"), "does not hold evidence"),
        (gzip.compress(b"[" * 100_000), "does not hold evidence"),
        (gzip.compress(b'{"format": 1}')[:-9], "cannot read evidence"),
        (gzip.compress(msgspec.json.encode({"format": FORMAT + 1, "tool_version": "9.9"})), "newer pgsurveyor (9.9)"),
    ],
    ids=["text", "empty", "deep", "cut", "newer"],
)
def test_other_files_are_refused_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "evidence.json.gz"
    path.write_bytes(content)
    with pytest.raises(EvidenceError) as refused:
        store.load(path)
    assert words in str(refused.value)
