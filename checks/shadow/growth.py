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
from checks.evidence.database.facts import Catalog, PlanNode, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.evidence.tokens import Kind, tokens
from checks.growth import Breaking, GrownStatement, GrownTable, Growth
from checks.shadow.blueprint import RelationSize
from checks.shadow.btree import BLOCK_BYTES
from checks.shadow.clone import Shadow
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

FACTORS = (1.0, 10.0, 100.0, 1000.0)
BUDGET_MS = 100.0
STATEMENTS = 200
CODE_STATEMENTS = 100
# What a LIMIT is taken for whose number is not in the code.
PAGE_ROWS = 20
CALLS_MIN = 3
MOST_SEGMENTS = 20_000
LONGEST_DAYS = 3650
_VERBS = ("select", "insert", "update", "delete", "merge", "with")

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    return


class Planned(NamedTuple):
    """A plan in short: what it costs, its nodes a line each, the relations it reads."""

    cost: float
    shape: tuple[str, ...]
    relations: tuple[tuple[str, str], ...]


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
    statements = [*_statements(evidence), *_of_code(evidence)][:statements_at_most]
    end = time.monotonic() + within_s
    plans: list[dict[str, Planned]] = []
    tried: list[float] = []
    skipped: list[float] = []
    unplanned: set[str] = set()
    original = dict(shadow.sizes)
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
            plans.append(at_factor)
            tried.append(factor)
    finally:
        if len(tried) > 1:
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


def _statements(evidence: Evidence) -> list[Statement]:
    """Those with the most execution time, one for each query id."""
    known = evidence.find(Statements)
    if known is None:
        return []
    found: dict[str, Statement] = {}
    for entry in sorted(known.entries, key=lambda entry: (-entry.total_ms, entry.query_id)):
        if entry.toplevel and _verb(entry.text) in _VERBS:
            found.setdefault(entry.query_id, entry)
    return list(found.values())[:STATEMENTS]


def _of_code(evidence: Evidence) -> list[Statement]:
    """What stands in code and never ran."""
    return [Statement(place, text, 0, 0.0, 0.0, 0) for place, text in never_ran(evidence) if _verb(text) in _VERBS]


def _verb(text: str) -> str:
    return next((token.text.lower() for token in tokens(text) if token.kind is Kind.WORD), "")


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
    return Planned(root.total_cost, tuple(shape_lines(root)), tuple(relations))


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


def never_ran(evidence: Evidence) -> list[tuple[str, str]]:
    """The first hundred whole statements of code that match none that ran: their places, `file:line`, and texts."""
    repository = evidence.find(Repository)
    if repository is None:
        return []
    ran = {match.location for match in repository.matches}
    return [
        (f"{entry.location.path}:{entry.location.line}", with_limits(entry.text, entry.limit or PAGE_ROWS, 1))
        for entry in repository.statements
        if entry.parsed and not entry.holes and entry.location not in ran
    ][:CODE_STATEMENTS]


def with_limits(text: str, rows: int, calls: int) -> str:
    """The statement with the number of rows that it returned on average in place of an outermost `LIMIT $n`, which would else be
    planned as a tenth of all rows there are, and with `OFFSET 0` for an outermost `OFFSET $n`."""
    pieces: list[str] = []
    depth, before = 0, ""
    limit = max(1, math.ceil(rows / calls)) if calls else 1
    for token in tokens(text):
        piece = token.text
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            pieces.append(piece)
            continue
        if piece in ("(", ")"):
            depth += 1 if piece == "(" else -1
        if depth == 0 and token.kind is Kind.PARAMETER and before in ("limit", "offset"):
            piece = str(limit) if before == "limit" else "0"
        before = token.text.lower() if token.kind is Kind.WORD else ""
        pieces.append(piece)
    return "".join(pieces)


def exponent_of(factors: Sequence[float], costs: Sequence[float | None]) -> float | None:
    """The slope of the least-squares line through log cost over log factor; None for fewer than two points."""
    points = [(math.log(factor), math.log(cost)) for factor, cost in zip(factors, costs, strict=True) if cost]
    if len(points) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return round(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread, 2) if spread else None


def breaking_factor(
    factors: Sequence[float], costs: Sequence[float | None], mean_ms: float, budget_ms: float
) -> float | None:
    """Where the mean passes the budget if it grows as the cost does, between two factors along a power law; None if nowhere."""
    points = [(factor, cost) for factor, cost in zip(factors, costs, strict=True) if cost]
    if not points or mean_ms <= 0:
        return None
    means = [(factor, mean_ms * cost / points[0][1]) for factor, cost in points]
    if means[0][1] > budget_ms:
        return means[0][0]
    for (low, low_ms), (high, high_ms) in itertools.pairwise(means):
        if high_ms > budget_ms:
            part = math.log(budget_ms / low_ms) / math.log(high_ms / low_ms)
            return _rounded(math.exp(math.log(low) + part * math.log(high / low)))
    return None


def _rounded(value: float) -> float:
    """To two digits: what is behind them is not known."""
    digits = 1 - math.floor(math.log10(value))
    return round(value, digits) if digits > 0 else float(round(value, digits))


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
    tables = _read(catalog, there)
    breaks: Breaking | None = None
    if entry.calls >= CALLS_MIN:
        factor = breaking_factor(factors, costs, entry.mean_ms, budget_ms)
        if factor is not None:
            words = f"mean above {budget_ms:g} ms" + (" already" if factor == 1.0 else "")
            breaks = Breaking(factor, words, _day(tables, known, factor, day))
    first, last = shapes[0][1], shapes[-1][1]
    return GrownStatement(
        entry.query_id,
        costs,
        exponent_of(factors, costs),
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
            _rounded(limit ** (1 / pace.exponent)) if pace.exponent > 0 and limit < highest**pace.exponent else None
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
