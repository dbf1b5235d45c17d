"""What is gathered around a finding for its detail: what people said of it, and what evidence and repository have on it."""

from __future__ import annotations

from pathlib import Path

from checks.model import Finding
from scorecards.effects import Effects
from scorecards.review import Event, ReviewState, undone_ids
from tui.excerpts import excerpt_of
from tui.links import Links, Thing, statement_ids
from tui.queue import STATUSES
from tui.widgets.detail import Surroundings

DONE = {**STATUSES, "reopen": "open again"}


class History:
    """What was said about each finding, read once for the events that there are."""

    def __init__(self) -> None:
        self._events: tuple[Event, ...] = ()
        self._by_finding: dict[str, list[Event]] = {}
        self._undone: set[str] = set()

    def of(self, events: tuple[Event, ...], id: str) -> tuple[str, ...]:
        """Everything that was said about that finding, oldest first; nothing while that is one decision that holds."""
        if events is not self._events:
            self._by_finding = {}
            for event in events:
                if event.kind in {"decided", "assigned", "noted"}:
                    self._by_finding.setdefault(event.finding, []).append(event)
            self._events, self._undone = events, undone_ids(events)
        mine = self._by_finding.get(id, [])
        if len(mine) < 2 and not any(event.id in self._undone for event in mine):
            return ()
        return tuple(
            f"{event.at:%Y-%m-%d %H:%M}  {speaker(event)}: {said(event)}{' (undone)' if event.id in self._undone else ''}"
            for event in mine
        )


def speaker(event: Event) -> str:
    """Who said it, in which role, and who sat beside."""
    more = ", ".join(filter(None, (event.role, f"with {event.partner}" if event.partner else "")))
    return f"{event.by} ({more})" if more else event.by


def said(event: Event) -> str:
    """A decision, an owner or a note in a few words."""
    decision = event.decision
    if decision is None:
        return f"owner {event.owner}" if event.kind == "assigned" else f"note: {event.text}"
    return f"{DONE.get(decision.kind, decision.kind)}{f', {decision.reason}' if decision.reason else ''}"


def owner_of(state: ReviewState, id: str) -> str:
    """Who takes care of that finding, "" if nobody does."""
    decision = state.decisions.get(id)
    return state.owners.get(id) or (decision.owner if decision else "") or ""


def surroundings(
    finding: Finding,
    state: ReviewState,
    links: Links,
    effects: Effects | None,
    history: tuple[str, ...],
    repository: Path | None,
    *,
    with_related: bool,
) -> Surroundings:
    """`effects` is None while they are not worked out; `with_related` findings take a moment in a long review."""
    ids = statement_ids(finding)
    effect = effects.fixed(finding) if effects else None
    named = (*effect.criteria, *(id for id, _ in effect.held_by)) if effect else ()
    return Surroundings(
        owner=owner_of(state, finding.id),
        decision=state.decisions.get(finding.id),
        notes=state.notes.get(finding.id, ()),
        history=history,
        statements=tuple(found for id in ids if (found := links.statement(Thing("statement", (id,))))),
        excerpt=excerpt_of(repository, finding.locations[0] if finding.locations else None),
        plans=tuple(plan for id in ids if (plan := links.plan(id))),
        related=links.related(finding) if with_related else (),
        effect=effect,
        criteria={id: effects.judged[id].criterion.statement for id in named} if effects else {},
        conflict=state.conflicts.get(finding.id),
        growth=tuple(grown for id in ids if (grown := links.growth(id))),
    )
