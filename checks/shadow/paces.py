"""Which tables grow, and how fast: by the rows that were inserted; where those cannot tell, by what a lookup table looks like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from checks.evidence.database.facts import Catalog, Server, Statements, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.relations import MIGRATION_TABLES

LOOKUP_ROWS = 500
LOOKUP_RATIO = 100
STILL_SHARE_PER_YEAR = 0.1
SEEDED_SHARE = 0.9
INSERTS_MIN = 10
SHORTEST_DAYS = 1.0
_CLOCKS = frozenset(
    {"now", "current_timestamp", "clock_timestamp", "transaction_timestamp", "statement_timestamp", "localtimestamp"}
)

# In the name of a column that notes when a row was changed, not when it came.
_CHANGED = ("update", "modif", "change")

ASKED = "as asked for"


class Pace(NamedTuple):
    """At factor k the table has k to the power of `exponent` times its rows. `rows_per_day` is the net rate, None if unknown."""

    exponent: float
    why: str
    rows_per_day: float | None = None


TOOLS = Pace(0.0, "a migration tool's own")


def paces(evidence: Evidence) -> dict[int, Pace]:
    """For each table that is no partition, and each materialized view, by oid. A partitioned table stands for its tree."""
    catalog = evidence.get(Catalog)
    roots = [table for table in catalog.tables if table.kind in ("table", "partitioned") and not table.is_partition]
    counted = _Counted(evidence, catalog)
    found: dict[int, Pace] = {}
    open_: list[Table] = []
    for table in roots:
        pace = TOOLS if table.name.lower() in MIGRATION_TABLES else counted.pace(table)
        if pace is None:
            open_.append(table)
        else:
            found[table.oid] = pace
    lookups = _lookups(evidence, catalog, open_, {oid for oid, pace in found.items() if pace.exponent == 0}, counted)
    for table in open_:
        rate = counted.rate(table)
        if table.oid in lookups:
            found[table.oid] = Pace(
                0.0, f"a lookup table by its looks: {table.rows or 0:,.0f} rows, referenced, not written by code"
            )
        else:
            found[table.oid] = Pace(1.0, counted.why_open(table), rate)
    for table in catalog.tables:
        if table.kind == "materialized_view":
            below = [found[oid].exponent for oid in _sources(catalog, table.oid) if oid in found]
            found[table.oid] = Pace(max(below, default=1.0), "as what it is made from")
        elif table.kind == "foreign":
            found[table.oid] = Pace(0.0, "its rows are on another server")
    return found


class _Counted:
    """What the cumulative statistics say, over trees of partitions; nothing where they are too young."""

    def __init__(self, evidence: Evidence, catalog: Catalog) -> None:
        usage, server = evidence.find(Usage), evidence.find(Server)
        days = server.statistics_window_days if server else None
        least = max(SHORTEST_DAYS, evidence.limit("window_days"))
        self._days = days if days is not None and days >= least else None
        self._inserted: dict[int, int] = {}
        self._deleted: dict[int, int] = {}
        self.rows: dict[int, float] = {}
        for table in catalog.tables:
            root = table.root if table.is_partition and table.root is not None else table.oid
            counts = usage.table_by_oid.get(table.oid) if usage else None
            if counts is not None:
                self._inserted[root] = self._inserted.get(root, 0) + counts.inserted
                self._deleted[root] = self._deleted.get(root, 0) + counts.deleted
            if table.kind != "partitioned":
                self.rows[root] = self.rows.get(root, 0.0) + (table.rows or 0.0)

    def rate(self, table: Table) -> float | None:
        if self._days is None or table.oid not in self._inserted:
            return None
        net = self._inserted[table.oid] - self._deleted[table.oid]
        return net / self._days if net > 0 else None

    def why_open(self, table: Table) -> str:
        """Why `pace` does not tell."""
        if self._days is None:
            return "taken to grow: the server's counters are too young to tell"
        if table.oid not in self._inserted:
            return "taken to grow: nothing is counted of it"
        return "taken to grow: what was inserted is about all that it holds, as after a load"

    def pace(self, table: Table) -> Pace | None:
        """None where the counters do not tell: they are too young, or hold the load of the whole table."""
        if self._days is None or table.oid not in self._inserted:
            return None
        inserted, rows = self._inserted[table.oid], self.rows.get(table.oid, 0.0)
        if rows <= 0 or inserted >= SEEDED_SHARE * rows:
            return None
        per_year = inserted / self._days * 365
        words = f"{inserted:,} rows inserted in {self._days:,.0f} days"
        if per_year < STILL_SHARE_PER_YEAR * rows:
            return Pace(0.0, words)
        return Pace(1.0, words, self.rate(table))


def _lookups(
    evidence: Evidence, catalog: Catalog, tables: Iterable[Table], still: set[int], counted: _Counted
) -> set[int]:
    """Small tables that others point to, which themselves point to such ones only, that no code inserts into and that note no
    time of their rows."""
    written = _inserted_into(evidence)
    found: set[int] = set()
    candidates = [
        table
        for table in tables
        if 0 < counted.rows.get(table.oid, 0.0) <= LOOKUP_ROWS
        and table.oid not in written
        and not _notes_time(catalog, table)
        and _reaches(catalog, table.oid, counted)
    ]
    changed = True
    while changed:
        changed = False
        for table in candidates:
            if table.oid in found:
                continue
            parents = {
                key.referenced_table
                for key in catalog.constraints_of(table.oid)
                if key.kind == "foreign_key" and key.referenced_table != table.oid
            }
            if parents <= found | still:
                found.add(table.oid)
                changed = True
    return found


def _notes_time(catalog: Catalog, table: Table) -> bool:
    return any(
        column.default_function in _CLOCKS
        and column.base_type.startswith(("timestamp", "date"))
        and not any(word in column.name.lower() for word in _CHANGED)
        for column in catalog.columns_of(table.oid).values()
    )


def _reaches(catalog: Catalog, table: int, counted: _Counted) -> bool:
    """Whether a much larger table points to it, itself or by small ones between."""
    rows, seen, waiting = counted.rows.get(table, 0.0), {table}, [table]
    while waiting:
        for key in catalog.references_to(waiting.pop()):
            if key.table in seen:
                continue
            seen.add(key.table)
            if counted.rows.get(key.table, 0.0) >= LOOKUP_RATIO * rows:
                return True
            waiting.append(key.table)
    return False


def _inserted_into(evidence: Evidence) -> set[int]:
    statements = evidence.find(Statements)
    found: set[int] = set()
    for pattern in workload(evidence):
        if pattern.verb not in ("insert", "merge"):
            continue
        calls = (
            statements.by_id[pattern.query_id].calls if statements and pattern.query_id in statements.by_id else None
        )
        if calls is None or calls >= INSERTS_MIN:
            found |= {reference.table for reference in pattern.written_columns if reference.table is not None}
            found |= set(pattern.tables[:1])
    return found


def _sources(catalog: Catalog, view: int) -> set[int]:
    """The tables that a view is made from, through other views."""
    seen: set[int] = set()
    waiting = [view]
    while waiting:
        current = catalog.view_by_oid.get(waiting.pop())
        for oid in current.depends_on if current else ():
            if oid not in seen:
                seen.add(oid)
                waiting.append(oid)
    return seen


def as_asked(catalog: Catalog, asked: Mapping[int, float], highest: float) -> dict[int, Pace]:
    """The paces of a growth that names its tables: each has its own factor when the axis is at `highest`, all others stay."""
    found = {
        table.oid: Pace(0.0, "not among those asked for")
        for table in catalog.tables
        if table.kind in ("table", "partitioned", "materialized_view", "foreign") and not table.is_partition
    }
    for oid, factor in asked.items():
        exponent = math.log(factor) / math.log(highest) if highest > 1 and factor > 0 else 0.0
        found[oid] = Pace(exponent, ASKED)
    return found
