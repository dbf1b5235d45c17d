"""What plans tell without being run: estimates of the planner, and said to be such. Given plans that were run are measured."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import (
    Catalog,
    GivenPlan,
    GivenPlans,
    PlannerStatistics,
    PlanNode,
    Plans,
    Statement,
    Statements,
)
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.plans.sequential_scans import BLOCKING_NODES
from checks.registry import check
from checks.relations import column_names, estimated_rows
from checks.selectivity import equal_share
from checks.workload import (
    as_subject,
    equality_columns,
    left_unplanned,
    pattern_by_query_id,
    place_in_words,
    rows_per_call,
    short_text,
    statement_figures,
    statement_in_words,
    statement_places,
    table_in_words,
)

_JOINS = frozenset({"Nested Loop", "Hash Join", "Merge Join"})
_INDEX_SCANS = frozenset({"Index Scan", "Index Only Scan"})
_OR = re.compile(r"\bOR\b")


class Seen(msgspec.Struct, frozen=True):
    """A plan to judge: of a statement that ran, or one that was given. `entry` is None if it is not known to have run."""

    root: PlanNode
    pattern: AccessPattern
    subject: Subject
    entry: Statement | None
    measured: bool

    def nodes(self) -> list[tuple[PlanNode, PlanNode | None, bool]]:
        """Each node with the one above it, and whether a LIMIT may end it before it is done."""
        found: list[tuple[PlanNode, PlanNode | None, bool]] = []
        waiting: list[tuple[PlanNode, PlanNode | None, bool]] = [(self.root, None, False)]
        while waiting:
            node, above, cut = waiting.pop()
            found.append((node, above, cut))
            below = (cut or node.node_type == "Limit") and node.node_type not in BLOCKING_NODES
            waiting.extend((child, node, below) for child in node.children)
        return found


def _seen(evidence: Evidence) -> tuple[list[Seen], Examined]:
    """Plans of the costliest statements, then those that were given and run. Raises NotApplicable if there is none."""
    plans, statements = evidence.get(Plans), evidence.find(Statements)
    known = pattern_by_query_id(evidence)
    found = []
    really = _slowest_of_each(evidence)
    for plan in plans.plans:
        entry = statements.by_id.get(plan.query_id) if statements else None
        if entry is not None and entry.calls and plan.query_id not in really:
            pattern = known.get(plan.query_id) or AccessPattern("other", entry.text, query_id=plan.query_id)
            found.append(Seen(plan.root, pattern, Subject("statement", (plan.query_id,)), entry, False))
    for name, each in really.items():
        if (each.execution_ms or 0) >= evidence.limit("plan_ms"):
            pattern = known.get(each.query_id or "") or AccessPattern("other", each.text, query_id=each.query_id)
            path = (each.query_id,) if each.query_id else (each.file, str(each.number))
            entry = statements.by_id.get(name) if statements else None
            found.append(Seen(each.root, pattern, Subject("statement", path), entry, True))
    unplanned, gap = left_unplanned(evidence, plans)
    if not found and gap is None:
        raise NotApplicable("no statement ran that has a plan")
    return found, Examined(len(found), len(found) + unplanned, "plans", gap=gap)


def _slowest_of_each(evidence: Evidence) -> dict[str, GivenPlan]:
    """Of each statement that was really run the slowest plan, by its query id, else by its place: a log has it many times."""
    given = evidence.find(GivenPlans)
    found: dict[str, GivenPlan] = {}
    for each in given.plans if given else ():
        name = each.query_id or f"{each.file}:{each.number}"
        if each.analyzed and (name not in found or (each.execution_ms or 0) > (found[name].execution_ms or 0)):
            found[name] = each
    return found


def _is_worth_it(evidence: Evidence, seen: Seen) -> bool:
    """Whether the statement takes so long, or so much of all time, that a better plan would be felt. Estimates alone are none."""
    if seen.measured or seen.entry is None:
        return seen.measured
    statements = evidence.get(Statements)
    return seen.entry.calls >= 5 and (
        seen.entry.mean_ms >= evidence.limit("plan_ms") or statements.share(seen.entry) >= evidence.limit("heavy_share")
    )


def _finding(
    evidence: Evidence,
    seen: Seen,
    says: str,
    advice: str,
    severity: Severity,
    related: tuple[Subject, ...] = (),
    **observed: object,
) -> Finding:
    places = statement_places(evidence, seen.pattern)
    words = statement_in_words(seen.pattern, evidence.find(Catalog)) or f"plan {seen.subject.name}"
    return Finding(
        seen.subject,
        f"{as_subject(words)} {says}{place_in_words(places)}",
        Fix(advice),
        severity=severity,
        confidence=Confidence.MEASURED if seen.measured else Confidence.INFERRED,
        observed={**statement_figures(evidence, seen.pattern), **observed},
        related=related,
        locations=places,
    )


def _table(evidence: Evidence, node: PlanNode) -> int | None:
    catalog = evidence.get(Catalog)
    table = catalog.table_by_name.get((node.schema or "public", node.relation or ""))
    return table.oid if table else None


@check("plans.wasteful-index-scan", catalogue="P21", severity=Severity.MEDIUM, needs=[Plans, Statements, Catalog])
def wasteful_index_scan(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index finds far more rows than the statement keeps.

    The index helps with one of the columns that are compared, each row it finds is fetched from the table, and a filter throws
    most of them away: random reads for nothing, more of them the more the table grows.

    Fix: A column of the filter into the index, those compared for equality first; or a partial index for a fixed condition.

    Example: WHERE tenant_id = $1 AND status = 'open' with an index on (tenant_id): 12,000 rows fetched, Rows Removed by Filter:
    11950; an index on (tenant_id, status) finds the 50.

    Source: PostgreSQL manual, "Multicolumn Indexes"; "Using EXPLAIN"

    Observed: table, index, found_rows, kept_rows, filter, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    yield examined
    for seen in plans:
        for node, _, cut in seen.nodes():
            if node.node_type not in _INDEX_SCANS or not node.filter or not node.index_condition or not node.index:
                continue
            figures = _rows_found(evidence, seen, node)
            if figures is None or (cut and not seen.measured) or not _is_worth_it(evidence, seen):
                continue
            found, kept = figures
            if found < evidence.limit("seq_scan_rows") or kept > evidence.limit("seq_scan_selectivity") * found:
                continue
            about = "" if seen.measured else "about "
            yield _finding(
                evidence, seen,
                f"finds {about}{found:,.0f} rows of {node.relation} by index {node.index} and keeps {about}{kept:,.0f}",
                f"Extend the index by what the filter compares ({short_text(node.filter, 120)}), then look at the plan again.",
                Severity.HIGH if found >= 100_000 else Severity.MEDIUM,
                table=f"{node.schema}.{node.relation}" if node.schema else node.relation, index=node.index,
                found_rows=round(found), kept_rows=round(kept), filter=node.filter,
            )  # fmt: skip
            break


def _rows_found(evidence: Evidence, seen: Seen, node: PlanNode) -> tuple[float, float] | None:
    """Rows that the index condition leaves, and that the filter keeps of them; None if it cannot be told."""
    if seen.measured:
        if node.measured is None:
            return None
        kept = node.measured.rows * node.measured.loops
        return kept + node.measured.removed * node.measured.loops, kept
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    oid = _table(evidence, node)
    if oid is None or statistics is None or node.index_condition is None:
        return None
    rows = estimated_rows(evidence, catalog.table_by_oid[oid])
    index = next((entry for entry in catalog.indexes_of(oid) if entry.name == node.index), None)
    if rows is None or index is None:
        return None
    compared = set(equality_columns(seen.pattern, oid))
    named = [name for name in column_names(catalog, oid, [number for number in index.columns if number])
             if re.search(rf"(?<![\w\"]){re.escape(name)}(?![\w\"])", node.index_condition)]  # fmt: skip
    if not named or not set(named) <= compared or len(named) != node.index_condition.count(" AND ") + 1:
        return None
    found = rows
    for name in named:
        column = catalog.column_named(oid, name)
        entry = statistics.by_column.get((oid, column.number)) if column else None
        if entry is None:
            return None
        found *= equal_share(entry, rows)
    # Inside a nested loop it is found again for each outer row: of one call, this is the least.
    return found, min(node.rows, found)


@check("plans.wrong-index-for-order-by", catalogue="P28", severity=Severity.HIGH, needs=[Plans, Statements, Catalog])
def wrong_index_for_order_by(evidence: Evidence) -> Iterator[Finding | Examined]:
    """To spare a sort, an index is walked in order until enough rows pass the filter.

    The planner expects the rows that match to be spread evenly and to come soon. Where they are all old, or there are few, it
    walks through the whole index: the well-known ORDER BY ... LIMIT that takes a millisecond for most and a minute for some.

    Fix: An index on the filter's columns and then those of ORDER BY, which gives both at once.

    Example: WHERE account_id = $1 ORDER BY created_at DESC LIMIT 10 walks the index on (created_at) past 3 million rows of
    other accounts; an index on (account_id, created_at) has the ten at its end.

    Source: PostgreSQL manual, "Indexes and ORDER BY"; pganalyze, "ORDER BY with LIMIT"

    Observed: table, index, rows_to_walk, rows_per_call, filter, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    yield examined
    for seen in plans:
        for node, _, cut in seen.nodes():
            walks = node.node_type in _INDEX_SCANS and node.filter and not node.index_condition and not node.order_by
            if not walks or not cut or not _is_worth_it(evidence, seen):
                continue
            walked = _rows_walked(evidence, seen, node)
            if walked is None or walked < evidence.limit("seq_scan_rows"):
                continue
            about = "" if seen.measured else "about "
            yield _finding(
                evidence, seen,
                f"walks through {about}{walked:,.0f} rows of {node.relation} in the order of {node.index} until its LIMIT is "
                f"reached",
                "Index the columns that the filter compares for equality, followed by those of ORDER BY.",
                Severity.HIGH if walked >= 100_000 else Severity.MEDIUM,
                table=f"{node.schema}.{node.relation}" if node.schema else node.relation, index=node.index,
                rows_to_walk=round(walked), filter=node.filter,
            )  # fmt: skip
            break


def _rows_walked(evidence: Evidence, seen: Seen, node: PlanNode) -> float | None:
    """Rows that the scan looks at until it has what is asked for."""
    if seen.measured:
        return None if node.measured is None else (node.measured.rows + node.measured.removed) * node.measured.loops
    oid = _table(evidence, node)
    rows = estimated_rows(evidence, evidence.get(Catalog).table_by_oid[oid]) if oid is not None else None
    if rows is None or seen.entry is None:
        return None
    wanted = rows_per_call(seen.entry)
    return min(rows, max(wanted, 1.0) * rows / max(node.rows, 1.0))


@check("plans.huge-nested-loop", catalogue="P27", severity=Severity.MEDIUM, needs=[Plans, Statements, Catalog])
def huge_nested_loop(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A nested loop runs its inner side a hundred thousand times.

    It is the right join for a few rows. For very many, even an index lookup of ten microseconds each is a second, where one hash
    join would read both sides once. Mostly the outer side was taken for much smaller than it is.

    Fix: Right estimates for the outer side (ANALYZE, extended statistics), an equality to hash by, fewer outer rows.

    Example: Nested Loop with an Index Scan on users, loops=240000: 240,000 lookups, where a Hash Join reads 30,000 users once.

    Source: PostgreSQL manual, "Planner/Optimizer"; "Using EXPLAIN"

    Observed: loops, inner, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    yield examined
    for seen in plans:
        for node, _, cut in seen.nodes():
            if node.node_type != "Nested Loop" or len(node.children) < 2 or (cut and not seen.measured):
                continue
            outer, inner = node.children[0], node.children[1]
            while inner.node_type in {"Materialize", "Memoize"} and inner.children:
                inner = inner.children[0]
            loops = outer.rows
            if seen.measured:
                loops = inner.measured.loops if inner.measured else 0
            if loops < evidence.limit("nested_loops") or not _is_worth_it(evidence, seen):
                continue
            about = "" if seen.measured else "about "
            yield _finding(
                evidence, seen, f"runs {inner.node_type.lower()} on {inner.relation or 'its inner side'} {about}{loops:,.0f} "
                f"times",
                "See whether the outer side has as many rows as was expected; give the join an equality, or its "
                "outer side a filter.",
                Severity.HIGH if seen.measured and loops >= 10 * evidence.limit("nested_loops") else Severity.MEDIUM,
                loops=round(loops), inner=inner.relation,
            )  # fmt: skip
            break


@check("plans.late-or-filter", catalogue="P29", severity=Severity.LOW, needs=[Plans, Statements, Catalog])
def late_or_filter(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An OR over columns of two tables is applied after they are joined.

    No index can help with it: all pairs are built, and most are thrown away.

    Fix: UNION of two statements, each with one side of the OR, so that each can use its index.

    Example: FROM orders o JOIN users u ON u.id = o.user_id WHERE o.code = $1 OR u.email = $1 joins all orders with all users; a
    UNION of the two conditions looks up each by its index.

    Source: PostgreSQL manual, "Combining Multiple Indexes"; Cybertec, "Avoid OR for better performance"

    Observed: joined_rows, kept_rows, filter, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    yield examined
    for seen in plans:
        for node, _, cut in seen.nodes():
            if (
                node.node_type not in _JOINS
                or not node.filter
                or not _OR.search(node.filter)
                or (cut and not seen.measured)
            ):
                continue
            joined, kept = max((child.rows for child in node.children), default=0), node.rows
            if seen.measured and node.measured is not None:
                kept = node.measured.rows * node.measured.loops
                joined = kept + node.measured.removed * node.measured.loops
            if joined < evidence.limit("seq_scan_rows") or kept > evidence.limit("seq_scan_selectivity") * joined:
                continue
            if _is_worth_it(evidence, seen):
                yield _finding(
                    evidence, seen, f"joins {joined:,.0f} rows or more before an OR keeps {kept:,.0f}",
                    f"Split the OR ({short_text(node.filter, 120)}) into a UNION of two statements.", Severity.LOW,
                    joined_rows=round(joined), kept_rows=round(kept), filter=node.filter,
                )  # fmt: skip
                break


@check("plans.subplan-per-row", catalogue="P36", severity=Severity.MEDIUM, needs=[Plans, Statements, Catalog])
def subplan_per_row(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A subquery runs again for each row of the query around it.

    A correlated subquery in the select list or in WHERE is a loop: its cost is multiplied by the rows around it, and the planner
    cannot turn it into a join.

    Fix: A join, or LATERAL over an aggregate; EXISTS in place of a comparison with a count.

    Example: SELECT p.*, (SELECT count(*) FROM comments c WHERE c.post_id = p.id) FROM posts p with 50,000 posts: SubPlan 1,
    loops=50000. LEFT JOIN over SELECT post_id, count(*) FROM comments GROUP BY post_id counts once.

    Source: PostgreSQL manual, "Subquery Expressions"; "LATERAL Subqueries"

    Observed: loops, cost_share, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    yield examined
    for seen in plans:
        for node, above, cut in seen.nodes():
            if node.parent_relationship != "SubPlan" or above is None or (cut and not seen.measured):
                continue
            if "hashed" in (above.filter or "") or (node.subplan or "").startswith("CTE"):
                continue
            loops, share = above.rows, node.total_cost * above.rows / max(seen.root.total_cost, 1.0)
            if seen.measured:
                total, whole = node.measured.total_ms if node.measured else None, seen.root.measured
                loops = node.measured.loops if node.measured else 0
                share = (total or 0) / max((whole.total_ms if whole else None) or 1.0, 0.001)
            if loops < evidence.limit("table_rows_min") or share < 0.5 or not _is_worth_it(evidence, seen):
                continue
            about = "" if seen.measured else "about "
            yield _finding(
                evidence, seen, f"runs a subquery {about}{loops:,.0f} times, which is most of its cost",
                "Join what the subquery looks up, or compute it once for all rows (GROUP BY, LATERAL).",
                Severity.MEDIUM, loops=round(loops), cost_share=round(min(share, 1.0), 2),
            )  # fmt: skip
            break


@check("plans.no-partition-pruning", catalogue="P37", severity=Severity.MEDIUM, needs=[Plans, Statements, Catalog])
def no_partition_pruning(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement does not name the key of a partitioned table, and reads all its partitions.

    Each partition costs planning, locks and at least one index lookup, and there will be more of them every month.

    Fix: The partition key into WHERE, or into the join; else the table is partitioned by what nobody asks for.

    Example: events PARTITION BY RANGE (created_at), and SELECT ... FROM events WHERE id = $1: 120 monthly partitions are looked
    through; AND created_at >= $2 leaves one.

    Source: PostgreSQL manual, "Partition Pruning"; "Best Practices for Declarative Partitioning"

    Observed: table, partitions, key, calls, mean_ms, statement
    """
    plans, examined = _seen(evidence)
    catalog = evidence.get(Catalog)
    yield examined
    for seen in plans:
        pattern = seen.pattern
        read: dict[int, int] = {}
        for node, _, _ in seen.nodes():
            oid = _table(evidence, node) if node.relation else None
            table = catalog.table_by_oid.get(oid or 0)
            if table is not None and table.root is not None and table.is_partition:
                read[table.root] = read.get(table.root, 0) + 1
        for root, count in read.items():
            table = catalog.table_by_oid.get(root)
            if (
                table is None
                or not table.partition_columns
                or not table.partition_columns[0]
                or not pattern.all_filters_known
            ):
                continue
            key = catalog.column(root, table.partition_columns[0]).name
            named = any(entry.column.table == root and entry.column.column == key for entry in pattern.comparisons)
            if named or count < evidence.limit("partitions_read") or pattern.verb == "other":
                continue
            if pattern.verb == "select" and not pattern.comparisons:
                # It is asked for everything.
                continue
            entry = seen.entry
            if entry is None or entry.calls < 5:
                continue
            yield _finding(
                evidence, seen, f"reads {count} partitions of {table_in_words(catalog, root)}, whose key {key} it does not "
                f"compare",
                f"Compare {key} too, if the caller knows it; or partition by what statements ask for.",
                Severity.MEDIUM if entry.mean_ms >= 100 or count >= 50 else Severity.LOW, (table.subject,),
                table=table.subject.name, partitions=count, key=key,
            )  # fmt: skip
