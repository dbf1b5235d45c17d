"""What each statement, ran or only written in code, asks of each table: columns compared, ranges, order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Column, PlannerStatistics, Plans, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.relations import estimated_rows, is_reviewed, leaves
from checks.selectivity import equal_share
from checks.workload import equality_columns

BLOCK_BYTES = 8192
_LITTLE = 0.02
RANGES = frozenset({"<", "<=", ">", ">=", "between"})
_EQUALITY = frozenset({"=", "in"})
_NULL_TESTS = frozenset({"is null", "is not null"})


class Need(msgspec.Struct, frozen=True):
    """What one statement asks of one table, as an index could answer it.

    `equal` columns are compared with values, most selective first; `joined` ones with columns of a table that the statement
    narrows to a small part; `ranges` with bounds. `order` is the first column it sorts by and `limited` says that a LIMIT stops
    it. `null_tests` are (column, "is null" or "is not null"). `other` are comparisons of the table's columns that are none of
    these: wrapped in a function or cast, inside a document, LIKE, containment, text search. Everything is ANDed.
    `rows` are the table's, None where nobody knows; `rows_left` is how many of them the equalities leave on average by the
    planner's statistics, else how many came out of a call; None if nothing tells.
    """

    table: Table
    pattern: AccessPattern
    rows: float | None
    equal: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    order: str | None = None
    limited: bool = False
    null_tests: tuple[tuple[str, str], ...] = ()
    other: tuple[Comparison, ...] = ()
    statement: Statement | None = None
    rows_left: float | None = None

    @property
    def name(self) -> str:
        """The statement's query id, or `file:line` where it stands in code and never ran."""
        if self.pattern.query_id is not None:
            return self.pattern.query_id
        return f"{self.pattern.locations[0].path}:{self.pattern.locations[0].line}" if self.pattern.locations else ""

    @property
    def fixed(self) -> frozenset[str]:
        """Of the columns compared for equality, those with one value and no list of them: behind these an index is in order."""
        return frozenset(
            entry.column.column
            for entry in self.pattern.comparisons
            if entry.column.table == self.table.oid and entry.operator == "=" and not entry.under_or
        ) & frozenset(self.equal)

    @property
    def calls(self) -> int:
        return self.statement.calls if self.statement else 0

    @property
    def total_ms(self) -> float:
        return self.statement.total_ms if self.statement else 0.0


def needs(evidence: Evidence) -> tuple[Need, ...]:
    """Every statement of the workload with every reviewed table that it chooses or sorts rows of, but for those that only
    seeds, scripts and examples have and that never ran. Computed once per evidence.

    Raises Unknown without a catalog.
    """
    known = vars(evidence)
    if "_needs" not in known:
        known["_needs"] = tuple(_read(evidence))
    return cast("tuple[Need, ...]", known["_needs"])


def _read(evidence: Evidence) -> Iterator[Need]:
    catalog, statements = evidence.get(Catalog), evidence.find(Statements)
    sizes: dict[int, float | None] = {}
    for pattern in patterns.workload(evidence):
        if pattern.verb not in {"select", "update", "delete", "merge"}:
            continue
        statement = statements.by_id.get(pattern.query_id or "") if statements else None
        if pattern.query_id is None and not _is_for_users(pattern):
            continue
        for oid in dict.fromkeys(pattern.tables):
            table = catalog.table_by_oid.get(oid)
            if table is None or not is_reviewed(table):
                continue
            if oid not in sizes:
                sizes[oid] = estimated_rows(evidence, table)
            need = _need(evidence, table, pattern, statement, sizes[oid])
            if need.equal or need.joined or need.ranges or need.order or need.null_tests or need.other:
                yield need


def _is_for_users(pattern: AccessPattern) -> bool:
    """Whether code that runs for users has the statement: what a seed or a script looks for is worth no index."""
    # Reading code takes a second to load, and evidence without a repository needs none of it.
    from checks.evidence.repository.behaviour.reader import is_production

    return not pattern.locations or any(is_production(place.path) for place in pattern.locations)


def _need(
    evidence: Evidence, table: Table, pattern: AccessPattern, statement: Statement | None, rows: float | None
) -> Need:
    catalog = evidence.get(Catalog)
    own = [
        entry
        for entry in pattern.comparisons
        if entry.column.table == table.oid and not entry.under_or and entry.other is None
    ]
    plain = [entry for entry in own if not (entry.function or entry.json_operator)]
    names = [name for name in equality_columns(pattern, table.oid) if catalog.column_named(table.oid, name)]
    shares = {name: share_of_value(evidence, catalog.column_named(table.oid, name), rows) for name in names}
    equal = tuple(sorted(shares, key=lambda name: 1.0 if shares[name] is None else cast("float", shares[name])))
    ranges = dict.fromkeys(entry.column.column for entry in plain if entry.operator in RANGES)
    nulls = dict.fromkeys((entry.column.column, entry.operator) for entry in plain if entry.operator in _NULL_TESTS)
    simple = {*RANGES, *_EQUALITY, *_NULL_TESTS}
    return Need(
        table,
        pattern,
        rows,
        equal,
        _joined(evidence, pattern, table),
        tuple(name for name in ranges if name not in equal),
        _order(pattern, table.oid),
        pattern.limit is not None,
        tuple(nulls),
        tuple(entry for entry in own if entry.function or entry.json_operator or entry.operator not in simple),
        statement,
        _rows_left(pattern, statement, rows, shares),
    )


def _rows_left(
    pattern: AccessPattern,
    statement: Statement | None,
    rows: float | None,
    shares: dict[str, float | None],
) -> float | None:
    known = [share for share in shares.values() if share is not None]
    if rows and known:
        left = rows
        for share in known:
            left *= share
        return left
    if rows and shares:
        return None
    return rows_of_call(pattern, statement)


def rows_of_call(pattern: AccessPattern, statement: Statement | None) -> float | None:
    """Rows of its only table that a call chose, as the server counted them; None where the count is of something else."""
    if statement is None or not statement.calls or pattern.aggregates or len(pattern.tables) != 1:
        return None
    if pattern.joined_relations > 1 or pattern.limit is not None or pattern.verb not in {"select", "update", "delete"}:
        return None
    return statement.rows / statement.calls


def share_of_value(evidence: Evidence, column: Column | None, rows: float | None) -> float | None:
    """Share of the rows (0 to 1) that one value of the column leaves on average; None if nothing is known of its values."""
    if column is None or not rows:
        return None
    for index in evidence.get(Catalog).indexes_of(column.table):
        if index.unique and index.valid and index.predicate is None and index.columns == (column.number,):
            return 1 / rows
    statistics = evidence.find(PlannerStatistics)
    entry = statistics.by_column.get((column.table, column.number)) if statistics else None
    return None if entry is None else equal_share(entry, rows)


def _joined(evidence: Evidence, pattern: AccessPattern, table: Table) -> tuple[str, ...]:
    """Columns compared with those of another table of which a value leaves little, so that a nested loop looks them up."""
    found: dict[str, None] = {}
    for entry in pattern.comparisons:
        other = entry.other.table if entry.other else None
        if entry.column.table != table.oid or other is None or other == table.oid or entry.operator != "=":
            continue
        if entry.function or entry.json_operator or entry.under_or:
            continue
        if _narrowed(evidence, pattern, other):
            found[entry.column.column] = None
    return tuple(found)


def _narrowed(evidence: Evidence, pattern: AccessPattern, oid: int) -> bool:
    catalog = evidence.get(Catalog)
    table = catalog.table_by_oid.get(oid)
    rows = estimated_rows(evidence, table) if table else None
    shares = [
        share_of_value(evidence, catalog.column_named(oid, name), rows) for name in equality_columns(pattern, oid)
    ]
    return any(share is not None and rows is not None and share * rows <= 100 for share in shares)


def _order(pattern: AccessPattern, table: int) -> str | None:
    first = pattern.order_by[0] if pattern.order_by else None
    if first and first.bare and not first.distance_operator and first.column and first.column.table == table:
        return first.column.column
    return None


def reads_little(evidence: Evidence, need: Need) -> bool:
    """Whether the server counted so few blocks for a call of the statement that it cannot have read the table: whatever finds its
    rows, or stops it early, does so well."""
    statement = need.statement
    if statement is None or not statement.calls:
        return False
    heap = sum(leaf.heap_bytes or leaf.pages * BLOCK_BYTES for leaf in leaves(evidence.get(Catalog), need.table))
    blocks = (statement.shared_blocks_hit + statement.shared_blocks_read) / statement.calls
    return blocks <= _LITTLE * heap / BLOCK_BYTES


def planned_as_scan(evidence: Evidence, need: Need) -> bool | None:
    """Whether the statement's plan reads the table by sequential scan; None if it has no plan."""
    plans = evidence.find(Plans)
    plan = plans.by_id.get(need.pattern.query_id or "") if plans else None
    if plan is None:
        return None
    parts = {(leaf.schema, leaf.name) for leaf in leaves(evidence.get(Catalog), need.table)}
    return any(
        node.node_type.endswith("Seq Scan") and (node.schema, node.relation) in parts for node in plan.root.walk()
    )
