"""A target's sizes and statistics, as they will be when its tables have grown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.evidence.database.facts import Catalog, Table
from checks.model import quote_identifier
from checks.shadow.blueprint import Blueprint, ColumnValues, RelationSize
from checks.shadow.files import MOST_BLOCKS, SEGMENT_BLOCKS

Path = tuple[str, str]

# ANALYZE looks at 300 blocks for each unit of the statistics target (vacuum/analyze.c).
_BLOCKS_PER_TARGET = 300
_CLUSTERED = 0.9


class Distinct(NamedTuple):
    schema: str
    relation: str
    column: str
    inherited: bool
    value: float


def table_factors(catalog: Catalog, exponents: Mapping[int, float], factor: float) -> dict[Path, float]:
    """By schema and name, partitions as their root."""
    found: dict[Path, float] = {}
    for table in catalog.tables:
        root = table.root if table.is_partition and table.root is not None else table.oid
        found[table.schema, table.name] = factor ** exponents.get(root, 0.0)
    return found


def largest_factor(size: RelationSize) -> float:
    """Up to which factor the relation fits into 32 TB."""
    return MOST_BLOCKS / max(1, size.pages)


def scaled_sizes(sizes: Iterable[RelationSize], factors: Mapping[Path, float]) -> list[RelationSize]:
    """Sizes of relations and their indexes; heights of B-trees that grow are to be predicted. Cut at 32 TB."""
    known = list(sizes)
    cuts = {
        entry.path: min(factors.get(entry.path, 1.0), largest_factor(entry)) for entry in known if entry.table is None
    }
    scaled = []
    for entry in known:
        factor = cuts.get(entry.table or entry.path, 1.0)
        if factor == 1.0:
            scaled.append(entry)
            continue
        scaled.append(
            msgspec.structs.replace(
                entry,
                pages=_blocks(entry.pages, factor),
                relpages=_blocks(entry.relpages, factor) if entry.relpages > 0 else entry.relpages,
                reltuples=entry.reltuples * factor if entry.reltuples > 0 else entry.reltuples,
                all_visible=_blocks(entry.all_visible, factor),
                all_frozen=_blocks(entry.all_frozen, factor),
                level=None,
            )
        )
    return scaled


def segments(sizes: Iterable[RelationSize]) -> int:
    """How many files they take."""
    return sum(-(-entry.pages // SEGMENT_BLOCKS) for entry in sizes)


def scaled_distinct(
    blueprint: Blueprint,
    catalog: Catalog,
    factors: Mapping[Path, float],
    grown: Mapping[Path, RelationSize],
    *,
    analyzed: bool = True,
) -> list[Distinct]:
    """The numbers of distinct values that change: a foreign key's grow with what it points to, not with its own table.

    A clustered column is taken as ANALYZE will see it. Of a large table that reads some blocks only, and meets the equal
    values that lie beside each other too often: it says too few. Without `analyzed` they are as many as there really are.
    """
    sizes = {entry.path: entry for entry in blueprint.relations}
    parents = _Parents(catalog)
    target = _statistics_target(blueprint)
    found = []
    for column in blueprint.columns:
        path = (column.schema, column.relation)
        size, then = sizes.get(path), grown.get(path)
        table = catalog.table_by_name.get(path)
        if size is None or then is None or table is None or size.reltuples <= 0:
            continue
        value = _distinct(column, size, then, _growth_of(parents, table, column.column, factors), target, analyzed)
        if value is not None and value != column.n_distinct:
            found.append(Distinct(column.schema, column.relation, column.column, column.inherited, value))
    return found


def least_distinct(blueprint: Blueprint, table: Path, keys: Sequence[str]) -> float:
    """How many distinct values the keys of an index have at least: those of a clustered column, of which ANALYZE says too few in
    a large table. `keys` are columns, quoted, or expressions, each in parentheses; 1 if nothing more is known."""
    size = next((entry for entry in blueprint.relations if entry.path == table), None)
    sample = _BLOCKS_PER_TARGET * _statistics_target(blueprint)
    if size is None or size.pages <= sample or size.reltuples <= 0:
        return 1.0
    found = 1.0
    for column in blueprint.columns:
        if (column.schema, column.relation) == table and f"({quote_identifier(column.column)})" in keys:
            told = column.n_distinct if column.n_distinct > 0 else -column.n_distinct * size.reltuples
            if abs(column.correlation or 0.0) > _CLUSTERED and 1.0 < told < 0.9 * size.reltuples:
                found = max(found, _really(told, size, sample))
    return found


def write_distinct(superuser: psycopg.Connection[Any], entries: Iterable[Distinct]) -> None:
    """Into pg_statistic as it is, so that everything else in it stays."""
    columns = list(zip(*(entry._replace(value=float(entry.value)) for entry in entries), strict=True))
    if not columns:
        return
    superuser.execute(
        "UPDATE pg_catalog.pg_statistic AS s SET stadistinct = v.value"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::boolean[], %s::real[])"
        ' AS v (schema, relation, "column", inherited, value)'
        " JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema"
        " JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.relation"
        ' JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = v."column"'
        " WHERE s.starelid = c.oid AND s.staattnum = a.attnum AND s.stainherit = v.inherited AND s.stadistinct <> v.value",
        [list(values) for values in columns],
    )


def _distinct(
    column: ColumnValues,
    size: RelationSize,
    then: RelationSize,
    parent: float | None,
    target: float,
    analyzed: bool,
) -> float | None:
    """None where it stays as it is."""
    if column.n_distinct == 0:
        return None
    own = then.reltuples / size.reltuples
    now = column.n_distinct if column.n_distinct > 0 else -column.n_distinct * size.reltuples
    factor = own if parent is None and column.n_distinct < 0 else parent
    if factor is None:
        return None
    most = then.reltuples * (1.0 - column.null_frac)
    if abs(column.correlation or 0.0) > _CLUSTERED and 1.0 < now < 0.9 * size.reltuples:
        sample = _BLOCKS_PER_TARGET * target
        if then.pages > sample:
            really = _really(now, size, sample) * factor
            seen = _analyzed(really, then.reltuples, then.pages, sample) if analyzed else really
            return max(1.0, min(seen, most))
    if factor == own and column.n_distinct < 0:
        return None
    return max(1.0, min(now * factor, most))


def _really(told: float, size: RelationSize, sample: float) -> float:
    """How many distinct values, lying together, a column has for which ANALYZE says `told`."""
    low, high = 1.0, size.reltuples
    for _ in range(50):
        middle = math.sqrt(low * high)
        if _analyzed(middle, size.reltuples, size.pages, sample) < told:
            low = middle
        else:
            high = middle
    return high


def _analyzed(distinct: float, rows: float, pages: int, sample: float) -> float:
    """What ANALYZE says of a column whose equal values lie together, each in one block: it draws rows of so many blocks,
    counts the values that it meets once and the others, and estimates by Haas and Stokes (compute_scalar_stats in
    commands/analyze.c)."""
    drawn = min(sample, rows)
    share = min(1.0, sample / max(1, pages))
    repeated, chance = rows / distinct, min(1.0, drawn / (rows * share))
    if chance >= 1.0:
        return distinct if share >= 1.0 else distinct * share
    once = distinct * share * repeated * chance * (1.0 - chance) ** (repeated - 1.0)
    met = distinct * share * -math.expm1(repeated * math.log1p(-chance))
    left = drawn - once + once * drawn / rows
    return min(rows, max(met, drawn * met / left if left > 0 else rows))


def _blocks(blocks: int, factor: float) -> int:
    return min(MOST_BLOCKS, math.ceil(blocks * factor))


def _statistics_target(blueprint: Blueprint) -> float:
    text = blueprint.settings.get("default_statistics_target", "100")
    return float(text) if text.isdigit() and int(text) else 100.0


def _growth_of(parents: _Parents, table: Table, column: str, factors: Mapping[Path, float]) -> float | None:
    """By how much the table grows that the column points to; None if it points to none."""
    root = parents.root(table, column)
    return None if root is None else factors.get((root.schema, root.name), 1.0)


class _Parents:
    """Which table a column points to in the end: by its foreign keys; without any, by its name and type."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def root(self, table: Table, column: str) -> Table | None:
        catalog = self._catalog
        if table.is_partition and table.root is not None:
            table = catalog.table_by_oid.get(table.root, table)
        found: Table | None = None
        seen: set[tuple[int, str]] = set()
        while (table.oid, column) not in seen:
            seen.add((table.oid, column))
            step = self._step(table, column)
            if step is None:
                break
            table, column = step
            found = table
        return found

    def _step(self, table: Table, name: str) -> tuple[Table, str] | None:
        catalog = self._catalog
        column = catalog.column_named(table.oid, name)
        if column is None:
            return None
        keys = [
            key
            for key in catalog.constraints_of(table.oid)
            if key.kind == "foreign_key" and column.number in key.columns
        ]
        # A column of several keys belongs to the narrowest: (tenant, user) is one of users, tenant alone of tenants.
        for key in sorted(keys, key=lambda key: len(key.columns)):
            parent = catalog.table_by_oid.get(key.referenced_table or 0)
            if parent is not None and parent.oid != table.oid and len(key.referenced_columns) == len(key.columns):
                number = key.referenced_columns[key.columns.index(column.number)]
                return parent, catalog.column(parent.oid, number).name
        return None if keys else self._by_name(table, name, column.base_type)

    def _by_name(self, table: Table, name: str, base_type: str) -> tuple[Table, str] | None:
        stem = (
            name.removesuffix("_id") if name.endswith("_id") else name.removesuffix("Id") if name.endswith("Id") else ""
        )
        if not stem:
            return None
        for plural in (stem, f"{stem}s", f"{stem}es", f"{stem.removesuffix('y')}ies", stem.capitalize()):
            parent = self._catalog.table_by_name.get((table.schema, plural))
            if parent is None or parent.oid == table.oid:
                continue
            primary = [key for key in self._catalog.constraints_of(parent.oid) if key.kind == "primary_key"]
            if len(primary) == 1 and len(primary[0].columns) == 1:
                target = self._catalog.column(parent.oid, primary[0].columns[0])
                if target.base_type == base_type:
                    return parent, target.name
        return None
