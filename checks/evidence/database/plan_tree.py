"""EXPLAIN (FORMAT JSON) as a small typed tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.evidence.database.facts import PlanNode
from checks.evidence.sql import mask_literals

# A scan of a thousand partitions is told by its first ones; the costs above them are of all.
_CHILDREN = 100
_DEPTH = 200


def read_plan(node: Mapping[str, Any], depth: int = 0) -> PlanNode:
    """The node and, of each node, its first hundred children. Conditions have their literals masked."""
    below = node.get("Plans", ())[:_CHILDREN] if depth < _DEPTH else ()
    return PlanNode(
        node_type=node["Node Type"],
        startup_cost=node["Startup Cost"],
        total_cost=node["Total Cost"],
        rows=node["Plan Rows"],
        width=node["Plan Width"],
        schema=node.get("Schema"),
        relation=node.get("Relation Name"),
        alias=node.get("Alias"),
        index=node.get("Index Name"),
        join_type=node.get("Join Type"),
        strategy=node.get("Strategy"),
        parent_relationship=node.get("Parent Relationship"),
        parallel=node.get("Parallel Aware", False),
        filter=_condition(node, "Filter", "Join Filter", "One-Time Filter"),
        index_condition=_condition(node, "Index Cond", "Recheck Cond"),
        hash_condition=_condition(node, "Hash Cond", "Merge Cond"),
        sort_key=tuple(mask_literals(key) for key in node.get("Sort Key", ())),
        order_by=_condition(node, "Order By"),
        children=tuple(read_plan(child, depth + 1) for child in below),
        subplan=node.get("Subplan Name"),
        workers=int(planned) if isinstance(planned := node.get("Workers Planned"), int | float) else None,
    )


def _condition(node: Mapping[str, Any], *names: str) -> str | None:
    found = next((node[name] for name in names if name in node), None)
    return None if found is None else mask_literals(found)
