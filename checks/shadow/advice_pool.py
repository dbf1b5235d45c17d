"""What the advisor chooses from: the candidates of the checks, and B-trees of each statement's own columns, covering ones too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from checks.evidence.database.facts import Catalog, PlannerStatistics, Server, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, workload
from checks.evidence.tokens import Kind, significant
from checks.indexing.candidates import candidates
from checks.indexing.proposals import definition
from checks.model import quote_identifier
from checks.relations import estimated_rows, leaves

KEYS = 3
INCLUDED = 8
ROWS_MIN = 1_000
COVERING_SHARE = 0.75
PARTS = 100
_UNFIT = frozenset({"json", "jsonb", "xml", "bytea", "vector", "halfvec", "sparsevec", "tsvector", "point", "geometry"})
_RANGES = frozenset({"<", "<=", ">", ">=", "between", "like"})


class Proposed(NamedTuple):
    """An index that could be made: `definition` is what follows the table's name in CREATE INDEX, `extension` what the server
    lacks for it."""

    table: tuple[str, str]
    definition: str
    extension: str | None = None


class Pool(NamedTuple):
    """By statement, those that might serve it: without and with columns that only spare the look into the table."""

    plain: dict[str, list[Proposed]]
    covering: dict[str, list[Proposed]]

    @property
    def all(self) -> list[Proposed]:
        return list(
            dict.fromkeys(one for part in (self.plain, self.covering) for found in part.values() for one in found)
        )


def pool(evidence: Evidence, statements: Iterable[str]) -> Pool:
    """For statements by their query id."""
    catalog, wanted = evidence.get(Catalog), set(statements)
    # An index that holds a column ends heap-only updates of it; to spare a look into the table is not worth that.
    updated = {
        (ref.table, ref.column)
        for pattern in workload(evidence)
        if pattern.verb == "update"
        for ref in pattern.written_columns
        if ref.table is not None
    }
    made = Pool({}, {})
    for one in candidates(evidence):
        table = catalog.table_by_oid[one.table]
        if not _indexable(catalog, table):
            continue
        lacking = one.extension if one.extension not in _extensions(evidence) else None
        for id in wanted.intersection(one.statements):
            made.plain.setdefault(id, []).append(Proposed((table.schema, table.name), definition(one), lacking))
    for pattern in workload(evidence):
        if (
            pattern.query_id in wanted
            and pattern.query_id is not None
            and pattern.verb in ("select", "update", "delete")
        ):
            plain, covering = (
                made.plain.setdefault(pattern.query_id, []),
                made.covering.setdefault(pattern.query_id, []),
            )
            for table in _tables(evidence, catalog, pattern):
                _propose(evidence, catalog, table, pattern, updated, plain, covering)
    return made


def _extensions(evidence: Evidence) -> set[str]:
    server = evidence.find(Server)
    return {entry.name for entry in server.extensions} if server else set()


def _tables(evidence: Evidence, catalog: Catalog, pattern: AccessPattern) -> Iterator[Table]:
    for oid in dict.fromkeys(pattern.tables):
        table = catalog.table_by_oid.get(oid)
        if (
            table is not None
            and table.kind in ("table", "materialized_view", "partitioned")
            and not table.is_partition
            and (estimated_rows(evidence, table) or 0) >= ROWS_MIN
            and _indexable(catalog, table)
        ):
            yield table


def _indexable(catalog: Catalog, table: Table) -> bool:
    """Whether an index of it is made in the shadow within its time: a tree of partitions gets one on each."""
    return table.kind != "partitioned" or 0 < len(leaves(catalog, table)) <= PARTS


def _propose(
    evidence: Evidence,
    catalog: Catalog,
    table: Table,
    pattern: AccessPattern,
    updated: set[tuple[int, str]],
    plain: list[Proposed],
    covering: list[Proposed],
) -> None:
    equal, joined, ranges = _columns(catalog, table, pattern)
    order = [
        key.column.column
        for key in pattern.order_by
        if key.column is not None and key.column.table == table.oid and key.bare and key.distance_operator is None
    ]
    fit = set(_fit(catalog, table))
    leads: list[tuple[str, ...]] = [(name,) for name in dict.fromkeys((*equal, *joined, *ranges, *order[:1]))]
    leads += [(*equal[:2], name) for name in (*ranges, *joined, *order[:1]) if equal]
    leads += [(name, other) for name in joined for other in (*equal, *ranges)]
    leads += list(combinations(joined, 2)) + [pair[::-1] for pair in combinations(joined, 2)]
    if len(equal) > 1:
        leads.append(tuple(equal[:KEYS]))
    named = _named(catalog, table, pattern)
    for lead in dict.fromkeys(tuple(dict.fromkeys(names))[:KEYS] for names in leads):
        if not set(lead) <= fit:
            continue
        keys = ", ".join(quote_identifier(name) for name in lead)
        plain.append(Proposed((table.schema, table.name), f"({keys})"))
        rest = [name for name in named if name not in lead]
        if (
            rest
            and table.oid not in pattern.stars
            and not any((table.oid, name) in updated for name in rest)
            and len(rest) <= INCLUDED
            and _spares(evidence, table, [*lead, *rest])
        ):
            included = ", ".join(quote_identifier(name) for name in rest)
            covering.append(Proposed((table.schema, table.name), f"({keys}) INCLUDE ({included})"))


def _columns(catalog: Catalog, table: Table, pattern: AccessPattern) -> tuple[list[str], list[str], list[str]]:
    """Compared for equality with values, with other columns, and by range; those wrapped in something are left out."""
    equal: dict[str, None] = {}
    joined: dict[str, None] = {}
    ranges: dict[str, None] = {}
    for entry in pattern.comparisons:
        if entry.column.table != table.oid or entry.function is not None or entry.json_operator is not None:
            continue
        if catalog.column_named(table.oid, entry.column.column) is None:
            continue
        if entry.operator in ("=", "in") and not entry.under_or:
            (equal if entry.other is None else joined)[entry.column.column] = None
        elif entry.operator in _RANGES and entry.other is None:
            ranges[entry.column.column] = None
    return list(equal), list(joined), list(ranges)


def _fit(catalog: Catalog, table: Table) -> Iterator[str]:
    for column in catalog.columns_of(table.oid).values():
        if column.base_type not in _UNFIT and column.type_category not in ("A", "G"):
            yield column.name


def _named(catalog: Catalog, table: Table, pattern: AccessPattern) -> list[str]:
    """The table's columns whose names stand anywhere in the statement."""
    names = {column.name for column in catalog.columns_of(table.oid).values()}
    found: dict[str, None] = {}
    for token in significant(pattern.text):
        if token.kind is Kind.WORD:
            name = token.text.lower()
        elif token.kind is Kind.QUOTED:
            name = token.text[1:-1].replace('""', '"')
        else:
            continue
        if name in names:
            found[name] = None
    return list(found)


def _spares(evidence: Evidence, table: Table, names: Sequence[str]) -> bool:
    """Whether these columns are much narrower than a row."""
    statistics, catalog = evidence.find(PlannerStatistics), evidence.get(Catalog)
    if statistics is None:
        return False
    # The statistics of a whole tree are there only if somebody has it analysed.
    fullest = max(leaves(catalog, table), key=lambda leaf: leaf.rows or 0.0, default=table)
    widths = {
        column.name: entry.average_width
        for column in catalog.columns_of(fullest.oid).values()
        if (entry := statistics.by_column.get((fullest.oid, column.number))) is not None
    }
    whole = sum(widths.values())
    return bool(whole) and sum(widths.get(name, 0) for name in names) <= COVERING_SHARE * whole
