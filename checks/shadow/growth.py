"""Grows a shadow and plans the workload in it: which statement breaks first, and at what size."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from checks.errors import UsageError
from checks.evidence.database.facts import Catalog, PlanNode, Statement, Table
from checks.evidence.evidence import Evidence
from checks.growth import Breaking, GrownStatement, GrownTable, Growth
from checks.shadow.blueprint import RelationSize
from checks.shadow.btree import BLOCK_BYTES
from checks.shadow.clone import Shadow
from checks.shadow.curves import breaking_factor, exponent_of, rounded
from checks.shadow.paces import Pace, as_asked, paces
from checks.shadow.planning import NotPlanned
from checks.shadow.scaling import (
    Distinct,
    largest_factor,
    scaled_distinct,
    scaled_sizes,
    segments,
    table_factors,
    write_distinct,
)
from checks.shadow.workload import STATEMENTS, costliest, of_code, with_limits

FACTORS = (1.0, 10.0, 100.0, 1000.0)
BUDGET_MS = 100.0
CALLS_MIN = 3
# A unit is a hundred rows of a sequential scan; of those, a nanosecond each is less than any machine takes, even in parallel.
LEAST_MS_PER_COST = 1e-4
# So many times as many distinct values as ANALYZE tells: below, plans hardly differ.
MISJUDGED = 1.2
MOST_SEGMENTS = 20_000
LONGEST_DAYS = 3650

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    return


class Planned(NamedTuple):
    """A plan in short: what it costs, its nodes a line each, the relations it reads. `really` is what it costs with as many
    distinct values as there are, not as ANALYZE will tell."""

    cost: float
    shape: tuple[str, ...]
    relations: tuple[tuple[str, str], ...]
    really: float


def grow(
    shadow: Shadow,
    evidence: Evidence,
    *,
    factors: Sequence[float] = FACTORS,
    asked: Mapping[str, float] = {},
    budget_ms: float = BUDGET_MS,
    statements_at_most: int = STATEMENTS,
    within_s: float = math.inf,
    progress: Progress = _silent,
    cancelled: threading.Event | None = None,
) -> Growth:
    """Plans the statements of the workload at each factor; the shadow is then as it was before. A factor that is not done
    `within_s` is left out, and all after it.

    `asked` names tables (`name` or `schema.name`) with the factor that each has where the axis ends; all others are then held
    still. Raises UsageError for a table that is not there or not unique.
    """
    catalog = evidence.get(Catalog)
    axis = sorted({1.0, *factors})
    wanted = _asked(catalog, asked)
    known = as_asked(catalog, wanted, axis[-1]) if asked else paces(evidence)
    exponents = {oid: pace.exponent for oid, pace in known.items()}
    statements = [*costliest(evidence), *of_code(evidence)][:statements_at_most]
    end = time.monotonic() + within_s
    plans: list[dict[str, Planned]] = []
    tried: list[float] = []
    skipped: list[float] = []
    unplanned: set[str] = set()
    original = dict(shadow.sizes)
    changed = False
    try:
        for factor in axis:
            if cancelled is not None and cancelled.is_set():
                break
            progress(f"planning at {factor:g} times the size")
            scales = table_factors(catalog, exponents, factor)
            sizes = scaled_sizes(original.values(), scales)
            if segments(sizes) > MOST_SEGMENTS:
                skipped.append(factor)
                continue
            if factor != 1.0:
                _apply(shadow, catalog, scales, sizes)
                changed = True
            at_factor: dict[str, Planned] = {}
            for entry in statements:
                if time.monotonic() > end:
                    break
                planned = _plan(shadow, entry)
                if planned is not None:
                    at_factor[entry.query_id] = planned
                elif factor == 1.0:
                    unplanned.add(entry.query_id)
            if time.monotonic() > end:
                break
            misjudged = _misjudged(shadow, catalog, scales, sizes)
            if misjudged:
                changed = True
                _correct(shadow, misjudged, statements, at_factor)
            plans.append(at_factor)
            tried.append(factor)
    finally:
        if changed:
            _restore(shadow, original)
    day = evidence.observed_at.date()
    tables = _tables(catalog, known, shadow.sizes, axis[-1], day)
    grown = [
        made
        for entry in statements
        if (made := _statement(entry, tried, plans, catalog, known, budget_ms, day)) is not None
    ]
    return Growth(
        factors=tuple(tried),
        budget_ms=budget_ms,
        server_major=shadow.major,
        target_major=shadow.blueprint.major,
        statements=tuple(sorted(grown, key=_order)),
        tables=tables,
        unplanned=len(unplanned),
        skipped=tuple(skipped),
        disk_bytes=shadow.rounded_disk_bytes,
    )


def _apply(
    shadow: Shadow,
    catalog: Catalog,
    scales: Mapping[tuple[str, str], float],
    sizes: Sequence[RelationSize],
) -> None:
    grown = {entry.path: entry for entry in sizes}
    distinct = scaled_distinct(shadow.blueprint, catalog, scales, grown)
    with shadow.superuser() as superuser:
        _forget(superuser, shadow)
        write_distinct(superuser, distinct)
    shadow.resize(entry for entry in sizes if entry != shadow.sizes.get(entry.path))


def _misjudged(
    shadow: Shadow, catalog: Catalog, scales: Mapping[tuple[str, str], float], sizes: Sequence[RelationSize]
) -> list[Distinct]:
    """The columns of which ANALYZE will tell far fewer distinct values than there are, with as many as there are."""
    grown = {entry.path: entry for entry in sizes}
    told = (
        {entry[:4]: entry.value for entry in scaled_distinct(shadow.blueprint, catalog, scales, grown)}
        if any(scale != 1.0 for scale in scales.values())
        else {}
    )
    now = {
        (entry.schema, entry.relation, entry.column, entry.inherited): entry.n_distinct
        for entry in shadow.blueprint.columns
    }
    return [
        entry
        for entry in scaled_distinct(shadow.blueprint, catalog, scales, grown, analyzed=False)
        if entry.value > MISJUDGED * told.get(entry[:4], now[entry[:4]]) > 0
    ]


def _correct(
    shadow: Shadow, misjudged: Sequence[Distinct], statements: Sequence[Statement], plans: dict[str, Planned]
) -> None:
    """What the plans really cost, where they stay the same with as many distinct values as there are. The planner does not know
    that, and a plan that it would not choose then is left with its cost."""
    tables = {(entry.schema, entry.relation) for entry in misjudged}
    with shadow.superuser() as superuser:
        write_distinct(superuser, misjudged)
    for entry in statements:
        before = plans.get(entry.query_id)
        if before is not None and tables.intersection(before.relations):
            after = _plan(shadow, entry)
            if after is not None and after.shape == before.shape:
                plans[entry.query_id] = before._replace(really=after.cost)


def _forget(superuser: psycopg.Connection[Any], shadow: Shadow) -> None:
    """Numbers of distinct values as the target has them."""
    write_distinct(
        superuser,
        [
            Distinct(entry.schema, entry.relation, entry.column, entry.inherited, entry.n_distinct)
            for entry in shadow.blueprint.columns
        ],
    )


def _restore(shadow: Shadow, original: Mapping[tuple[str, str], RelationSize]) -> None:
    with shadow.superuser() as superuser:
        _forget(superuser, shadow)
    shadow.resize(entry for entry in original.values() if entry != shadow.sizes.get(entry.path))


def _asked(catalog: Catalog, asked: Mapping[str, float]) -> dict[int, float]:
    found: dict[int, float] = {}
    for name, factor in asked.items():
        tables = [
            table
            for table in catalog.tables
            if table.kind in ("table", "partitioned")
            and not table.is_partition
            and name in (table.name, f"{table.schema}.{table.name}")
        ]
        if len(tables) != 1:
            why = "there is no such table" if not tables else "several schemas have one: give schema.name"
            raise UsageError(f"--grow {name}: {why}", "name tables of the target")
        found[tables[0].oid] = factor
    return found


def _plan(shadow: Shadow, entry: Statement) -> Planned | None:
    """None for what cannot be planned, and for what reads no relation of the target's."""
    root = shadow.explain(with_limits(entry.text, entry.rows, entry.calls), entry.users[0] if entry.users else "")
    if isinstance(root, NotPlanned):
        return None
    nodes = root.walk()
    relations = dict.fromkeys(
        (node.schema, node.relation)
        for node in nodes
        if node.schema and node.relation and node.schema not in ("pg_catalog", "information_schema")
    )
    if not relations:
        return None
    return Planned(root.total_cost, tuple(shape_lines(root)), tuple(relations), root.total_cost)


def shape_lines(root: PlanNode) -> list[str]:
    """The plan's nodes with the relations and indexes they read, indented; equal for plans of equal shape."""
    lines: list[str] = []
    waiting: list[tuple[PlanNode, int]] = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        on = f" on {node.relation}" if node.relation else ""
        using = f" using {node.index}" if node.index else ""
        lines.append(f"{'  ' * min(depth, 40)}{node.node_type}{using}{on}")
        waiting += [(child, depth + 1) for child in reversed(node.children)]
    return lines


def _statement(
    entry: Statement,
    factors: Sequence[float],
    plans: Sequence[Mapping[str, Planned]],
    catalog: Catalog,
    known: Mapping[int, Pace],
    budget_ms: float,
    day: dt.date,
) -> GrownStatement | None:
    planned = [at_factor.get(entry.query_id) for at_factor in plans]
    there = [one for one in planned if one is not None]
    if not there or planned[0] is None:
        return None
    costs = tuple(round(one.cost, 2) if one else None for one in planned)
    shapes = [(factor, one.shape) for factor, one in zip(factors, planned, strict=True) if one]
    changes = tuple(factor for (_, before), (factor, after) in itertools.pairwise(shapes) if before != after)
    really = [one.really if one else None for one in planned]
    tables = _read(catalog, there)
    breaks: Breaking | None = None
    # What takes less time than any machine needs for such a plan ran by another, for constants that are not known.
    if entry.calls >= CALLS_MIN and entry.mean_ms >= LEAST_MS_PER_COST * planned[0].really:
        factor = breaking_factor(factors, really, entry.mean_ms, budget_ms)
        if factor is not None:
            words = f"mean above {budget_ms:g} ms" + (" already" if factor == 1.0 else "")
            breaks = Breaking(factor, words, _day(tables, known, factor, day))
    first, last = shapes[0][1], shapes[-1][1]
    return GrownStatement(
        entry.query_id,
        costs,
        exponent_of(factors, really),
        changes,
        breaks,
        round(entry.mean_ms, 3) if entry.calls else None,
        entry.calls,
        tuple(table.subject.name for table in tables),
        first if changes else (),
        last if changes else (),
    )


def _read(catalog: Catalog, plans: Sequence[Planned]) -> list[Table]:
    """The tables of plans, the largest first; partitions as their root."""
    found: dict[int, Table] = {}
    for one in plans:
        for path in one.relations:
            table = catalog.table_by_name.get(path)
            if table is not None and table.is_partition and table.root is not None:
                table = catalog.table_by_oid.get(table.root, table)
            if table is not None:
                found[table.oid] = table
    return sorted(found.values(), key=lambda table: (-(table.rows or 0.0), table.subject.name))


def _day(tables: Sequence[Table], known: Mapping[int, Pace], factor: float, day: dt.date) -> dt.date | None:
    """When the largest of the tables that grow will be that much larger."""
    for table in tables:
        pace = known.get(table.oid)
        if pace is not None and pace.exponent > 0:
            return _reached(table, pace, factor, day)
    return None


def _reached(table: Table, pace: Pace, factor: float, day: dt.date) -> dt.date | None:
    if not pace.rows_per_day or not table.rows or factor <= 1.0:
        return None
    days = (factor**pace.exponent - 1.0) * table.rows / pace.rows_per_day
    return day + dt.timedelta(days=math.ceil(days)) if days <= LONGEST_DAYS else None


def _tables(
    catalog: Catalog,
    known: Mapping[int, Pace],
    sizes: Mapping[tuple[str, str], RelationSize],
    highest: float,
    day: dt.date,
) -> tuple[GrownTable, ...]:
    found = []
    for oid, pace in known.items():
        table = catalog.table_by_oid[oid]
        parts = [table] if table.kind != "partitioned" else [part for part in catalog.tables if part.root == oid]
        held = [sizes[part.schema, part.name] for part in parts if (part.schema, part.name) in sizes]
        limit = min((largest_factor(size) for size in held if size.kind in ("r", "m")), default=math.inf)
        full_at = (
            rounded(limit ** (1 / pace.exponent)) if pace.exponent > 0 and limit < highest**pace.exponent else None
        )
        found.append(
            GrownTable(
                table.schema,
                table.name,
                round(sum(size.reltuples for size in held if size.reltuples > 0 and size.kind != "p")),
                sum(size.pages for size in held if size.kind != "p") * BLOCK_BYTES,
                round(pace.exponent, 3),
                pace.why,
                round(pace.rows_per_day, 2) if pace.rows_per_day else None,
                full_at,
                _reached(table, pace, full_at, day) if full_at else None,
            )
        )
    return tuple(sorted(found, key=lambda entry: (-entry.bytes, entry.schema, entry.name)))


def _order(entry: GrownStatement) -> tuple[bool, float, float, str]:
    """The first to break first; of those that break at once or never, the worst."""
    if entry.breaks_at is not None:
        return False, entry.breaks_at.factor, -(entry.mean_ms or 0.0), entry.statement
    return True, 0.0, -(entry.exponent or 0.0), entry.statement
