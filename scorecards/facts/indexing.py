"""Facts about indexes that decide criteria."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, PlannerStatistics, Statements
from checks.evidence.evidence import Evidence
from checks.indexing.needs import Need, needs
from checks.indexing.serving import serving_index
from checks.model import NotApplicable, Unknown, quote_identifier
from checks.schema.code_keys import promises_of_uniqueness
from checks.schema.migration_review import Review
from scorecards.facts.verdict import Verdict, absent, listed, met, undecided, unmet
from scorecards.rubric import Strength

_BUILDING = ("create_index", "drop_index", "reindex")


def uniqueness_promised(evidence: Evidence) -> Verdict:
    """Whether any rule of uniqueness was read in the code. Where none was, that may be for want of understanding it."""
    try:
        promised = promises_of_uniqueness(evidence)
    except NotApplicable as absence:
        return undecided(str(absence))
    if not promised:
        return undecided("no rule of uniqueness was read in the code")
    tables = sorted({promise.table.subject.name for promise in promised})
    return met(f"rules of uniqueness in the code: {listed(tables)}", Strength.INFERRED)


def indexes_built_concurrently(evidence: Evidence) -> Verdict:
    """Whether new migrations build and drop indexes of tables in use, and how. That none does now proves nothing."""
    try:
        review = Review(evidence)
    except NotApplicable as absence:
        return absent(str(absence))
    except Unknown as unseen:
        return undecided(f"the migrations could not be judged ({unseen.gap.reason.value.replace('_', ' ')})")
    steps = [(change, step) for change in review.changes for step in change.steps(*_BUILDING)]
    if not steps:
        return undecided("no new migration builds or drops an index of a table that is in use")
    blocking = list(dict.fromkeys(change.file.path for change, step in steps if not step.concurrently))
    if blocking:
        return unmet(f"not CONCURRENTLY: {listed(blocking)}", Strength.INFERRED)
    return met(f"{len(steps)} of {len(steps)} indexes in new migrations CONCURRENTLY", Strength.INFERRED)


def fixed_predicates_served(evidence: Evidence) -> Verdict:
    """Whether an index serves each statement that ran and always asks for the same small part of a large table: the rows where a
    column is null, or is not. Other constants are not to be told from parameters in what the server keeps of statements."""
    evidence.get(Statements)
    evidence.get(PlannerStatistics)
    fixed = [need for need in needs(evidence) if need.statement is not None and _always_small(evidence, need)]
    if not fixed:
        return absent("no statement that ran asks always for the same small part of a large table")
    unserved = [need for need in fixed if serving_index(evidence, need) is None]
    if unserved:
        told = (f"{need.table.subject.name} where {' and '.join(_tests(need))}" for need in unserved)
        return unmet(f"no index serves {listed(list(dict.fromkeys(told)))}")
    return met(f"{len(fixed)} of {len(fixed)} statements with such a part are served by an index")


def _always_small(evidence: Evidence, need: Need) -> bool:
    catalog, statistics = evidence.get(Catalog), evidence.get(PlannerStatistics)
    if need.rows is None or need.rows < evidence.limit("seq_scan_rows"):
        return False
    for name, test in need.null_tests:
        column = catalog.column_named(need.table.oid, name)
        entry = statistics.by_column.get((column.table, column.number)) if column else None
        if entry is not None:
            share = entry.null_share if test == "is null" else 1 - entry.null_share
            if share < evidence.limit("seq_scan_selectivity"):
                return True
    return False


def _tests(need: Need) -> list[str]:
    return [f"{quote_identifier(name)} {test}" for name, test in need.null_tests]
