"""The scorecard as data: field for field what `--format json` writes (CONTRACT.md)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

SCHEMA = "pgsurveyor.scorecard/1"


class Tool(msgspec.Struct, frozen=True):
    name: str
    version: str


class ReviewIdentity(msgspec.Struct, frozen=True):
    id: str
    title: str
    started: str
    reviewers: tuple[str, ...] = ()


class DatabaseTarget(msgspec.Struct, frozen=True):
    name: str
    server_version: str
    role: str
    flavour: str
    size_bytes: int | None
    tables: int | None
    statistics_window_days: float | None
    user_sees: str


class ReplicaTarget(DatabaseTarget, frozen=True):
    lag_bytes: int | None
    lag_seconds: float | None
    state: str | None


class RepositoryTarget(msgspec.Struct, frozen=True):
    name: str
    commit: str | None
    files: int
    lines: int
    languages: dict[str, int]


class Target(msgspec.Struct, frozen=True):
    database: DatabaseTarget | None
    replicas: tuple[ReplicaTarget, ...]
    repository: RepositoryTarget | None


class Overall(msgspec.Struct, frozen=True):
    demonstrated: int | None
    claimed: int | None
    possible: int | None
    index: int | None
    coverage: float | None
    red_flags: tuple[str, ...]
    red_flags_unknown: tuple[str, ...]


class Gate(msgspec.Struct, frozen=True):
    asked: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True):
    by: str
    until: str


class CriterionStatus(msgspec.Struct, frozen=True):
    """`findings` are the ids of those that make it unmet, or that tell of what does, the worst first."""

    id: str
    level: int
    statement: str
    status: str
    evidence: str | None
    observed: str | None
    reason: str | None
    unlock: str | None
    accepted: Accepted | None = None
    provisional: bool = False
    findings: tuple[str, ...] = ()


class AreaScore(msgspec.Struct, frozen=True):
    area: str
    not_applicable: str | None
    demonstrated: int | None
    claimed: int | None
    possible: int | None
    target: int | None
    coverage: float | None
    held_back_by: tuple[str, ...]
    criteria: tuple[CriterionStatus, ...]


class CheckStatus(msgspec.Struct, frozen=True):
    id: str
    area: str
    outcome: str
    examined: int | None
    of: int | None
    findings: int
    reason: str | None
    unlock: str | None
    title: str = ""


class SubjectRef(msgspec.Struct, frozen=True):
    kind: str
    name: str
    path: tuple[str, ...]


class LocationRef(msgspec.Struct, frozen=True):
    path: str
    line: int


class StatementLocation(msgspec.Struct, frozen=True):
    path: str
    line: int
    match: str


class FixAdvice(msgspec.Struct, frozen=True):
    summary: str
    sql: str | None
    lock: str | None
    rewrites: bool
    undo: str | None


class DecisionTaken(msgspec.Struct, frozen=True):
    """`expired`: a waiver whose day is past, or too far away to count."""

    kind: str
    reason: str | None
    owner: str | None
    expires: str | None
    due: str | None
    by: str | None
    on: str | None
    note: str | None = None
    expired: bool = False


class Cost(msgspec.Struct, frozen=True):
    """What something takes: bytes of storage; share of the server's statement time and of its WAL, 0 to 1; money per month,
    where prices are configured. Null where it takes none, or where that is not known."""

    storage_bytes: int | None = None
    server_share: float | None = None
    wal_share: float | None = None
    money_per_month: float | None = None


class AreaCost(msgspec.Struct, frozen=True):
    """The sum over an area's findings: a statement or an index that two of them name counts once."""

    area: str
    findings: int
    cost: Cost


class NoteTaken(msgspec.Struct, frozen=True):
    text: str
    by: str
    on: str


class ProvenEntry(msgspec.Struct, frozen=True):
    """Costs in planner units; the plans stand where they differ, a node a line. `query_id` may be `file:line`; `does` says what
    the statement does in words, empty if it could not be read. `memory_before` and `memory_after` are the costs with every page
    in memory; `proven` says that both counts fall."""

    query_id: str
    cost_before: float
    cost_after: float
    plan_changed: bool
    plan_before: tuple[str, ...] = ()
    plan_after: tuple[str, ...] = ()
    does: str = ""
    memory_before: float | None = None
    memory_after: float | None = None
    proven: bool = False


class ProofEntry(msgspec.Struct, frozen=True):
    """A fix as tried in a shadow: the statements whose plan or cost changed, of `planned`; `index_bytes` is predicted."""

    server_major: int
    statements: tuple[ProvenEntry, ...]
    index_bytes: int | None
    verdict: str
    planned: int = 0
    unplanned: int = 0
    note: str = ""


class FindingEntry(msgspec.Struct, frozen=True):
    id: str
    check: str
    area: str
    severity: str
    confidence: str
    title: str
    subject: SubjectRef
    related: tuple[SubjectRef, ...]
    locations: tuple[LocationRef, ...]
    observed: dict[str, Any]
    why: str
    fix: FixAdvice
    proof: ProofEntry | None = None
    decision: DecisionTaken | None = None
    owner: str | None = None
    notes: tuple[NoteTaken, ...] = ()
    cost: Cost | None = None


class QuestionEntry(msgspec.Struct, frozen=True):
    """`seen` is what evidence already says about it."""

    id: str
    area: str
    question: str
    answer: str | None
    by: str | None
    on: str | None
    artefact: str | None
    artefact_date: str | None
    type: str = "yes/no"
    why: str = ""
    good: str = ""
    seen: str | None = None


class StatementEntry(msgspec.Struct, frozen=True):
    """`does` says what it does in words, empty if it could not be read."""

    query_id: str
    text: str
    calls: int
    mean_ms: float
    total_share: float
    locations: tuple[StatementLocation, ...]
    does: str = ""


class BreaksAt(msgspec.Struct, frozen=True):
    factor: float
    reason: str
    on: dt.date | None = None


class GrowthEntry(msgspec.Struct, frozen=True):
    """A statement as its tables grow. `costs` are relative to factor 1, None where it was not planned at that factor; the plans,
    at factor 1 and at the last, are there where the plan changes."""

    statement: str
    factors: tuple[float, ...]
    costs: tuple[float | None, ...]
    exponent: float | None
    breaks_at: BreaksAt | None
    text: str = ""
    calls: int = 0
    mean_ms: float | None = None
    changes_at: tuple[float, ...] = ()
    tables: tuple[str, ...] = ()
    locations: tuple[StatementLocation, ...] = ()
    plan_now: tuple[str, ...] = ()
    plan_then: tuple[str, ...] = ()


class GrownTableEntry(msgspec.Struct, frozen=True):
    """`exponent` 0: held still; 1: as large as the factor says. `full_at` is the factor at which it passes 32 TB."""

    name: str
    rows: float
    bytes: int
    exponent: float
    why: str
    rows_per_day: float | None
    full_at: float | None
    full_on: dt.date | None


class GrowthBasis(msgspec.Struct, frozen=True):
    """What growth was planned with and from. `skipped`: factors whose files would have been too many."""

    factors: tuple[float, ...]
    budget_ms: float
    server_major: int
    target_major: int
    unplanned: int
    skipped: tuple[float, ...]
    tables: tuple[GrownTableEntry, ...]


class AdvisedIndexEntry(msgspec.Struct, frozen=True):
    """`bytes` is predicted; `loss` the share (0 to 1) of the workload's cost that is lost without this one alone. `proven` are
    those of its statements that are faster by both counts."""

    table: str
    sql: str
    undo: str
    bytes: int
    statements: tuple[str, ...]
    loss: float
    proven: tuple[str, ...] = ()


class AdvisedStatementEntry(msgspec.Struct, frozen=True):
    """Planner cost before and with the advised set; `calls` is its weight. The rest as in ProvenEntry."""

    query_id: str
    calls: int
    cost_before: float
    cost_after: float
    memory_before: float | None = None
    memory_after: float | None = None
    proven: bool = False
    does: str = ""


class AdviceEntry(msgspec.Struct, frozen=True):
    """The new indexes chosen for the whole workload within a budget. `bytes_at_most`: the predicted size with what is kept free
    for its error. Costs are planner's, times calls; `saved` is a share, 0 to 1."""

    budget_bytes: int
    bytes: int
    bytes_at_most: int
    cost_before: float
    cost_after: float
    write_cost: float
    saved: float
    candidates: int
    unplanned: int
    server_major: int
    target_major: int
    cut_short: bool
    indexes: tuple[AdvisedIndexEntry, ...]
    statements: tuple[AdvisedStatementEntry, ...]


class Move(msgspec.Struct, frozen=True):
    criterion: str
    action: str
    effect: str
    effort: str
    criteria: tuple[str, ...] = ()
    saves: Cost | None = None


class Contradiction(msgspec.Struct, frozen=True):
    """What a person said and evidence does not bear out."""

    criterion: str
    words: str


class Provenance(msgspec.Struct, frozen=True):
    """What observing took: the moment, statements sent to the server, milliseconds they took as seen from here."""

    observed_at: str
    statements_sent: int
    server_ms: float


class Profile(msgspec.Struct, frozen=True):
    """How large the installation is: S, M, L, or null; from which the targets follow."""

    scale: str | None
    basis: str


class Link(msgspec.Struct, frozen=True):
    """The state of one area for one statement or table: found, ok, unknown or not_applicable. Where something is found, the
    worst finding; `more` counts the others. `server_wide`: it is about the whole server."""

    area: str
    state: str
    severity: str | None = None
    check: str | None = None
    finding: str | None = None
    more: int = 0
    server_wide: bool = False


class Chain(msgspec.Struct, frozen=True):
    """A costly statement, or a large table, through all six areas. `weakest` are the areas with the worst finding of its own."""

    subject: SubjectRef
    words: str
    server_share: float | None
    size_bytes: int | None
    locations: tuple[LocationRef, ...]
    links: tuple[Link, ...]
    weakest: tuple[str, ...]


class Change(msgspec.Struct, frozen=True):
    """`id` of a criterion or a finding, what it is, and what it was and is now."""

    id: str
    area: str
    words: str
    was: str
    now: str


class LevelChange(msgspec.Struct, frozen=True):
    """`area` or overall. `was` is the old evidence under the present rubric, `as_reported` under the rubric of its time."""

    area: str
    was: int | None
    now: int | None
    as_reported: int | None


class Compared(msgspec.Struct, frozen=True):
    """One side of a comparison."""

    id: str
    title: str
    as_of: str
    rubric: str
    tool_version: str
    index: int | None
    as_reported: int | None


class Comparison(msgspec.Struct, frozen=True):
    """What changed since an earlier review: criteria and findings that are better, worse, new, gone, or out of sight. `rubric`
    says what the change of the rubric alone does to the old evidence."""

    old: Compared
    new: Compared
    levels: tuple[LevelChange, ...]
    better: tuple[Change, ...]
    worse: tuple[Change, ...]
    new_findings: tuple[Change, ...]
    gone: tuple[Change, ...]
    unseen: tuple[Change, ...]
    rubric: tuple[Change, ...]
    notices: tuple[str, ...]


class TrendPoint(msgspec.Struct, frozen=True):
    """The levels that one review demonstrates, under the present rubric."""

    id: str
    name: str
    as_of: str
    overall: int | None
    index: int | None
    areas: dict[str, int | None]


class Scorecard(msgspec.Struct, frozen=True):
    schema: str
    tool: Tool
    rubric: str
    as_of: dt.date
    review: ReviewIdentity
    target: Target
    evidence_sha256: str
    overall: Overall
    gate: Gate
    areas: tuple[AreaScore, ...]
    checks: tuple[CheckStatus, ...]
    findings: tuple[FindingEntry, ...]
    questions: tuple[QuestionEntry, ...]
    statements: tuple[StatementEntry, ...]
    growth: tuple[GrowthEntry, ...] = ()
    moves: tuple[Move, ...] = ()
    overrides: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    profile: Profile | None = None
    provenance: Provenance | None = None
    reopened: tuple[str, ...] = ()
    chains: tuple[Chain, ...] = ()
    costs: tuple[AreaCost, ...] = ()
    currency: str | None = None
    since: Comparison | None = None
    trend: tuple[TrendPoint, ...] = ()
    growth_basis: GrowthBasis | None = None
    advice: AdviceEntry | None = None
