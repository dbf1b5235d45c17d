from __future__ import annotations

import msgspec

from scorecards.effects import Effects
from tests.scorecards.reviewed import AS_OF, evidence, results


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
