"""The checks against the truth: every planted defect is found, no trap is, and nothing else is said but what is true."""

from __future__ import annotations

import psycopg
import pytest

from checks.checklist import run_checks
from checks.evidence.observe import Target, observe
from checks.model import Area, CheckResult, Outcome
from tests.tui.demo.truth import TRUTH, Entry, entries_for, subjects_of
from tui.demo.launch import Demo

EXISTS: dict[str, str] = {
    "table": "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text)) IS NOT NULL",
    "index": "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text)) IS NOT NULL",
    "column": """SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
                 AND attname = %s)""",
    "constraint": """SELECT EXISTS (SELECT FROM pg_constraint WHERE
                     conrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND conname = %s)""",
    "slot": "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
    "setting": "SELECT EXISTS (SELECT FROM pg_settings WHERE name = %s)",
    "node": "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END = %s",
    "publication": "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = %s)",
    "role": "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)",
    "session": "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s)",
}

REQUIRED = set(
    """
    schema.no-primary-key schema.no-usable-unique-key schema.foreign-key-type-mismatch schema.constraint-not-validated
    schema.missing-foreign-key schema.integer-key-running-out schema.sequence-wider-than-column
    schema.timestamp-without-time-zone indexing.foreign-key-without-index indexing.duplicate-index indexing.redundant-index
    indexing.unused-index indexing.invalid-index indexing.missing-index plans.dominant-statement plans.n-plus-one
    plans.wasteful-sequential-scan plans.offset-pagination plans.select-star plans.never-analyzed replication.no-standby
    replication.lag replication.inactive-slot replication.unlimited-slot-retention replication.archiving
    observability.no-pg-stat-statements observability.slow-log observability.timeouts-unset
    observability.idle-in-transaction observability.connection-saturation observability.wraparound
    observability.no-io-timing hybrid.json-not-jsonb hybrid.jsonb-filter-without-index hybrid.vector-without-index
    hybrid.distance-operator-mismatch hybrid.ivfflat-lists hybrid.pgvector-version
    """.split()
)


@pytest.fixture(scope="module")
def results(demo: Demo) -> dict[str, CheckResult]:
    observation = observe(Target(dsn=demo.dsn, repository=demo.repository, replicas=demo.replica_dsns))
    assert observation.problems == ()
    return {result.check: result for result in run_checks(observation.evidence)}


@pytest.mark.parametrize("entry", [*TRUTH.planted, *TRUTH.trap], ids=lambda entry: entry.label)
def test_each_subject_exists(demo: Demo, entry: Entry) -> None:
    if entry.needs_vectors and not demo.vectors:
        return
    if entry.statement:
        assert subjects_of(demo, entry)
        return
    if entry.kind == "file":
        assert demo.repository.joinpath(*entry.path).is_file()
        return
    with psycopg.connect(demo.dsn, autocommit=True) as connection:
        row = connection.execute(EXISTS[entry.kind].encode(), entry.path).fetchone()
    assert row == (True,)


def test_every_check_of_the_first_version_has_something_to_find_or_to_pass() -> None:
    told = {entry.check for entry in TRUTH.planted} | set(TRUTH.passing)
    assert told >= REQUIRED
    assert all(entry.about for entry in TRUTH.planted)
    assert all(entry.code and entry.why for entry in TRUTH.trap)


@pytest.mark.parametrize("entry", TRUTH.planted, ids=lambda entry: entry.label)
def test_planted_defects_are_found(demo: Demo, results: dict[str, CheckResult], entry: Entry) -> None:
    if entry.needs_vectors and not demo.vectors:
        return
    found = {finding.subject for finding in results[entry.check].findings}
    assert found & subjects_of(demo, entry), _said(results[entry.check])


@pytest.mark.parametrize("entry", TRUTH.trap, ids=lambda entry: entry.label)
def test_traps_are_avoided(demo: Demo, results: dict[str, CheckResult], entry: Entry) -> None:
    if entry.needs_vectors and not demo.vectors:
        return
    found = {finding.subject for finding in results[entry.check].findings}
    assert not found & subjects_of(demo, entry), _said(results[entry.check])


@pytest.mark.parametrize("check", TRUTH.passing)
def test_what_is_well_passes(results: dict[str, CheckResult], check: str, demo: Demo) -> None:
    if check == "hybrid.pgvector-version" and not demo.vectors:
        return
    assert results[check].outcome is Outcome.PASSED, _said(results[check])


def test_nothing_is_found_that_is_not_planted(demo: Demo, results: dict[str, CheckResult]) -> None:
    known = {entry.check for entry in TRUTH.planted} | set(TRUTH.passing)
    true: dict[str, set[object]] = {}
    for entry in entries_for(demo, TRUTH.planted):
        true.setdefault(entry.check, set()).update(subjects_of(demo, entry))
    more = [
        f"{finding.check} {finding.subject.name}: {finding.title}"
        for result in results.values()
        if result.check in known
        for finding in result.findings
        if finding.subject not in true.get(finding.check, set())
    ]
    assert more == []


def test_what_the_code_explains_names_its_line(demo: Demo, results: dict[str, CheckResult]) -> None:
    for result in results.values():
        for finding in result.findings:
            assert finding.locations or finding.area in {Area.REPLICATION, Area.OBSERVABILITY}, finding.title
            for place in finding.locations:
                lines = (demo.repository / place.path).read_text("utf-8").splitlines()
                assert 1 <= place.line <= len(lines)


def _said(result: CheckResult) -> str:
    titles = [f"{finding.subject.kind} {finding.subject.name}: {finding.title}" for finding in result.findings]
    return "\n".join([f"{result.check} {result.outcome} {result.reason or ''} {result.message or ''}", *titles])
