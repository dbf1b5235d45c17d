"""Proofs of fixes: what a proposed or dropped index does to the plans of the workload, as tried in a shadow (checks/shadow)."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property

import msgspec


class Verdict(StrEnum):
    """Of a try: statements are proven to be faster; some are cheaper, but only as the planner counts; nothing changes, which a
    drop is to show; nothing changes, though it should; a statement gets dearer; it could not be tried."""

    HELPS = "helps"
    DOUBTFUL = "doubtful"
    HARMLESS = "harmless"
    NO_EFFECT = "no_effect"
    REGRESSES = "regresses"
    UNTRIED = "untried"


# In planner units, at the default random_page_cost.
FIVE_READS = 20.0


class ProvenStatement(msgspec.Struct, frozen=True):
    """A statement planned before and after, costs in planner units. `statement` is its query id, or `file:line` where it stands
    in code and never ran. The plans are there where they differ, one line a node, literals masked. `does` is what it does in
    words: findings say it, evidence does not. `memory_before` and `memory_after` are the costs of one that is cheaper with
    every page in memory, where that could be counted (checks/shadow/in_memory.py); `proven`: both counts fall by limit
    `proven_gain`."""

    statement: str
    cost_before: float
    cost_after: float
    plan_changed: bool
    plan_before: tuple[str, ...] = ()
    plan_after: tuple[str, ...] = ()
    does: str = ""
    memory_before: float | None = None
    memory_after: float | None = None
    proven: bool = False

    @property
    def better(self) -> bool:
        """As the planner counts; whether it is faster says `proven`."""
        return self.cost_after < self.cost_before * 0.99

    @property
    def worse(self) -> bool:
        return self.cost_after > self.cost_before * 1.01

    @property
    def regresses(self) -> bool:
        """By a tenth, for a longer index that does the work of a shorter is always a little dearer to read; and by more than five
        random reads, for the planner takes one of several columns for less in the table's order than it may be."""
        return self.cost_after > self.cost_before * 1.1 and self.cost_after - self.cost_before > FIVE_READS


class Proof(msgspec.Struct, frozen=True):
    """What became of one finding's fix. `statements` are those whose plan or cost changed, most gained first, of `planned` that
    read or write the tables concerned; `unplanned` more could not be planned. `index_bytes` is the predicted size of what the
    fix creates. `note` says why it was not tried."""

    finding: str
    server_major: int
    verdict: Verdict
    statements: tuple[ProvenStatement, ...] = ()
    planned: int = 0
    unplanned: int = 0
    index_bytes: int | None = None
    note: str = ""

    @property
    def better(self) -> tuple[ProvenStatement, ...]:
        return tuple(entry for entry in self.statements if entry.better)

    @property
    def proven(self) -> tuple[ProvenStatement, ...]:
        return tuple(entry for entry in self.statements if entry.proven)

    @property
    def doubtful(self) -> tuple[ProvenStatement, ...]:
        """Those that are cheaper only as the planner counts."""
        return tuple(entry for entry in self.statements if entry.better and not entry.proven)

    @property
    def worse(self) -> tuple[ProvenStatement, ...]:
        return tuple(entry for entry in self.statements if entry.worse)


class Lacking(msgspec.Struct, frozen=True):
    """What the shadow lacked, and why; `relations` as schema.name."""

    kind: str
    name: str
    reason: str
    relations: tuple[str, ...] = ()


class Proofs(msgspec.Struct, frozen=True, tag=True, dict=True):
    """All tries of one review. `target_major` differs from `server_major` where no server of the target's own major was at hand.
    `disk_bytes` is what the shadow took, `snapshot_s` how long pg_dump ran on the target."""

    server_major: int
    target_major: int
    entries: tuple[Proof, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    disk_bytes: int = 0
    snapshot_s: float = 0.0

    @cached_property
    def by_finding(self) -> dict[str, Proof]:
        return {entry.finding: entry for entry in self.entries}
