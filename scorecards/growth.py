"""Growth as a scorecard has it: costs relative to those of now, texts and places of statements."""

from __future__ import annotations

from checks.evidence.database.facts import Statements
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.growth import GrownStatement, GrownTable, Growth
from checks.model import Subject
from checks.text import visible, visible_line
from scorecards.model import BreaksAt, GrownTableEntry, GrowthBasis, GrowthEntry, StatementLocation

LONGEST_TEXT = 10_000


def growth_entries(evidence: Evidence) -> tuple[GrowthEntry, ...]:
    """In the order in which they break, then by exponent."""
    growth = evidence.find(Growth)
    return tuple(_entry(evidence, growth, entry) for entry in growth.statements) if growth else ()


def growth_basis(evidence: Evidence) -> GrowthBasis | None:
    growth = evidence.find(Growth)
    if growth is None:
        return None
    return GrowthBasis(
        growth.factors,
        growth.budget_ms,
        growth.server_major,
        growth.target_major,
        growth.unplanned,
        growth.skipped,
        tuple(_table(entry) for entry in growth.tables),
    )


def _entry(evidence: Evidence, growth: Growth, entry: GrownStatement) -> GrowthEntry:
    statements = evidence.find(Statements)
    row = statements.by_id.get(entry.statement) if statements else None
    base = entry.costs[0] if entry.costs and entry.costs[0] else None
    breaks = entry.breaks_at
    return GrowthEntry(
        visible_line(entry.statement),
        growth.factors,
        tuple(round(cost / base, 3) if cost is not None and base else None for cost in entry.costs),
        entry.exponent,
        BreaksAt(breaks.factor, breaks.reason, breaks.on) if breaks else None,
        visible(row.text if row else _text_in_code(evidence, entry.statement), LONGEST_TEXT),
        entry.calls,
        entry.mean_ms,
        entry.changes_at,
        tuple(visible_line(name) for name in entry.tables),
        tuple(
            StatementLocation(place.path, place.line, how)
            for place, how in evidence.statement_locations.get(entry.statement, ())
        ),
        tuple(visible(line) for line in entry.plan_now),
        tuple(visible(line) for line in entry.plan_then),
    )


def _text_in_code(evidence: Evidence, place: str) -> str:
    """Of a statement that never ran, by its `file:line`."""
    repository = evidence.find(Repository)
    texts = repository.statements if repository else ()
    return next((entry.text for entry in texts if f"{entry.location.path}:{entry.location.line}" == place), "")


def _table(entry: GrownTable) -> GrownTableEntry:
    return GrownTableEntry(
        visible_line(Subject("table", (entry.schema, entry.name)).name),
        entry.rows,
        entry.bytes,
        entry.exponent,
        entry.why,
        entry.rows_per_day,
        entry.full_at,
        entry.full_on,
    )
