"""What a fix did when it was tried in a shadow, in words."""

from __future__ import annotations

from checks.figures import bytes_in_words
from checks.proofs import Verdict
from scorecards.model import ProofEntry, ProvenEntry

LISTED = 5


def proof_words(proof: ProofEntry) -> str:
    """One sentence: what became of it, how many statements were planned, and the predicted size."""
    lead = f"Tried in a shadow, planned by PostgreSQL {proof.server_major}: "
    if proof.verdict == Verdict.UNTRIED:
        return f"Not proven in a shadow: {proof.note}."
    better = sum(1 for entry in proof.statements if entry.cost_after < entry.cost_before * 0.99)
    worse = sum(1 for entry in proof.statements if entry.cost_after > entry.cost_before * 1.01)
    statements = f"{proof.planned} statement{'' if proof.planned == 1 else 's'} planned"
    parts = [f"of {statements}, {better or 'none'} cheaper and {worse or 'none'} dearer"]
    if proof.unplanned:
        parts.append(f"{proof.unplanned} more could not be planned")
    if proof.index_bytes is not None:
        parts.append(f"predicted size {bytes_in_words(proof.index_bytes)}")
    return f"{lead}{'; '.join(parts)}."


def changes(proof: ProofEntry) -> list[str]:
    """The statements whose cost changed, most gained first: at most five, one line each."""
    return [
        f"{entry.does or entry.query_id}: cost {_cost(entry.cost_before)} → {_cost(entry.cost_after)}"
        for entry in proof.statements[:LISTED]
    ]


def plans(proof: ProofEntry) -> tuple[str, str] | None:
    """The plan before and after of the statement that gains most, if its plan changed."""
    changed: ProvenEntry | None = next((entry for entry in proof.statements if entry.plan_changed), None)
    return None if changed is None else ("\n".join(changed.plan_before), "\n".join(changed.plan_after))


def _cost(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
