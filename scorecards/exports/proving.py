"""What a fix did when it was tried in a shadow, in words."""

from __future__ import annotations

from checks.figures import bytes_in_words
from checks.proofs import Verdict
from scorecards.model import AdvisedStatementEntry, ProofEntry, ProvenEntry

LISTED = 5
IN_MEMORY = "with every page in memory"


def proof_words(proof: ProofEntry) -> str:
    """One sentence: what became of it, how many statements were planned, and the predicted size."""
    lead = f"Tried in a shadow, planned by PostgreSQL {proof.server_major}: "
    if proof.verdict == Verdict.UNTRIED:
        return f"Not proven in a shadow: {proof.note}."
    better = [entry for entry in proof.statements if is_cheaper(entry)]
    proven = sum(1 for entry in better if entry.proven)
    worse = sum(1 for entry in proof.statements if entry.cost_after > entry.cost_before * 1.01)
    statements = f"{proof.planned} statement{'' if proof.planned == 1 else 's'} planned"
    doubtful = f", {len(better) - proven} cheaper only as the planner counts" if proven < len(better) else ""
    parts = [f"of {statements}, {proven or 'none'} proven to be faster{doubtful} and {worse or 'none'} dearer"]
    if proof.unplanned:
        parts.append(f"{proof.unplanned} more could not be planned")
    if proof.index_bytes is not None:
        parts.append(f"predicted size {bytes_in_words(proof.index_bytes)}")
    return f"{lead}{'; '.join(parts)}."


def is_cheaper(entry: ProvenEntry | AdvisedStatementEntry) -> bool:
    """As the planner counts."""
    return entry.cost_after < entry.cost_before * 0.99


def changes(proof: ProofEntry) -> list[str]:
    """The statements whose cost changed, most gained first: at most five, one line each."""
    return [change_words(entry) for entry in proof.statements[:LISTED]]


def change_words(entry: ProvenEntry | AdvisedStatementEntry) -> str:
    """The costs before and after, and of one that only the planner prefers that it is not proven to be faster."""
    doubt = "; not proven to be faster" if is_cheaper(entry) and not entry.proven else ""
    return f"{cost_words(entry)}{doubt}"


def cost_words(entry: ProvenEntry | AdvisedStatementEntry) -> str:
    """The cost before and after, of one that gets cheaper by both counts."""
    words = f"{entry.does or entry.query_id}: cost {_cost(entry.cost_before)} → {_cost(entry.cost_after)}"
    if not is_cheaper(entry):
        return words
    if entry.memory_before is None or entry.memory_after is None:
        return f"{words}, not counted {IN_MEMORY}"
    return f"{words}, {_cost(entry.memory_before)} → {_cost(entry.memory_after)} {IN_MEMORY}"


def plans(proof: ProofEntry) -> tuple[str, str] | None:
    """The plan before and after of the statement that gains most, if its plan changed."""
    changed: ProvenEntry | None = next((entry for entry in proof.statements if entry.plan_changed), None)
    return None if changed is None else ("\n".join(changed.plan_before), "\n".join(changed.plan_after))


def _cost(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
