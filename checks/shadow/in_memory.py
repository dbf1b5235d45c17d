"""A second count of a plan's cost: what it takes when every page is in memory.

The planner's own count has two blind sides where an index is new. It takes a row that an index scan fetches from a random place
of the table for no dearer than the next row of a sequential scan, once its page is there; and for the inner side of a nested
loop it spreads the pages over as many loops as the joined table has rows, however few are left of them. Here pages cost
nothing, and each place that an index leads to costs as much as several rows that lie side by side (limit `visited_rows`).

What a node fetches is not in EXPLAIN. But costs are sums, so the same plan made under one parameter a thousandth higher tells
how often that parameter is in it: `cpu_tuple_cost` the rows fetched in one run, page costs the pages, and the pages of a nested
loop and of its inner side how often that side is run. All parameters are a million times larger for this, which changes no plan
and shows what EXPLAIN rounds off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from checks.evidence.database.facts import PlanNode
from checks.shadow.blueprint import RelationSize
from checks.shadow.clone import Shadow
from checks.shadow.queries import INDEX_CORRELATIONS

PAGE_COSTS = ("seq_page_cost", "random_page_cost")
TUPLE_COST = "cpu_tuple_cost"
OPERATOR_COST = "cpu_operator_cost"
# The cost parameters with PostgreSQL's defaults.
PARAMETERS = {
    "seq_page_cost": 1.0,
    "random_page_cost": 4.0,
    TUPLE_COST: 0.01,
    "cpu_index_tuple_cost": 0.005,
    OPERATOR_COST: 0.0025,
    "parallel_setup_cost": 1000.0,
    "parallel_tuple_cost": 0.1,
}
_SCALE = 1e6
# Tried one after the other, for a plan that is hardly cheaper than another changes with the first.
_STEPS = (1e-3, -1e-3, 1e-5, -1e-5)
# Less is what is left of rounding.
_NO_PAGES = 1e-4
_LEADER_SHARE = 0.3
# So many pages a bitmap keeps apart, row by row, in PostgreSQL's own work_mem of 4 MB.
_EXACT_PAGES = 65_536
_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan", "Sample Scan")


class Index(NamedTuple):
    """`correlation` is that of its first key with the order of the table, 0 to 1."""

    method: str
    correlation: float


class _Prices(NamedTuple):
    """In planner units: of a row at a random place, and of one condition looked at."""

    visit: float
    operator: float


class _Counted(NamedTuple):
    """A node with rows fetched and pages read in one run of it and all below, each of the pages by its cost."""

    node: PlanNode
    rows: float
    pages: float
    children: tuple[_Counted, ...]

    def under(self, *relationships: str) -> list[_Counted]:
        return [child for child in self.children if child.node.parent_relationship in relationships]

    @property
    def inputs(self) -> list[_Counted]:
        return [child for child in self.children if child.node.parent_relationship not in ("SubPlan", "InitPlan")]


class InMemory:
    """Counts plans of a shadow, with the indexes that it has when this is made."""

    def __init__(self, shadow: Shadow, visited_rows: float) -> None:
        self._shadow, self._visited_rows = shadow, visited_rows
        with shadow.superuser() as superuser:
            rows = superuser.execute(INDEX_CORRELATIONS).fetchall()
        self._indexes = {(row[0], row[1]): Index(row[2], abs(row[3] or 0.0)) for row in rows}

    def cost(self, text: str, role: str, plan: PlanNode) -> float | None:
        """Of the plan that the shadow makes of the statement now, in the planner's units; None where it makes another as soon as
        the least is changed."""
        values = self._parameters(role)
        counted = self._counted(text, role, plan, values)
        if counted is None:
            return None
        prices = _Prices(self._visited_rows * values[TUPLE_COST], values[OPERATOR_COST])
        return counted.node.total_cost / _SCALE - counted.pages + self._added(counted, prices, 1.0)

    def _parameters(self, role: str) -> dict[str, float]:
        known = self._shadow.settings_of(role)
        return {name: _number(known.get(name), default) for name, default in PARAMETERS.items()}

    def _counted(self, text: str, role: str, plan: PlanNode, values: Mapping[str, float]) -> _Counted | None:
        shape = _shape(plan)

        def planned(step: float, *changed: str) -> PlanNode | None:
            settings = {
                name: repr(value * _SCALE * (1 + step if name in changed else 1)) for name, value in values.items()
            }
            found = self._shadow.explain(text, role, settings)
            return found if isinstance(found, PlanNode) and _shape(found) == shape else None

        def stepped(*changed: str) -> tuple[PlanNode, float] | None:
            return next(((found, step) for step in _STEPS if (found := planned(step, *changed)) is not None), None)

        base = planned(0.0)
        by_rows, by_pages = (stepped(TUPLE_COST), stepped(*PAGE_COSTS)) if base is not None else (None, None)
        if base is None or by_rows is None or by_pages is None:
            return None
        row_step, page_step = by_rows[1] * _SCALE * values[TUPLE_COST], by_pages[1] * _SCALE

        def joined(node: PlanNode, more_rows: PlanNode, more_pages: PlanNode) -> _Counted:
            return _Counted(
                node,
                max(0.0, (more_rows.total_cost - node.total_cost) / row_step) if row_step else 0.0,
                max(0.0, (more_pages.total_cost - node.total_cost) / page_step),
                tuple(map(joined, node.children, more_rows.children, more_pages.children)),
            )

        return joined(base, by_rows[0], by_pages[0])

    def _added(self, counted: _Counted, prices: _Prices, divisor: float) -> float:
        """What one run takes besides what the planner counts without pages. So many processes as `divisor` share what is
        parallel."""
        workers = counted.node.workers
        if workers:
            divisor = workers + max(0.0, 1 - _LEADER_SHARE * workers)
        runs = _runs(counted)
        below = zip(counted.children, runs, strict=True)
        return self._own(counted, runs, prices, divisor) + sum(
            run * self._added(child, prices, divisor) for child, run in below if run
        )

    def _own(self, counted: _Counted, runs: Sequence[float], prices: _Prices, divisor: float) -> float:
        node = counted.node
        if node.node_type not in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan"):
            return 0.0
        called = sum(
            run * child.rows
            for child, run in zip(counted.children, runs, strict=True)
            if child.node.parent_relationship in ("SubPlan", "InitPlan")
        )
        fetched = max(0.0, counted.rows - called)
        names = {
            one.index
            for below in (node, *(child.node for child in counted.inputs))
            for one in below.walk()
            if one.index
        }
        indexes = [
            self._indexes[node.schema, name] for name in names if node.schema and (node.schema, name) in self._indexes
        ]
        index = indexes[0] if len(indexes) == 1 else None
        size = self._shadow.sizes.get((node.schema or "", node.relation or ""))
        shared = divisor if node.parallel else 1.0
        places = _places(node, fetched * shared, index, size)
        added = prices.visit * places / shared
        exact = places <= _EXACT_PAGES and all(one.method == "btree" for one in indexes)
        if node.node_type == "Bitmap Heap Scan" and exact:
            # The planner counts rechecks, which rows of exact pages are spared.
            added -= prices.operator * fetched * _conditions(node.index_condition)
        return added


def _places(node: PlanNode, fetched: float, index: Index | None, size: RelationSize | None) -> float:
    """Random places of the table that a scan leads to."""
    if size is None:
        return fetched
    pages = max(1, size.pages)
    if node.node_type == "Index Only Scan":
        fetched *= 1 - min(1.0, size.all_visible / pages)
    apart = fetched
    if node.node_type == "Bitmap Heap Scan":
        # Mackert and Lohman, as the planner has it: the pages that so many rows are on.
        apart = min(pages, 2 * pages * fetched / (2 * pages + fetched))
    together = min(apart, math.ceil(fetched / max(1.0, size.reltuples / pages)))
    ordered = index.correlation**2 if index else 0.0
    return ordered * together + (1 - ordered) * apart


def _conditions(condition: str | None) -> int:
    return 1 + condition.count(" AND ") + condition.count(" OR ") if condition else 0


def proven(gain: float, planner: tuple[float, float], in_memory: tuple[float | None, float | None]) -> bool:
    """Whether a statement is faster: both counts, each before and after, fall by that share."""
    (before, after), (first, second) = planner, in_memory
    if first is None or second is None:
        return False
    return after < before * (1 - gain) and second < first * (1 - gain)


def _runs(counted: _Counted) -> list[float]:
    """How often each child is run in one run of the node; less than once where it is not read to its end."""
    node, inputs = counted.node, counted.inputs
    rest = counted.pages - sum(child.pages for child in counted.under("InitPlan"))
    called = counted.under("SubPlan")
    calls = _calls(counted, rest)
    rest -= calls * sum(child.pages for child in called)
    if node.node_type == "Nested Loop" and len(inputs) == 2:
        outer, inner = inputs
        known = inner.pages > _NO_PAGES and not called
        again = max(0.0, (rest - outer.pages) / inner.pages) if known else outer.node.rows
        # By a foreign key the planner may know that the join has more rows than all look-ups fetch as it counts those.
        more = max(1.0, node.rows / max(1.0, outer.node.rows * max(inner.node.rows, inner.rows)))
        runs = {id(outer): 1.0, id(inner): again * more}
    else:
        pages = sum(child.pages for child in inputs)
        share = min(1.0, max(0.0, rest) / pages) if pages > _NO_PAGES else 1.0
        runs = dict.fromkeys(map(id, inputs), 10.0 if node.node_type == "Recursive Union" else share)
    return [
        runs.get(id(child), calls if child.node.parent_relationship == "SubPlan" else 1.0) for child in counted.children
    ]


def _calls(counted: _Counted, pages: float) -> float:
    """How often the sub-plans of a node are run."""
    called, node = counted.under("SubPlan"), counted.node
    if not called or "hashed SubPlan" in (node.filter or ""):
        return 1.0
    if node.node_type in _SCANS:
        # Each row fetched calls for it, and what it fetches is in the count of rows.
        each = sum(child.rows for child in called)
        return counted.rows / (1 + each) if "SubPlan" in (node.filter or "") else node.rows
    theirs = sum(child.pages for child in called)
    if theirs <= _NO_PAGES or node.node_type == "Nested Loop":
        return node.rows
    return max(0.0, pages - sum(child.pages for child in counted.inputs)) / theirs


def _shape(root: PlanNode) -> list[tuple[str, str | None, str | None, int | None]]:
    return [(node.node_type, node.relation, node.index, node.workers) for node in root.walk()]


def _number(value: str | None, default: float) -> float:
    try:
        return float(value) if value is not None else default
    except ValueError:
        return default
