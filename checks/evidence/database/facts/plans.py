"""Plans that the server made of statements without running them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property

import msgspec


class Measured(msgspec.Struct, frozen=True):
    """What EXPLAIN ANALYZE measured at a node. `rows` and `removed` (by filters and rechecks) are of one loop on average, as it
    prints them, `ms` likewise; the rest are totals. `sort_kb` is kept on disk if `sort_on_disk`, else in memory. `batches` of a
    hash, `disk_kb` of a hash or hash aggregate. Blocks are of 8 kB; `read_ms` is time spent on reading them."""

    rows: float
    loops: float
    ms: float | None = None
    removed: float = 0
    sort_kb: int | None = None
    sort_on_disk: bool = False
    batches: int | None = None
    memory_kb: int | None = None
    disk_kb: int | None = None
    exact_blocks: int | None = None
    lossy_blocks: int | None = None
    heap_fetches: int | None = None
    workers_planned: int | None = None
    workers_launched: int | None = None
    hit_blocks: int | None = None
    read_blocks: int | None = None
    temp_written: int | None = None
    read_ms: float | None = None

    @property
    def total_ms(self) -> float | None:
        """Time of all loops together."""
        return None if self.ms is None else self.ms * self.loops


class PlanNode(msgspec.Struct, frozen=True):
    """One node of EXPLAIN; conditions have their literals masked. Costs in planner units, rows estimated. `subplan` is its name
    where it is one (SubPlan 1, CTE x). `measured` is None without ANALYZE, and where the node never ran. `workers` are those
    planned below a Gather."""

    node_type: str
    startup_cost: float
    total_cost: float
    rows: float
    width: int
    schema: str | None = None
    relation: str | None = None
    alias: str | None = None
    index: str | None = None
    join_type: str | None = None
    strategy: str | None = None
    parent_relationship: str | None = None
    parallel: bool = False
    filter: str | None = None
    index_condition: str | None = None
    hash_condition: str | None = None
    sort_key: tuple[str, ...] = ()
    order_by: str | None = None
    children: tuple[PlanNode, ...] = ()
    subplan: str | None = None
    measured: Measured | None = None
    workers: int | None = None

    def walk(self) -> list[PlanNode]:
        """This node and all below it, outermost first."""
        nodes, queue = [], [self]
        while queue:
            node = queue.pop(0)
            nodes.append(node)
            queue.extend(node.children)
        return nodes


class Plan(msgspec.Struct, frozen=True):
    """A generic plan of a statement. `planned_as` says under which role's settings it was made."""

    query_id: str
    root: PlanNode
    planned_as: str = ""


class Unplanned(msgspec.Struct, frozen=True):
    """`sqlstate` is the server's error code where it refused to plan the statement as it was recorded."""

    query_id: str
    reason: str
    unlock: str = ""
    sqlstate: str | None = None


class Plans(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Of the most expensive statements, most expensive first; those that could not be planned, with the reason."""

    plans: tuple[Plan, ...] = ()
    unplanned: tuple[Unplanned, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Plan]:
        return {plan.query_id: plan for plan in self.plans}


class TriggerTime(msgspec.Struct, frozen=True):
    """What a trigger took within one statement; `name` is the constraint's for that of a foreign key."""

    name: str
    ms: float
    calls: int


class GivenPlan(msgspec.Struct, frozen=True):
    """A plan of a file that somebody gave, or of a statement that somebody let be run (`file` is then `--analyze`). `file` is its
    name without folders, `number` the plan's place in it (from 1). `text` is the statement, masked, empty where the file does not
    say it; `query_id` as the file says it, or of the statement that ran with the same text. Times in milliseconds, None without
    ANALYZE. `values` says of each parameter where its value came from, and never the value."""

    file: str
    number: int
    root: PlanNode
    text: str = ""
    query_id: str | None = None
    execution_ms: float | None = None
    planning_ms: float | None = None
    jit_ms: float | None = None
    triggers: tuple[TriggerTime, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def analyzed(self) -> bool:
        """Whether it was really run."""
        return self.root.measured is not None


class LogEvents(msgspec.Struct, frozen=True):
    """What a server's log counts, of files that somebody gave: so many `entries` with a severity, between the first and the last
    moment that it names (in the log's own time zone, None where it names none), and by kind those that tell of trouble."""

    entries: int
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    counts: Mapping[str, int] = {}

    @property
    def days(self) -> float | None:
        """How long it covers."""
        return None if self.since is None or self.until is None else (self.until - self.since).total_seconds() / 86_400


class GivenPlans(msgspec.Struct, frozen=True, tag=True):
    """Plans given with --plan, and those made with --analyze. `unread` counts what looked like a plan and could not be read.
    `log`: what files that are a server's log tell besides.

    Of --analyze: for so many statements a person was `asked`, so many were `declined`, so many `failed` when they were run, and
    so many more are `unproven`: not known to read only, and never asked for."""

    plans: tuple[GivenPlan, ...] = ()
    unread: int = 0
    asked: int = 0
    declined: int = 0
    failed: int = 0
    unproven: int = 0
    log: LogEvents | None = None
