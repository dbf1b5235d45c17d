"""Plans that the server made of statements without running them."""

from __future__ import annotations

from functools import cached_property

import msgspec


class PlanNode(msgspec.Struct, frozen=True):
    """One node of EXPLAIN (FORMAT JSON); conditions have their literals masked. Costs in planner units, rows estimated."""

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
