"""Findings as a scorecard lists them, with what was decided about each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from checks.configuration import Waiver
from checks.model import Finding, Subject
from checks.proofs import Proof
from checks.text import visible, visible_line
from scorecards.model import (
    Cost,
    DecisionTaken,
    FindingEntry,
    FixAdvice,
    LocationRef,
    NoteTaken,
    ProofEntry,
    ProvenEntry,
    SubjectRef,
)
from scorecards.review import ReviewState
from scorecards.waivers import is_expired, longest, waives_finding
from scorecards.words import cleaned, encodable, instant


def finding_entry(
    finding: Finding, state: ReviewState, waivers: Sequence[Waiver], as_of: dt.date, cost: Cost | None = None
) -> FindingEntry:
    """`waivers` are those that hold."""
    assert finding.severity is not None
    fix, id = finding.fix, finding.id
    return FindingEntry(
        id,
        finding.check,
        finding.area.value,
        finding.severity.value,
        finding.confidence.value,
        visible_line(finding.title, 500),
        _subject(finding.subject),
        tuple(_subject(subject) for subject in finding.related),
        tuple(LocationRef(encodable(place.path), place.line) for place in finding.locations),
        cleaned(finding.observed),
        visible(finding.why, 4_000),
        FixAdvice(visible(fix.summary, 2_000), _sql(fix.sql), fix.lock, fix.rewrites, _sql(fix.undo)),
        proof_entry(finding.proof) if finding.proof else None,
        decision_of(finding, state, waivers, as_of),
        visible_line(state.owners[id]) if id in state.owners else None,
        tuple(
            NoteTaken(visible(note.text, 4_000), visible_line(note.by), instant(note.at)[:10])
            for note in state.notes.get(id, ())
        ),
        cost,
    )


def proof_entry(proof: Proof) -> ProofEntry:
    return ProofEntry(
        proof.server_major,
        tuple(
            ProvenEntry(
                visible_line(entry.statement),
                round(entry.cost_before, 2),
                round(entry.cost_after, 2),
                entry.plan_changed,
                tuple(visible_line(line, 300) for line in entry.plan_before),
                tuple(visible_line(line, 300) for line in entry.plan_after),
                visible_line(entry.does, 300),
                rounded(entry.memory_before),
                rounded(entry.memory_after),
                entry.proven,
            )
            for entry in proof.statements
        ),
        proof.index_bytes,
        proof.verdict.value,
        proof.planned,
        proof.unplanned,
        visible_line(proof.note, 300),
    )


def rounded(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 2)


def decision_of(
    finding: Finding, state: ReviewState, waivers: Sequence[Waiver], as_of: dt.date
) -> DecisionTaken | None:
    """What the reviewers decided; where they did not, or their waiver expired, the waiver in pgsurveyor.toml that
    holds longest."""
    taken = state.decisions.get(finding.id)
    waiver = longest(
        waiver for waiver in waivers if waives_finding(waiver, finding.id, finding.check, finding.subject.name)
    )
    expired = bool(taken and taken.kind == "waive" and taken.expires and is_expired(taken.expires, as_of))
    if taken is not None and not (expired and waiver):
        return DecisionTaken(
            taken.kind,
            _words(taken.reason),
            _words(taken.owner or state.owners.get(finding.id)),
            taken.expires.isoformat() if taken.expires else None,
            taken.due.isoformat() if taken.due else None,
            _words(taken.by),
            taken.on.isoformat() if taken.on else None,
            visible(taken.note, 4_000) if taken.note else None,
            expired,
        )
    if waiver is None:
        return None
    return DecisionTaken(
        "waive", waiver.reason, _words(waiver.owner), waiver.expires.isoformat(), None, None, None, _words(waiver.note)
    )


def _words(text: str | None) -> str | None:
    return visible_line(text) if text else None


def _sql(text: str | None) -> str | None:
    return encodable(text) if text is not None else None


def _subject(subject: Subject) -> SubjectRef:
    return SubjectRef(subject.kind, visible_line(subject.name, 500), tuple(encodable(part) for part in subject.path))
