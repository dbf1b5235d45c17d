"""What a proof does to a finding: it is carried, or the proposal is withdrawn."""

from __future__ import annotations

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Finding, Fix, Severity
from checks.proofs import Proof, Proofs, Verdict


def with_proof(finding: Finding, evidence: Evidence) -> Finding:
    """The finding with its proof, if there is one. A proposal that helps no statement, or an index whose loss makes one
    dearer, is no longer proposed: it becomes a note that says so, and its fix has no SQL."""
    proofs = evidence.find(Proofs)
    proof = proofs.by_finding.get(finding.id) if proofs is not None else None
    if proof is None:
        return finding
    finding = msgspec.structs.replace(finding, proof=proof)
    if _withdrawn(finding, proof):
        fix = Fix(f"{_objection(proof)} {finding.fix.summary}")
        return msgspec.structs.replace(finding, fix=fix, severity=Severity.NOTE)
    return finding


def _withdrawn(finding: Finding, proof: Proof) -> bool:
    if proof.verdict is Verdict.REGRESSES:
        return True
    # An index for a foreign key, say, serves what no statement of the workload shows; that claim is not refuted.
    claims = finding.subject.kind == "statement" or bool(finding.observed.get("statements"))
    return proof.verdict is Verdict.NO_EFFECT and claims and not proof.unplanned


def _objection(proof: Proof) -> str:
    if proof.verdict is Verdict.REGRESSES:
        worst = max(proof.worse, key=lambda entry: entry.cost_after / max(entry.cost_before, 0.01))
        return (
            f"Not as it stands: tried in a shadow, statement {worst.statement} goes from cost {worst.cost_before:,.0f} to "
            f"{worst.cost_after:,.0f}."
        )
    return f"Not as it stands: tried in a shadow, none of {proof.planned} statements gets cheaper by it."
