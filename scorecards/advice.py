"""Advice as a scorecard has it: the statements that make the indexes, and what each saves."""

from __future__ import annotations

from checks.advice import Advice
from checks.advised import makings
from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.model import Subject
from checks.text import visible, visible_line
from checks.workload import pattern_by_query_id, place_in_words, statement_in_words, statement_places
from scorecards.entries import rounded
from scorecards.model import AdviceEntry, AdvisedIndexEntry, AdvisedStatementEntry

# Sixty partitions, each with its index made and attached.
_LONGEST_SQL = 50_000


def advice_entry(evidence: Evidence) -> AdviceEntry | None:
    """None where none was asked for."""
    advice = evidence.find(Advice)
    if advice is None:
        return None
    proven = advice.proven
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
                tuple(id for id in entry.advised.statements if id in proven),
            )
            for entry in makings(evidence)
        ),
        tuple(
            AdvisedStatementEntry(
                entry.statement,
                round(entry.weight),
                entry.cost_before,
                entry.cost_after,
                rounded(entry.memory_before),
                rounded(entry.memory_after),
                entry.proven,
                visible_line(_does(entry.statement, evidence), 300),
            )
            for entry in advice.statements
        ),
    )


def _does(statement: str, evidence: Evidence) -> str:
    """What it does, and where it is sent from; empty if it could not be read."""
    pattern = pattern_by_query_id(evidence).get(statement)
    if pattern is None:
        return ""
    place = place_in_words(statement_places(evidence, pattern))
    return f"{statement_in_words(pattern, evidence.find(Catalog))}{place}"
