"""Rows that are looked up one by one, and the statement that lists what they are looked up for, by the ratio of their calls."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.workload import equality_columns, rows_per_call

LISTED_ROWS = 2
# An ORM that keeps what it has loaded looks up a little less often than it lists.
TOLERANCE = 0.1
# Of so many pairs of statements whose calls have nothing to do with each other, one or none has a ratio that near to one.
PAIRS_BY_CHANCE = 10


def looks_up(catalog: Catalog, pattern: AccessPattern) -> bool:
    """Reads one table by equality on a unique key or on the columns of a foreign key, and nothing else."""
    if len(set(pattern.tables)) != 1 or pattern.unresolved or pattern.joined_relations > 1 or pattern.distances:
        return False
    return by_unique_key(catalog, pattern) or bool(foreign_key_parents(catalog, pattern))


def by_unique_key(catalog: Catalog, pattern: AccessPattern) -> bool:
    table = pattern.tables[0]
    columns = _numbers(catalog, pattern)
    return any(
        index.unique and index.valid and index.predicate is None and set(index.columns) <= columns
        for index in catalog.indexes_of(table)
        if 0 not in index.columns
    )


def foreign_key_parents(catalog: Catalog, pattern: AccessPattern) -> set[int]:
    """Tables that the compared columns refer to."""
    columns = _numbers(catalog, pattern)
    return {
        constraint.referenced_table
        for constraint in catalog.constraints_of(pattern.tables[0])
        if constraint.kind == "foreign_key" and constraint.referenced_table and set(constraint.columns) <= columns
    }


def _numbers(catalog: Catalog, pattern: AccessPattern) -> set[int]:
    table = pattern.tables[0]
    columns = (catalog.column_named(table, name) for name in equality_columns(pattern, table))
    return {column.number for column in columns if column is not None}


def listing_of(
    evidence: Evidence,
    catalog: Catalog,
    lookup: AccessPattern,
    entry: Statement,
    selects: list[AccessPattern],
    tolerance: float = TOLERANCE,
) -> AccessPattern | None:
    """The statement whose rows are looked up one by one: it reads a table tied to the lookup's by a foreign key, returns
    several rows a call, and the lookup runs about once for each row that it returned."""
    best: tuple[float, AccessPattern] | None = None
    for off, pattern in _listings(evidence, catalog, lookup, entry, selects):
        if off <= tolerance and (best is None or off < best[0]):
            best = (off, pattern)
    return best[1] if best else None


def tolerance_of(
    evidence: Evidence, catalog: Catalog, lookups: list[tuple[AccessPattern, Statement]], selects: list[AccessPattern]
) -> float:
    """How far the calls may be from one for each row. Among very many pairs of statements some ratio is near one by chance alone:
    the more pairs, the nearer it has to be, so that less than one is expected to be."""
    pairs = sum(1 for pattern, entry in lookups for _ in _listings(evidence, catalog, pattern, entry, selects))
    return min(TOLERANCE, PAIRS_BY_CHANCE * TOLERANCE / max(pairs, 1))


def _listings(
    evidence: Evidence, catalog: Catalog, lookup: AccessPattern, entry: Statement, selects: list[AccessPattern]
) -> Iterator[tuple[float, AccessPattern]]:
    """Statements whose rows the lookup may be sent for, and how far its calls are from one for each of them (0: one)."""
    statements = evidence.get(Statements)
    looked_up = lookup.tables[0]
    tied = foreign_key_parents(catalog, lookup)
    single = by_unique_key(catalog, lookup)
    for pattern in selects:
        listing = statements.by_id[pattern.query_id or ""]
        if pattern.query_id == lookup.query_id or looked_up in pattern.tables:
            continue
        if not tied & set(pattern.tables) and not (single and _lists_keys_of(catalog, pattern, looked_up)):
            continue
        if rows_per_call(listing) < LISTED_ROWS or entry.calls / listing.calls < evidence.limit("n_plus_one_calls"):
            continue
        yield abs(1 - entry.calls / listing.rows), pattern


def _lists_keys_of(catalog: Catalog, pattern: AccessPattern, looked_up: int) -> bool:
    """Whether it reads a table with a foreign key to the looked-up one, and not only the rows of one such key."""
    for constraint in catalog.constraints:
        if constraint.referenced_table == looked_up and constraint.table in pattern.tables:
            names = {catalog.column(constraint.table, number).name for number in constraint.columns}
            if not names <= set(equality_columns(pattern, constraint.table)):
                return True
    return False
