"""Whether the planner knows the tables it plans for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import (
    Catalog,
    PlannerStatistics,
    Plans,
    Server,
    Settings,
    Statements,
    Table,
    TableUsage,
    Usage,
)
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Unknown, Unobserved, qualified_name
from checks.registry import check
from checks.relations import estimated_rows, grant, is_of_the_application, leaves
from checks.settings import is_on
from checks.workload import (
    pattern_by_query_id,
    place_in_words,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    table_in_words,
)

SHOWN = 5
FAR_PAST_TRIGGER = 2
PAGE_BYTES = 8192


class Stale(msgspec.Struct, frozen=True):
    """A table that needs ANALYZE. `changed` is None if it was never analysed."""

    table: Table
    rows: float
    changed: int | None
    trigger: float
    enabled: bool


@check("plans.never-analyzed", catalogue="P77", severity=Severity.MEDIUM, needs=[Catalog, Usage, Settings, Server])
@once_per_family
def never_analyzed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has no planner statistics, or ones that are long out of date.

    Without statistics the planner takes constants for facts: joins are ordered wrongly and indexes passed over. Autovacuum
    analyses a table once enough of it changed, but never a partitioned table as a whole, and nothing where it is off.

    Fix: ANALYZE it; then find out why autovacuum does not.

    Example: CREATE TABLE parted PARTITION BY ...: autovacuum analyses each partition and never the whole; ANALYZE parted after
    a load gives the planner the number of distinct values.

    Source: PostgreSQL manual, "Routine Vacuuming", "Updating Planner Statistics"

    Observed: rows, modified_since_analyze, analyze_trigger, autovacuum, tables
    """
    if evidence.get(Server).is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it knows when tables were analysed")
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    tables = [
        table for table in catalog.tables if table.kind in {"table", "partitioned"} and is_of_the_application(table)
    ]
    if not tables:
        raise NotApplicable("the database has no tables")
    undecided, stale = 0, list[Stale]()
    for table in tables:
        state = _state(evidence, table, usage.table_by_oid.get(table.oid))
        if state is None:
            undecided += 1
        elif isinstance(state, Stale):
            stale.append(state)
    gap = Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_data"))
    yield Examined(len(tables) - undecided, len(tables), "tables", gap=gap if undecided else None, unmet=len(stale))
    for family in _families(stale):
        yield _finding(catalog, family)


def _state(evidence: Evidence, table: Table, used: TableUsage | None) -> Stale | bool | None:
    """Stale, or False if it is in order, or None if this role sees too little to tell."""
    settings = evidence.get(Settings)
    live = float(used.live_tuples if used else 0)
    rows = (estimated_rows(evidence, table) if table.kind == "partitioned" else _rows_now(table)) or live
    enabled = is_on(table.options.get("autovacuum_enabled") or settings.value("autovacuum"))
    trigger = _trigger(settings, table, rows)
    if table.kind == "partitioned":
        unknown = table.rows is None and (used is None or used.last_analyze is None)
        return (
            Stale(table, rows, None, trigger, False) if unknown and rows >= evidence.limit("seq_scan_rows") else False
        )
    if rows < evidence.limit("analyze_rows_min") or used is None:
        return False
    if used.last_analyze is None:
        analysed = _has_statistics(evidence, table)
        if analysed is not True:
            return Stale(table, rows, None, trigger, enabled) if analysed is False and rows > trigger else analysed
    # A session that loads and analyses counts its rows twice: once as ANALYZE found them, once as changed since.
    changed = used.modified_since_analyze - round(max(0.0, live - rows))
    if changed > FAR_PAST_TRIGGER * trigger and changed > evidence.limit("analyze_share") * rows:
        return Stale(table, rows, changed, trigger, enabled)
    return False


def _rows_now(table: Table) -> float | None:
    """Rows by the planner's reckoning: as many a page as when it was analysed, times the pages of today."""
    if table.rows is None or not table.pages or table.heap_bytes is None:
        return table.rows
    return table.rows * table.heap_bytes / (table.pages * PAGE_BYTES)


def _has_statistics(evidence: Evidence, table: Table) -> bool | None:
    """Whether pg_stats has rows for it; a table that was never vacuumed or analysed has none for sure."""
    statistics = evidence.find(PlannerStatistics)
    if statistics and any((table.oid, number) in statistics.by_column for number in _columns(evidence, table)):
        return True
    if table.rows is None:
        return False
    return None if statistics is None or statistics.hidden_tables else False


def _columns(evidence: Evidence, table: Table) -> list[int]:
    return list(evidence.get(Catalog).columns_of(table.oid))


def _trigger(settings: Settings, table: Table, rows: float) -> float:
    """Changed rows from which on autovacuum analyses the table, its own options honoured."""
    threshold, scale = "autovacuum_analyze_threshold", "autovacuum_analyze_scale_factor"
    base = float(table.options.get(threshold) or settings.value(threshold) or 50)
    return base + float(table.options.get(scale) or settings.value(scale) or 0.1) * rows


def _families(stale: list[Stale]) -> list[list[Stale]]:
    """Partitions of one table together, largest first."""
    groups: dict[int, list[Stale]] = {}
    for entry in stale:
        groups.setdefault(entry.table.root or entry.table.oid, []).append(entry)
    return [sorted(group, key=lambda entry: -entry.rows) for group in groups.values()]


def _finding(catalog: Catalog, family: list[Stale]) -> Finding:
    worst = family[0]
    table = catalog.table_by_oid[worst.table.root] if worst.table.root else worst.table
    what = (
        f"Table {table.subject.name}"
        if len(family) == 1
        else f"{len(family)} tables such as {worst.table.subject.name}"
    )
    verb = "has" if len(family) == 1 else "have"
    if worst.changed is None:
        title = f"{what} {verb} no planner statistics, with about {worst.rows:,.0f} rows"
    else:
        title = f"{what} {verb} changed {worst.changed:,} rows of {worst.rows:,.0f} since the last ANALYZE"
    automatic = "off for it" if not worst.enabled else "on"
    if worst.table.kind == "partitioned":
        automatic = "never analyses a partitioned table as a whole"
    names = [qualified_name(entry.table.schema, entry.table.name) for entry in family[:SHOWN]]
    return Finding(
        table.subject,
        title,
        Fix(
            "ANALYZE it now. Then let autovacuum do it: see whether it is switched off, blocked by locks, or starved."
            if worst.table.kind == "table"
            else "ANALYZE it by a scheduled job: autovacuum analyses the partitions only.",
            sql=" ".join(f"ANALYZE {name};" for name in names),
            lock="SHARE UPDATE EXCLUSIVE",
            undo="Nothing to undo.",
        ),
        severity=_severity(worst),
        observed={
            "rows": round(worst.rows),
            "modified_since_analyze": worst.changed,
            "analyze_trigger": round(worst.trigger),
            "autovacuum": automatic,
            "tables": len(family),
        },
        related=tuple(entry.table.subject for entry in family[:SHOWN] if entry.table.oid != table.oid),
    )


def _severity(worst: Stale) -> Severity:
    if worst.rows < 10_000:
        return Severity.LOW
    return Severity.HIGH if worst.changed is None and worst.table.kind == "table" else Severity.MEDIUM


@check(
    "plans.stale-statistics",
    catalogue="P31",
    severity=Severity.LOW,
    needs=[Plans, Statements, Catalog, Usage, Settings],
)
def stale_statistics(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A costly statement is planned from statistics that are long out of date.

    Whatever its plan says of this table is about another table, the one of the last ANALYZE: before anything else is tried, the
    statement is worth a new plan.

    Fix: ANALYZE the table (plans.never-analyzed says why it is due), then look at the plan again.

    Example: the costliest statement joins imports, of which three quarters came after the last ANALYZE: ANALYZE imports, and
    see its plan again.

    Source: PostgreSQL manual, "Updating Planner Statistics"; "Statistics Used by the Planner"

    Observed: table, modified_since_analyze, rows, share, statement
    """
    plans, statements, catalog = evidence.get(Plans), evidence.get(Statements), evidence.get(Catalog)
    usage, known = evidence.get(Usage), pattern_by_query_id(evidence)
    if not plans.plans:
        raise NotApplicable("no statement ran that has a plan")
    yield Examined(len(plans.plans), len(plans.plans) + len(plans.unplanned), "plans")
    for plan in plans.plans:
        entry, pattern = statements.by_id.get(plan.query_id), known.get(plan.query_id)
        if entry is None or pattern is None or statements.share(entry) < evidence.limit("heavy_share"):
            continue
        for oid in dict.fromkeys(pattern.tables):
            table = catalog.table_by_oid.get(oid)
            if table is None or table.kind != "table" or not is_of_the_application(table):
                continue
            state = _state(evidence, table, usage.table_by_oid.get(oid))
            if not isinstance(state, Stale) or state.rows < evidence.limit("seq_scan_rows"):
                continue
            places = statement_places(evidence, pattern)
            yield Finding(
                statement_subject(pattern),
                f"{statement_in_words(pattern, catalog)} is planned without true statistics of {table_in_words(catalog, oid)}"
                f"{place_in_words(places)}",
                Fix("ANALYZE the table first; judge the plan after that.",
                    sql=f"ANALYZE {table.subject.name};", lock="SHARE UPDATE EXCLUSIVE", undo="Nothing to undo."),
                observed={**statement_figures(evidence, pattern), "table": table.subject.name, "rows": round(state.rows),
                          "modified_since_analyze": state.changed},
                related=(table.subject,),
                locations=places,
                discriminator=table.subject.name,
            )  # fmt: skip


@check(
    "plans.partitions-scanned",
    catalogue="P38",
    severity=Severity.LOW,
    needs=[Catalog, Usage, Server],
    window="window_days",
)
def partitions_scanned(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The partitions of a table are mostly read as a whole.

    Their statements find too few rows by the key, or by an index that each partition would need: every one of them scans what
    partitioning was to keep away.

    Fix: See which statements do it (plans.no-partition-pruning, plans.wasteful-sequential-scan), and index what they compare.

    Example: 60 partitions of events with 40,000 sequential scans each in a week: WHERE user_id = $1 has an index on none of
    them.

    Source: PostgreSQL manual, "Best Practices for Declarative Partitioning"

    Observed: partitions, sequential_scans, index_scans, rows_per_scan
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    roots = [table for table in catalog.tables
             if table.kind == "partitioned" and not table.is_partition and is_of_the_application(table)]  # fmt: skip
    if not roots:
        raise NotApplicable("no table is partitioned")
    yield Examined(len(roots), len(roots), "partitioned tables")
    for root in roots:
        used = [entry for part in leaves(catalog, root) if (entry := usage.table_by_oid.get(part.oid))]
        full = [entry for entry in used if entry.live_tuples >= evidence.limit("seq_scan_rows")]
        scans, found = sum(entry.sequential_scans for entry in full), sum(entry.index_scans for entry in full)
        read = sum(entry.sequential_tuples for entry in full)
        each = read / scans if scans else 0.0
        if len(full) < 2 or scans < evidence.limit("chatty_calls_min") or scans <= found:
            continue
        if each >= evidence.limit("seq_scan_rows"):
            yield Finding(
                root.subject,
                f"Partitions of {root.subject.name} were scanned as a whole {scans:,} times, {each:,.0f} rows each",
                Fix("Find the statements that do it; compare the partition key, or index what they compare instead."),
                observed={
                    "partitions": len(full),
                    "sequential_scans": scans,
                    "index_scans": found,
                    "rows_per_scan": round(each),
                },
            )
