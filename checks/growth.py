"""Growth: what larger tables do to the statements of the workload, as planned in a shadow (checks/shadow/growth.py)."""

from __future__ import annotations

import datetime as dt
from functools import cached_property

import msgspec

LARGEST_RELATION_BYTES = (2**32 - 1) * 8192


class GrownTable(msgspec.Struct, frozen=True):
    """How a table was taken to grow: at factor k it has k to the power of `exponent` times its rows, so 0 is held still and 1
    grows with the factor. `why` says from what that was told. `rows` and `bytes` (of the heap, partitions together) are of now,
    `rows_per_day` the net rate by the cumulative statistics, None where they do not tell. `full_at` is the factor at which it, or
    its fullest partition, passes the 32 TB that a relation can have; None where that is beyond the factors tried."""

    schema: str
    name: str
    rows: float
    bytes: int
    exponent: float
    why: str
    rows_per_day: float | None = None
    full_at: float | None = None
    full_on: dt.date | None = None


class Breaking(msgspec.Struct, frozen=True):
    """Where a statement's mean passes the budget. `on`: the day by which its tables have grown so much, at their rates of now."""

    factor: float
    reason: str
    on: dt.date | None = None


class GrownStatement(msgspec.Struct, frozen=True):
    """`statement` is its query id, or `file:line` where it stands in code and never ran: then it has no mean and never breaks.
    `costs` are in planner units, one a factor; None where a factor was not planned. `exponent` is the slope of a line through
    log cost over log factor: 0 stays as it is, 1 grows as the tables do. It and `breaks_at` go by what a plan costs with as many
    distinct values as there are: of a large table in their order ANALYZE tells the planner of fewer, which `costs` show.
    `changes_at` are the factors at which the plan has another shape than at the one before; then the plans at the first and the
    last factor are there, a line each node. `tables` are those read, as schema.name, the largest first. `mean_ms` is measured, at
    factor 1."""

    statement: str
    costs: tuple[float | None, ...]
    exponent: float | None = None
    changes_at: tuple[float, ...] = ()
    breaks_at: Breaking | None = None
    mean_ms: float | None = None
    calls: int = 0
    tables: tuple[str, ...] = ()
    plan_now: tuple[str, ...] = ()
    plan_then: tuple[str, ...] = ()


class Growth(msgspec.Struct, frozen=True, tag=True, dict=True):
    """`statements` in the order in which they break, then by exponent; `unplanned` counts those that could not be planned.

    `skipped` are factors that were not tried, for the files would have been too many. `target_major` differs from
    `server_major` where no server of the target's own major was at hand.
    """

    factors: tuple[float, ...]
    budget_ms: float
    server_major: int
    target_major: int
    statements: tuple[GrownStatement, ...] = ()
    tables: tuple[GrownTable, ...] = ()
    unplanned: int = 0
    skipped: tuple[float, ...] = ()
    disk_bytes: int = 0

    @cached_property
    def by_statement(self) -> dict[str, GrownStatement]:
        return {entry.statement: entry for entry in self.statements}

    @property
    def breaking(self) -> tuple[GrownStatement, ...]:
        """Those that pass the budget within the factors, the first to do so first."""
        return tuple(entry for entry in self.statements if entry.breaks_at is not None)

    @property
    def full(self) -> tuple[GrownTable, ...]:
        """Tables that pass 32 TB within the factors."""
        return tuple(entry for entry in self.tables if entry.full_at is not None)
