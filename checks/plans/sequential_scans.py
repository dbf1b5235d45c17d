"""Sequential scans that read a whole table for a few of its rows, from the plans of statements that ran."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Index, Plan, PlanNode, Plans, Statement, Statements, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.json_paths import comparisons_with_keys, is_served, way_of
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import column_list, estimated_rows, new_name
from checks.selectivity import rows_left_by_equalities
from checks.workload import (
    as_subject,
    counters,
    equality_columns,
    left_unplanned,
    pattern_by_query_id,
    place_in_words,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    table_in_words,
)

# With two workers and the leader, each process's share of the rows is the whole divided by 2.4 (cost_seqscan).
PARALLEL_DIVISOR = 2.4
BLOCKING_NODES = frozenset({"Sort", "Incremental Sort", "Aggregate", "Hash", "WindowAgg", "Materialize", "SetOp"})
# An index that leaves more than this share of a table is worth less than one on the column that it is joined by.
WEAK_SHARE = 0.02
SHOWN = 5
# A scan of a table that grew meanwhile touched fewer blocks than it has today; one that most calls do without, far fewer.
SHARE_TOUCHED = 0.25
BLOCK_BYTES = 8192
RANGE_OPERATORS = frozenset({"<", "<=", ">", ">=", "between"})


class Scan(msgspec.Struct, frozen=True):
    """Sequential scans of one table in one plan, for a partitioned table of those partitions that are scanned so.

    `held` are the rows of what is scanned, `rows` those estimated to come out; `read` is the share that is read before a
    LIMIT stops the scan, 1 without one.
    """

    table: int
    filter: str
    held: float
    rows: float
    read: float


@check("plans.wasteful-sequential-scan", catalogue="P20", severity=Severity.HIGH, needs=[Plans, Statements, Catalog])
def wasteful_sequential_scan(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement reads a whole table to return a small part of it.

    The time of such a statement grows with the table, not with its answer, and each run pushes other data out of memory.
    The figures are the planner's own, from a generic plan of a statement that ran.

    Fix: An index on the columns that the filter compares, those compared for equality first.

    Example: SELECT ... FROM invoices WHERE customer_id = $1: Seq Scan over 4 million rows for 30 of them; CREATE INDEX
    CONCURRENTLY ON invoices (customer_id).

    Source: PostgreSQL manual, "Using EXPLAIN"; "Indexes"

    Statements that the same index would serve are told once, with the one that takes most time.

    Observed: table, table_rows, estimated_rows, filter, calls, mean_ms, share, statement, served_too
    """
    plans = evidence.get(Plans)
    unplanned, gap = left_unplanned(evidence, plans)
    if not plans.plans and gap is None:
        raise NotApplicable("no statement ran that has a plan")
    yield Examined(len(plans.plans), len(plans.plans) + unplanned, "most expensive statements", gap=gap)
    catalog = evidence.get(Catalog)
    by_cause: dict[tuple[int, str], list[tuple[Plan, AccessPattern, Scan]]] = {}
    for plan, pattern, scan in wasteful_scans(evidence):
        columns = _index_columns(evidence, pattern, catalog.table_by_oid[scan.table], scan.held)
        by_cause.setdefault((scan.table, columns[0] if columns else plan.query_id), []).append((plan, pattern, scan))
    for (plan, pattern, scan), *others in by_cause.values():
        yield _wasteful(evidence, plan, pattern, scan, [other for _, other, _ in others])


def wasteful_scans(evidence: Evidence) -> list[tuple[Plan, AccessPattern, Scan]]:
    """The scans that waste, of the statement that takes most time first."""
    plans, statements = evidence.find(Plans), evidence.find(Statements)
    if plans is None or statements is None or evidence.find(Catalog) is None:
        return []
    known = pattern_by_query_id(evidence)
    found = []
    for plan in plans.plans:
        entry = statements.by_id.get(plan.query_id)
        if entry is None or entry.calls == 0:
            continue
        pattern = known.get(plan.query_id) or AccessPattern("other", entry.text, query_id=plan.query_id)
        for scan in _scans(evidence, plan):
            if scan.held * scan.read <= evidence.limit("seq_scan_rows") or _blind_to_index(evidence, pattern, scan):
                continue
            if scan.read == 1 and not _is_taken(evidence, entry, scan):
                continue
            if scan.rows < evidence.limit("seq_scan_selectivity") * scan.held:
                found.append((entry.total_ms, plan, pattern, scan))
    return [(plan, pattern, scan) for _, plan, pattern, scan in sorted(found, key=lambda entry: -entry[0])]


def _wasteful(
    evidence: Evidence, plan: Plan, pattern: AccessPattern, scan: Scan, others: list[AccessPattern]
) -> Finding:
    catalog, rows = evidence.get(Catalog), scan.held
    table = catalog.table_by_oid[scan.table]
    figures = statement_figures(evidence, pattern)
    places = statement_places(evidence, pattern)
    serving = _index_in_the_way(evidence, pattern, table, rows)
    words = statement_in_words(pattern, catalog)
    name = table_in_words(catalog, scan.table)
    title = f"reads all {rows:,.0f} rows of {name} to return about {scan.rows:,.0f}"
    if scan.read < 1:
        title = f"reads the {rows:,.0f} rows of {name} one by one until its LIMIT is reached"
    if others:
        title += f", as {len(others)} other statement{'s do' if len(others) > 1 else ' does'}"
    return Finding(
        statement_subject(pattern),
        f"{as_subject(words)} {title}{place_in_words(places)}",
        _fix(evidence, pattern, table, serving, rows),
        severity=min((_severity(evidence, each, rows) for each in (pattern, *others)), key=lambda each: each.rank),
        confidence=Confidence.MEASURED if scan.read == 1 else Confidence.INFERRED,
        observed={**figures, "table": table.subject.name, "table_rows": round(rows), "estimated_rows": round(scan.rows),
                  "filter": scan.filter, "table_bytes": table.heap_bytes, "planned_as": plan.planned_as,
                  **({"served_too": [statement_in_words(each, catalog) for each in others[:SHOWN]]} if others else {})},
        related=(table.subject, *((serving.subject,) if serving else ()),
                 *(statement_subject(each) for each in others[:SHOWN])),
        locations=places,
        discriminator=table.subject.name,
    )  # fmt: skip


def _severity(evidence: Evidence, pattern: AccessPattern, rows: float) -> Severity:
    figures = counters(evidence, pattern.query_id)
    if figures["calls"] < 10 and figures["share"] < 0.05:
        return Severity.LOW
    if rows >= 100_000 or figures["share"] >= 0.1 or figures["mean_ms"] >= 100:
        return Severity.HIGH
    return Severity.MEDIUM


def _scans(evidence: Evidence, plan: Plan) -> list[Scan]:
    """One entry per table that is scanned with a filter; partitions count as their topmost table."""
    catalog = evidence.get(Catalog)
    found: dict[int, Scan] = {}
    seen = set[int]()
    for node, read in _with_share_read(plan.root, 1.0):
        table = catalog.table_by_name.get((node.schema or "", node.relation or ""))
        if node.node_type not in {"Seq Scan", "Parallel Seq Scan"} or node.filter is None or table is None:
            continue
        if table.oid in seen:
            continue
        seen.add(table.oid)
        oid = table.root or table.oid
        before = found.get(oid, Scan(oid, node.filter, 0, 0, 1.0))
        rows = node.rows * (PARALLEL_DIVISOR if node.parallel else 1)
        held = estimated_rows(evidence, table) or 0
        found[oid] = Scan(oid, before.filter, before.held + held, before.rows + rows, min(read, before.read))
    return list(found.values())


def _blind_to_index(evidence: Evidence, pattern: AccessPattern, scan: Scan) -> bool:
    """Whether the plan is generic where the real ones are not: constants of the code stand as parameters in
    pg_stat_statements, so that it can match neither a partial index nor one on an expression with a constant."""
    catalog, usage = evidence.get(Catalog), evidence.find(Usage)
    compared = [entry for entry in comparisons_with_keys(evidence, pattern) if entry.column.table == scan.table]
    plain = {entry.column.column for entry in compared if not (entry.function or entry.json_operator)}
    for entry in compared:
        column, way = catalog.column_named(scan.table, entry.column.column), way_of(entry)
        if column and way and way.json_operator and is_served(catalog, column, way):
            return True
    for index in catalog.indexes_of(scan.table):
        used = usage.index_by_oid.get(index.oid) if usage else None
        if not index.valid or used is None or used.scans == 0:
            continue
        if index.predicate and any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", index.predicate) for name in plain):
            return True
        calls = {entry.function for entry in compared if entry.function and entry.json_operator is None}
        if any(key.expression and any(f"{name}(" in key.expression for name in calls) for key in index.keys):
            return True
    return False


def _is_taken(evidence: Evidence, entry: Statement, scan: Scan) -> bool:
    """Whether the blocks that its calls touched leave room for that scan. The generic plan takes each value of a column for as
    common as the next; with the value itself (`status = 'pending'` of a queue) the server takes an index."""
    table = evidence.get(Catalog).table_by_oid[scan.table]
    touched = entry.shared_blocks_hit + entry.shared_blocks_read
    if not touched or not table.heap_bytes:
        return True
    return touched / entry.calls >= SHARE_TOUCHED * table.heap_bytes / BLOCK_BYTES


def _with_share_read(node: PlanNode, share: float) -> list[tuple[PlanNode, float]]:
    """Every node with the share of its rows that a LIMIT above it asks for: a node that must see all its input first, such
    as a sort, needs the whole of it."""
    below = share
    if node.node_type == "Limit" and node.children:
        below = share * min(1.0, node.rows / max(node.children[0].rows, 1.0))
    elif node.node_type in BLOCKING_NODES:
        below = 1.0
    found = [(node, share)]
    for child in node.children:
        found += _with_share_read(child, below)
    return found


def _index_columns(evidence: Evidence, pattern: AccessPattern, table: Table, rows: float) -> list[str]:
    """Columns for a B-tree: those compared for equality, then the one that is ordered by, or else compared by range. Where that
    leaves many rows and the table is joined by a column, that one: its rows are wanted for few of the other table's."""
    catalog = evidence.get(Catalog)
    columns = equality_columns(pattern, table.oid)
    left = rows_left_by_equalities(evidence, pattern, table.oid, rows)
    joined = _joined_by(catalog, pattern, table)
    if joined and (not columns or (left is not None and left > WEAK_SHARE * rows)):
        return joined[:1]
    ordered = [
        key.column.column for key in pattern.order_by if key.column and key.column.table == table.oid and key.bare
    ]
    ranged = [
        entry.column.column
        for entry in pattern.comparisons
        if entry.column.table == table.oid and entry.operator in RANGE_OPERATORS
        and not (entry.under_or or entry.function or entry.json_operator or entry.other)
    ]  # fmt: skip
    if (
        len(pattern.order_by) == len(ordered) == 1
        and pattern.limit is not None
        and not pattern.order_by[0].distance_operator
    ):
        columns += ordered
    elif ranged:
        columns.append(ranged[0])
    known = [name for name in dict.fromkeys(columns) if catalog.column_named(table.oid, name)]
    return known[:3] if equality_columns(pattern, table.oid) or ranged else []


def _joined_by(catalog: Catalog, pattern: AccessPattern, table: Table) -> list[str]:
    """Plain columns that are compared with another table's, and with which no index begins."""
    names = [
        entry.column.column
        for entry in pattern.comparisons
        if entry.column.table == table.oid and entry.operator == "=" and not (entry.under_or or entry.function)
        and entry.other is not None and entry.other.table not in (None, table.oid) and entry.json_operator is None
    ]  # fmt: skip
    first = {index.columns[0] for index in catalog.indexes_of(table.oid) if index.valid and index.columns}
    columns = [catalog.column_named(table.oid, name) for name in dict.fromkeys(names)]
    return [column.name for column in columns if column is not None and column.number not in first]


def _index_in_the_way(evidence: Evidence, pattern: AccessPattern, table: Table, rows: float) -> Index | None:
    """An index that begins with a compared column and that the planner did not take all the same."""
    catalog = evidence.get(Catalog)
    compared = set(_index_columns(evidence, pattern, table, rows))
    for index in catalog.indexes_of(table.oid):
        first = catalog.columns_of(table.oid).get(index.columns[0]) if index.keys else None
        if index.valid and index.method == "btree" and index.predicate is None and first and first.name in compared:
            return index
    return None


def _fix(evidence: Evidence, pattern: AccessPattern, table: Table, serving: Index | None, rows: float) -> Fix:
    catalog = evidence.get(Catalog)
    columns = _index_columns(evidence, pattern, table, rows)
    left = rows_left_by_equalities(evidence, pattern, table.oid, rows)
    documents = [
        entry.column.column for entry in pattern.comparisons if entry.column.table == table.oid and way_of(entry)
    ]
    if documents and (left is None or left > evidence.limit("seq_scan_selectivity") * rows):
        return Fix(
            f"An index for what is compared inside {quote_identifier(documents[0])}: GIN for containment, one on the "
            "expression for a key (hybrid.jsonb-filter-without-index has the SQL)."
        )
    if serving is not None:
        return Fix(
            f"Index {serving.subject.name} begins with a column that this compares and is not taken: see whether types or "
            "casts differ, ANALYZE the table, and compare with the plan for real parameters."
        )
    if not columns:
        return Fix("No plain column is compared here: an expression, trigram or GIN index on what the filter does, or "
                   "another way to ask.")  # fmt: skip
    name = new_name(catalog, table.schema, table.name, *columns, "idx")
    listed = column_list(columns)
    partitioned = table.kind == "partitioned"
    return Fix(
        f"Index {table_in_words(catalog, table.oid)} ({listed}), then look at the plan again.",
        sql=f"CREATE INDEX {'' if partitioned else 'CONCURRENTLY '}{quote_identifier(name)} "
            f"ON {qualified_name(table.schema, table.name)} ({listed});",
        lock="SHARE" if partitioned else "SHARE UPDATE EXCLUSIVE",
        undo=f"DROP INDEX {'' if partitioned else 'CONCURRENTLY '}{qualified_name(table.schema, name)};",
    )  # fmt: skip
