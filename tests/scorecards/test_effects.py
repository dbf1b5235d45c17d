from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from checks.checklist import run_check
from checks.evidence.database.facts import (
    Archiver,
    Catalog,
    FreezeAge,
    FreezeAges,
    PreparedTransaction,
    Replication,
)
from checks.evidence.evidence import Evidence
from checks.registry import Check, all_checks
from scorecards.effects import Effects
from scorecards.moves import find_moves
from scorecards.rubric import load_rubric
from tests.scorecards.reviewed import AS_OF, NOW, catalog, evidence, results
from tests.scorecards.varied import (
    ACTIVE,
    GB,
    IDLE,
    status,
    synchronous,
    vector,
    with_sequence,
    with_sessions,
    with_settings,
    with_slot,
)


def effects() -> Effects:
    return Effects(evidence(), results(), {}, AS_OF)


def test_levels_are_those_of_the_scorecard_and_what_is_met_moves_them() -> None:
    known = effects()
    unmet = [id for id, entry in known.judged.items() if entry.verdict.status != "met"]
    better = known.met(unmet)
    assert known.words(known.levels) == ""
    assert (better.demonstrated or 0) > (known.levels.demonstrated or 0)
    assert "overall" in known.words(better)
    assert known.met(["XXX-9.9"]) == known.levels


def test_fixing_the_only_finding_meets_its_criterion_and_one_of_several_does_not() -> None:
    known = effects()
    for result in results():
        for finding in result.findings:
            effect = known.fixed(finding)
            for id in effect.criteria:
                assert known.judged[id].verdict.status == "unmet"
                assert finding.id in {one.id for one in known.judged[id].findings}
            for id, others in effect.held_by:
                assert others < len(known.judged[id].findings)
    blamed = {id: entry.findings for id, entry in known.judged.items() if len(entry.findings) == 1}
    assert any(id in known.fixed(findings[0]).criteria for id, findings in blamed.items())


def test_a_finding_that_no_criterion_blames_changes_nothing() -> None:
    finding = msgspec.structs.replace(
        results()[0].findings[0] if results()[0].findings else _any(), check="schema.none"
    )
    assert effects().fixed(finding).words == ""


def _any() -> object:
    return next(finding for result in results() for finding in result.findings)


@pytest.fixture
def real_checks(monkeypatch: pytest.MonkeyPatch, declared_checks: dict[str, Check]) -> None:
    """Red flags are judged anew under thresholds that were not lowered: by the checks themselves, not by those declared."""
    del declared_checks
    monkeypatch.setattr("scorecards.scorecard.all_checks", all_checks)


def with_invalid(*names: str) -> Evidence:
    indexes = tuple(
        msgspec.structs.replace(index, valid=index.name not in names, unique=index.method == "btree")
        for index in catalog().indexes
    )
    return evidence(catalog=msgspec.structs.replace(catalog(), indexes=indexes))


def with_full_key() -> Evidence:
    """A key whose own sequence, of its type, is nearly at its end."""
    known = catalog()
    sequence = msgspec.structs.replace(known.sequences[1], last_value=2_100_000_000, oid=777, name="events_id_seq")
    column = msgspec.structs.replace(
        known.columns[0], table=5, number=2, name="id", type="integer", base_type="int4",
        default_sequence=777,
    )  # fmt: skip
    changed = msgspec.structs.replace(known, sequences=(sequence,), columns=(*known.columns, column))
    return evidence(catalog=changed)


def failing_archiver() -> Evidence:
    ago = Archiver(1, 1, NOW - dt.timedelta(seconds=7_200), NOW - dt.timedelta(seconds=10))
    settings = with_settings(archive_mode="on", archive_command="(set)", archive_library="")
    return msgspec.structs.replace(settings, replication=Replication(archiver=ago))


HELD = PreparedTransaction("order-1", "assistant", "app", 100_000)
LONG = msgspec.structs.replace(ACTIVE, state_age_s=90_000, transaction_age_s=90_000)
VULNERABLE = vector("0.8.1")
RED_FLAGS = [
    ("SCH-R1", with_sequence(950), 1),
    ("SCH-R1", with_full_key(), 1),
    ("SCH-R2", evidence(freeze_ages=FreezeAges((FreezeAge(("assistant",), 1_700_000_000, 1),))), 1),
    ("SCH-R2", evidence(freeze_ages=FreezeAges((FreezeAge(("assistant",), 1_700_000_000, 1),),
                                               (FreezeAge(("public", "events"), 1_700_000_000, 1),))), 1),
    ("IDX-R1", with_invalid("messages_pkey"), 1),
    ("IDX-R1", with_invalid("messages_pkey", "accounts_pkey"), 2),
    ("PLN-R1", with_sessions(IDLE), 1),
    ("PLN-R1", with_sessions(LONG), 1),
    ("PLN-R1", with_sessions(prepared=(HELD,)), 1),
    ("PLN-R2", with_sessions(*[ACTIVE] * 9), 1),
    ("REP-R1", with_slot(retained_bytes=11 * GB), 1),
    ("REP-R1", with_slot(wal_status="lost", invalidation_reason="wal_removed"), 1),
    ("REP-R1", with_slot(wal_status="unreserved", active=True), 1),
    ("REP-R2", synchronous(None), 1),
    ("REP-R3", failing_archiver(), 1),
    ("OBS-R1", with_settings(autovacuum="off"), 1),
    ("OBS-R1", with_settings(track_counts="off", track_activities="on"), 1),
    ("HYB-R1", VULNERABLE, 1),
]  # fmt: skip


@pytest.mark.usefixtures("real_checks")
@pytest.mark.parametrize(("flag", "given", "count"), RED_FLAGS)
def test_fixing_what_a_red_flag_is_about_clears_it(flag: str, given: Evidence, count: int) -> None:
    criterion = load_rubric().criterion(flag)
    assert criterion
    assert criterion.rule
    checks, results = all_checks(), []
    for check in criterion.rule.related_checks:
        results.append(run_check(checks[check], given))
    known = Effects(given, results, {}, AS_OF)
    assert flag in known.levels.red_flags
    blamed = {finding.id: finding for finding in known.judged[flag].findings}
    assert len(blamed) == count
    for finding in blamed.values():
        effect = known.fixed(finding)
        if count > 1:
            assert (effect.words, effect.criteria) == ("", ())
            assert (flag, count - 1) in effect.held_by
        else:
            assert f"clears red flag {flag}" in effect.words
            # Archiving that works is no backup yet: that a person must say.
            assert (flag in effect.criteria) == (flag != "REP-R3")


def test_every_red_flag_is_told_of_by_a_check() -> None:
    flags = {criterion.id for criterion in load_rubric().criteria if criterion.red_flag}
    assert {flag for flag, _, _ in RED_FLAGS} == flags


@pytest.mark.usefixtures("real_checks")
def test_a_red_flag_is_cleared_with_the_criterion_that_the_same_fix_meets() -> None:
    given = with_invalid("messages_pkey")
    result = run_check(all_checks()["indexing.invalid-index"], given)
    known = Effects(given, [result], {}, AS_OF)
    assert "clears red flag IDX-R1" in known.words(known.met({"IDX-1.1"}))
    assert "clears red flag IDX-R1" in known.words(known.met({"IDX-R1"}))
    move = next(one for one in find_moves(tuple(known.judged.values())) if "IDX-R1" in one.criteria)
    assert "IDX-1.1" in move.criteria
    assert "clears red flag IDX-R1" in move.effect


def test_what_reindex_left_beside_a_valid_index_is_no_red_flag() -> None:
    valid = catalog().indexes[1]
    spare = msgspec.structs.replace(valid, oid=999, name=f"{valid.name}_ccnew", valid=False)
    given = evidence(catalog=msgspec.structs.replace(catalog(), indexes=(*catalog().indexes, spare)))
    assert status("unique_indexes_valid", given) == "met"
    alone = tuple(entry for entry in given.get(Catalog).indexes if entry.oid != valid.oid)
    assert (
        status("unique_indexes_valid", evidence(catalog=msgspec.structs.replace(catalog(), indexes=alone))) == "unmet"
    )
