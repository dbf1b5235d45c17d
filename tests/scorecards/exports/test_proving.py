from __future__ import annotations

import datetime as dt

import msgspec

from checks.advice import Advice, AdvisedIndex, AdvisedStatement
from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.model import Finding, Fix, Severity, Subject
from checks.proofs import Proof, Proofs, ProvenStatement, Verdict
from checks.proven import with_proof
from scorecards.advice import advice_entry
from scorecards.entries import proof_entry
from scorecards.exports.advising import doubtful, serves_words, summary_words
from scorecards.exports.proving import changes, proof_words

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
FASTER = ProvenStatement("1", 9_000.0, 30.0, True, memory_before=4_000.0, memory_after=2.0, proven=True)
PREFERRED = ProvenStatement("2", 900.0, 300.0, True, memory_before=80.0, memory_after=150.0)
UNCOUNTED = ProvenStatement("3", 800.0, 400.0, False)
DEARER = ProvenStatement("4", 10.0, 10.5, False)


def made(verdict: Verdict, *statements: ProvenStatement) -> Proof:
    return Proof("f", 18, verdict, statements, 6)


def test_what_is_proven_is_told_from_what_the_planner_prefers() -> None:
    entry = proof_entry(made(Verdict.HELPS, FASTER, PREFERRED, UNCOUNTED, DEARER))
    assert (
        "of 6 statements planned, 1 proven to be faster, 2 cheaper only as the planner counts and 1 dearer"
        in proof_words(entry)
    )
    assert changes(entry) == [
        "1: cost 9,000 → 30.00, 4,000 → 2.00 with every page in memory",
        "2: cost 900 → 300, 80.00 → 150 with every page in memory; not proven to be faster",
        "3: cost 800 → 400, not counted with every page in memory; not proven to be faster",
        "4: cost 10.00 → 10.50",
    ]


def test_a_proposal_that_only_the_planner_prefers_says_so_and_is_low() -> None:
    def after(proof: Proof, **observed: object) -> Finding:
        finding = Finding(
            Subject("statement", ("2",)), "t", Fix("Index it.", "CREATE INDEX i ON t (a);"), Severity.HIGH,
            check="indexing.tried", observed=dict(observed),
        )  # fmt: skip
        entry = msgspec.structs.replace(proof, finding=finding.id)
        evidence = Evidence(tool_version="1", observed_at=NOW, proofs=Proofs(18, 18, (entry,)))
        return with_proof(finding, evidence)

    low = after(made(Verdict.DOUBTFUL, PREFERRED))
    assert low.severity is Severity.LOW
    assert low.fix.sql == "CREATE INDEX i ON t (a);"
    assert low.fix.summary == (
        "Not proven to be faster: statement 2 goes from cost 900 to 300 as the planner counts, but from 80 to 150 with every "
        "page in memory. Index it."
    )
    assert "could not be counted" in after(made(Verdict.DOUBTFUL, UNCOUNTED)).fix.summary
    # Whoever deletes a parent's rows gains besides.
    assert after(made(Verdict.DOUBTFUL, PREFERRED), parent_deletes=7).severity is Severity.HIGH
    assert after(made(Verdict.HELPS, FASTER, PREFERRED)).severity is Severity.HIGH


def test_advice_names_the_statements_that_it_does_not_prove() -> None:
    advice = Advice(
        1 << 30,
        (AdvisedIndex(("public", "t"), "(a)", 1 << 20, ("1", "2"), 0.4), AdvisedIndex(("public", "t"), "(b)", 1, ("2",), 0.1)),
        (
            AdvisedStatement("1", 10, 9_000.0, 30.0, 4_000.0, 2.0, proven=True),
            AdvisedStatement("2", 10, 900.0, 300.0, 80.0, 150.0),
        ),
        99_000.0,
        3_300.0,
    )  # fmt: skip
    entry = advice_entry(Evidence(tool_version="1", observed_at=NOW, catalog=Catalog(), advice=advice))
    assert entry is not None
    assert summary_words(entry).endswith("2 get cheaper and none dearer. 1 of those 2 is proven to be faster.")
    assert [serves_words(index) for index in entry.indexes] == [
        "2 statements, 1 proven faster",
        "1 statement, none proven faster",
    ]
    assert doubtful(entry) == ["2: cost 900 → 300, 80.00 → 150 with every page in memory"]
