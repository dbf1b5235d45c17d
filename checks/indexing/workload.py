"""Does the workload find its rows by an index?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.advised import advised_fix
from checks.evidence.database.facts import Catalog, PlannerStatistics, Statements
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.candidates import candidates
from checks.indexing.coverage import covering_index
from checks.indexing.needs import Need, needs, planned_as_scan
from checks.indexing.proposals import Candidate, Purpose, creation
from checks.indexing.write_costs import cost_in_words, write_cost
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Reason,
    Severity,
    Unobserved,
)
from checks.registry import check
from checks.relations import column_list, reviewed_tables, user_name
from checks.workload import statement_places

_STATEMENTS_SHOWN = 5
_HIGH_SHARE = 0.05
_FEW_CALLS = 10
# Below both, an index saves too little to be asked for soon.
_WORTH_SHARE = 0.01
_WORTH_MS = 10.0


@check("indexing.missing-index", catalogue="I19 I20", severity=Severity.MEDIUM, needs=[Catalog, Statements])
@once_per_family
def missing_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements that ran choose or sort rows of a large table by columns that no index serves.

    The planner's statistics say that the filter leaves a small part of the table, or a LIMIT takes a page of it, yet without an
    index every call reads all of it, and twice as much when the table has doubled. Where the statement's plan is known, it
    shows the sequential scan; a statement whose plan uses an index is not reported. One finding stands for all statements that
    the same index would serve.

    Fix: Create an index with the columns compared for equality first, then one range or sort column; only over the rows that
    a test for null leaves, where those are few.

    Example: SELECT ... FROM messages WHERE conversation_id = $1 ORDER BY created_at DESC LIMIT 20 reads the whole table; an index
    on (conversation_id, created_at) serves it.

    Source: PostgreSQL manual, "Indexes", section "Multicolumn Indexes", "Partial Indexes"; "pg_stats"

    Observed: columns, predicate, rows, rows_left, statements, calls, mean_ms, share, planned, indexes_on_table, table_writes,
    hot_share, blocks_hot, estimated_bytes
    """
    catalog = evidence.get(Catalog)
    reviewed_tables(catalog)
    asked = [need for need in needs(evidence) if need.statement is not None and _is_large(evidence, need)]
    if not asked and not evidence.get(Statements).hidden:
        raise NotApplicable("no statement that ran chooses rows of a large table by equality")
    known = [need for need in asked if need.rows is not None and (need.rows_left is not None or need.limited)]
    for candidate in candidates(evidence):
        if candidate.purpose in {Purpose.FILTER, Purpose.ORDER, Purpose.JOIN}:
            scanned = unserved(evidence, candidate)
            if scanned is not None and scanned.ran and not _is_foreign_key_alone(catalog, scanned):
                yield _finding(evidence, scanned)
    yield Examined(len(known), len(asked), "filters of large tables", _gap(evidence, len(asked) - len(known)))


def _is_large(evidence: Evidence, need: Need) -> bool:
    large = need.rows is None or need.rows >= evidence.limit("seq_scan_rows")
    return large and bool(need.equal or (need.order and need.limited))


def unserved(evidence: Evidence, candidate: Candidate) -> Candidate | None:
    """The candidate for those of its statements whose plan is not known to use an index; None if there are none."""
    left = tuple(need for need in candidate.needs if planned_as_scan(evidence, need) is not False)
    return msgspec.structs.replace(candidate, needs=left) if left else None


def _is_foreign_key_alone(catalog: Catalog, candidate: Candidate) -> bool:
    """Whether it is what a foreign key without an index wants, for joins over it or for its columns alone: that has a finding of
    its own, which names the statements."""
    joined = {name for need in candidate.needs for name in need.joined}
    for key in catalog.constraints_of(candidate.table):
        if key.kind != "foreign_key" or covering_index(catalog, key):
            continue
        columns = {catalog.column(key.table, number).name for number in key.columns}
        if candidate.purpose is Purpose.JOIN and columns & joined:
            return True
        if candidate.predicate is None and set(candidate.columns) == columns:
            return True
    return False


def _finding(evidence: Evidence, candidate: Candidate) -> Finding:
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    table, cost = catalog.table_by_oid[candidate.table], write_cost(evidence, candidate)
    ran = list({need.statement.query_id: need.statement for need in candidate.needs if need.statement}.values())
    calls, total_ms = sum(one.calls for one in ran), sum(one.total_ms for one in ran)
    share = sum(statements.share(one) for one in ran)
    costly = share >= _WORTH_SHARE or total_ms >= _WORTH_MS * calls
    severity = (
        Severity.HIGH if share >= _HIGH_SHARE else Severity.MEDIUM if calls >= _FEW_CALLS and costly else Severity.LOW
    )
    planned = any(planned_as_scan(evidence, need) for need in candidate.needs)
    verb = {Purpose.ORDER: "order by", Purpose.JOIN: "join on"}.get(candidate.purpose, "filter on")
    where = f" where {candidate.predicate}" if candidate.predicate else ""
    return Finding(
        table.subject,
        f"No index of {table.subject.name} serves the {verb} ({column_list(candidate.columns)}){where}",
        _fix(evidence, candidate),
        severity=severity,
        confidence=Confidence.MEASURED if planned else Confidence.INFERRED,
        observed={
            "columns": list(candidate.columns),
            **({"predicate": candidate.predicate} if candidate.predicate else {}),
            "rows": round(candidate.needs[0].rows or 0.0),
            "rows_left": None if candidate.rows_left is None else round(candidate.rows_left, 1),
            "statements": [one.query_id for one in ran][:_STATEMENTS_SHOWN],
            "calls": calls,
            "mean_ms": round(total_ms / calls, 3) if calls else None,
            "share": round(share, 4),
            "planned": planned,
            "indexes_on_table": cost.indexes,
            "table_writes": cost.writes,
            "hot_share": cost.hot_share,
            "blocks_hot": list(cost.blocks_hot),
            "estimated_bytes": cost.bytes,
        },
        locations=places(evidence, candidate),
        discriminator=candidate.discriminator,
    )


def places(evidence: Evidence, candidate: Candidate) -> tuple[Location, ...]:
    """Where the code sends its statements from, of the costliest first."""
    return tuple(dict.fromkeys(place for need in candidate.needs for place in statement_places(evidence, need.pattern)))


def _fix(evidence: Evidence, candidate: Candidate) -> Fix:
    catalog = evidence.get(Catalog)
    numbers = [column.number for name in candidate.columns if (column := catalog.column_named(candidate.table, name))]
    keys = [
        key
        for key in catalog.constraints_of(candidate.table)
        if key.kind == "foreign_key"
        and set(numbers[: len(key.columns)]) == set(key.columns)
        and not covering_index(catalog, key)
    ]
    summary = "Create an index with the columns compared for equality first."
    if keys and candidate.predicate is None:
        summary += f" It serves the foreign key {catalog.constraint_subject(keys[0]).name} too."
    own = creation(catalog, candidate, summary + cost_in_words(write_cost(evidence, candidate)))
    table = catalog.table_by_oid[candidate.table]
    return advised_fix(evidence, (table.schema, table.name), candidate.statements, own)


def _gap(evidence: Evidence, unknown: int) -> Unobserved | None:
    """Why part of the filters could not be judged."""
    if evidence.get(Statements).hidden:
        return Unobserved(Reason.NOT_PERMITTED, f"GRANT pg_read_all_stats TO {user_name(evidence)};")
    if not unknown:
        return None
    if gap := evidence.gap(PlannerStatistics):
        return gap
    if evidence.get(PlannerStatistics).hidden_tables:
        return Unobserved(Reason.NOT_PERMITTED, f"GRANT pg_read_all_data TO {user_name(evidence)};")
    return Unobserved(Reason.NOT_RUN, "ANALYZE the tables that never were")
