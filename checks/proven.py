"""What a proof does to a finding: it is carried, or the proposal is withdrawn."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.model import Finding, Fix, Severity
from checks.proofs import Proof, Proofs, Verdict
from checks.workload import pattern_by_query_id, place_in_words, statement_in_words, statement_places


def with_proof(finding: Finding, evidence: Evidence) -> Finding:
    """The finding with its proof, if there is one. A proposal that helps no statement, or an index whose loss makes one
    dearer, is no longer proposed: it becomes a note that says so, and its fix has no SQL. One that only the planner prefers
    is proposed with that word, and is low at most."""
    proofs = evidence.find(Proofs)
    proof = proofs.by_finding.get(finding.id) if proofs is not None else None
    if proof is None:
        return finding
    proof = _in_words(proof, evidence)
    finding = msgspec.structs.replace(finding, proof=proof)
    if _withdrawn(finding, proof):
        fix = Fix(f"{_objection(proof)} {finding.fix.summary}")
        return msgspec.structs.replace(finding, fix=fix, severity=Severity.NOTE)
    if proof.verdict is Verdict.DOUBTFUL and _claims(finding):
        fix = msgspec.structs.replace(finding.fix, summary=f"{doubt_in_words(proof)} {finding.fix.summary}")
        severity = max(finding.severity or Severity.LOW, Severity.LOW, key=lambda one: one.rank)
        return msgspec.structs.replace(finding, fix=fix, severity=severity)
    return finding


def doubt_in_words(proof: Proof) -> str:
    """That nothing is proven to be faster, with the figures of the statement that the planner has gain most."""
    first = proof.doubtful[0]
    name = first.does or f"statement {first.statement}"
    words = f"Not proven to be faster: {name} goes from cost {first.cost_before:,.0f} to {first.cost_after:,.0f}"
    if first.memory_before is None or first.memory_after is None:
        return f"{words} as the planner counts, and could not be counted with every page in memory."
    return (
        f"{words} as the planner counts, but from {first.memory_before:,.0f} to {first.memory_after:,.0f} with every page in "
        "memory."
    )


def _in_words(proof: Proof, evidence: Evidence) -> Proof:
    """With what each statement does, and where it is sent from."""
    patterns, catalog = pattern_by_query_id(evidence), evidence.find(Catalog)
    statements = []
    for entry in proof.statements:
        pattern = patterns.get(entry.statement)
        if pattern is not None:
            place = place_in_words(statement_places(evidence, pattern))
            entry = msgspec.structs.replace(entry, does=f"{statement_in_words(pattern, catalog)}{place}")
        statements.append(entry)
    return msgspec.structs.replace(proof, statements=tuple(statements))


def _withdrawn(finding: Finding, proof: Proof) -> bool:
    if proof.verdict is Verdict.REGRESSES:
        return True
    return proof.verdict is Verdict.NO_EFFECT and _claims(finding) and not proof.unplanned


def _claims(finding: Finding) -> bool:
    """Whether it is said to serve statements, and nothing else: an index for a foreign key spares those who delete the parent's
    rows from reading the table, which no statement of the workload shows."""
    if any(finding.observed.get(name) for name in ("parent_deletes", "parent_updates")):
        return False
    return finding.subject.kind == "statement" or bool(finding.observed.get("statements"))


def _objection(proof: Proof) -> str:
    if proof.verdict is Verdict.REGRESSES:
        worst = max(proof.worse, key=lambda entry: entry.cost_after / max(entry.cost_before, 0.01))
        name = worst.does or f"statement {worst.statement}"
        costs = f"from cost {worst.cost_before:,.0f} to {worst.cost_after:,.0f}"
        return f"Not as it stands: tried in a shadow, {name} goes {costs}."
    return f"Not as it stands: tried in a shadow, none of {proof.planned} statements gets cheaper by it."
