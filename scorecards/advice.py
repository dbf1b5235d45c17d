"""Advice as a scorecard has it: the statements that make the indexes, and what each saves."""

from __future__ import annotations

from checks.advice import Advice
from checks.advised import makings
from checks.evidence.evidence import Evidence
from checks.model import Subject
from checks.text import visible, visible_line
from scorecards.model import AdviceEntry, AdvisedIndexEntry, AdvisedStatementEntry

_LONGEST_SQL = 2_000


def advice_entry(evidence: Evidence) -> AdviceEntry | None:
    """None where none was asked for."""
    advice = evidence.find(Advice)
    if advice is None:
        return None
    return AdviceEntry(
        advice.budget_bytes,
        advice.bytes,
        advice.bytes_at_most,
        round(advice.cost_before, 1),
        round(advice.cost_after, 1),
        round(advice.write_cost, 1),
        round(advice.saved, 4),
        advice.candidates,
        advice.unplanned,
        advice.server_major,
        advice.target_major,
        advice.cut_short,
        tuple(
            AdvisedIndexEntry(
                visible_line(Subject("table", entry.advised.table).name),
                visible(entry.sql, _LONGEST_SQL),
                visible(entry.undo, _LONGEST_SQL),
                entry.advised.bytes,
                entry.advised.statements,
                entry.advised.loss,
            )
            for entry in makings(evidence)
        ),
        tuple(
            AdvisedStatementEntry(entry.statement, round(entry.weight), entry.cost_before, entry.cost_after)
            for entry in advice.statements
        ),
    )
