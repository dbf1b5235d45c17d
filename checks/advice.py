"""Advice: the set of new indexes that is best for the whole workload within a storage budget, as tried in a shadow."""

from __future__ import annotations

import msgspec


class AdvisedIndex(msgspec.Struct, frozen=True):
    """`table` is (schema, name), `definition` what follows it in CREATE INDEX, `bytes` the predicted size, `statements` those
    that use it in the advised set. `loss`: the share (0 to 1) of the workload's cost that is lost without this one alone.
    `extension` has to be made first, where it is not there yet."""

    table: tuple[str, str]
    definition: str
    bytes: int
    statements: tuple[str, ...]
    loss: float
    extension: str | None = None


class AdvisedStatement(msgspec.Struct, frozen=True):
    """Planner cost before and with the advised set; `weight` is how often it ran. `memory_before`, `memory_after` and `proven`
    are those of ProvenStatement."""

    statement: str
    weight: float
    cost_before: float
    cost_after: float
    memory_before: float | None = None
    memory_after: float | None = None
    proven: bool = False

    @property
    def better(self) -> bool:
        """As the planner counts; whether it is faster says `proven`."""
        return self.cost_after < self.cost_before * 0.99


class Advice(msgspec.Struct, frozen=True, tag=True):
    """`cost_before` and `cost_after` are sums of weight times cost; `write_cost`, in the same units, what the new indexes
    cost writers. `candidates` were tried. `unplanned` statements could not be planned. `bytes_at_most` is the predicted size with
    what is kept free for its error. `target_major` differs from `server_major` where no server of the target's own major was at
    hand. `cut_short`: the time for the choice was over before it was done."""

    budget_bytes: int
    indexes: tuple[AdvisedIndex, ...]
    statements: tuple[AdvisedStatement, ...]
    cost_before: float
    cost_after: float
    write_cost: float = 0.0
    candidates: int = 0
    unplanned: int = 0
    bytes_at_most: int = 0
    server_major: int = 0
    target_major: int = 0
    cut_short: bool = False

    @property
    def proven(self) -> frozenset[str]:
        """The statements that are faster by both counts."""
        return frozenset(entry.statement for entry in self.statements if entry.proven)

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.indexes)

    @property
    def saved(self) -> float:
        """Share of the workload's cost, 0 to 1."""
        return 1.0 - self.cost_after / self.cost_before if self.cost_before else 0.0
