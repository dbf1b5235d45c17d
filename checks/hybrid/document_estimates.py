"""What the planner takes for a document where it has no statistics, against what came."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, PlannerStatistics, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.families import once_per_family
from checks.hybrid.documents import compares, document_columns
from checks.json_paths import CONTAINMENT, Way, comparisons_with_keys, way_of
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
from checks.relations import estimated_rows, quote_literal
from checks.workload import (
    observed_workload,
    place_in_words,
    rows_per_call,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
)

GUESSED_BY_KEY = 0.005
GUESSED_BY_RANGE = 1 / 3
GUESSED_BY_CONTAINMENT = 0.01
UNSAMPLED_WIDTH = 1_024


@check("hybrid.document-estimate-guessed", catalogue="H05", severity=Severity.MEDIUM,
       needs=[Catalog, Statements, PlannerStatistics])  # fmt: skip
@once_per_family
def document_estimate_guessed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner guesses how many documents match, and is far off.

    It has no statistics of keys: document ->> 'key' = value counts as 0.5 % of the rows, whatever the value, and a range of it as
    a third. Containment is
    estimated from sampled documents, but those of more than about 1 kB are not sampled, and then it is 1 %. Wrong by
    ten or a hundred times, joins above it take the wrong way.

    Fix: CREATE STATISTICS on the expression, or an index on it, then ANALYZE; a column of its own for what wide documents hold.

    Example: WHERE data ->> 'status' = 'active' on 100,000 rows: the planner expects 500 of them and 50,000 come; after CREATE
    STATISTICS status_of ON (data ->> 'status') FROM orders and ANALYZE it expects 50,000.

    Source: PostgreSQL manual, "CREATE STATISTICS" (expressions, from 14); measured on 13 to 18

    Observed: key, guessed_rows, returned_rows, rows, average_bytes, statement, calls, mean_ms
    """
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    statistics = evidence.get(PlannerStatistics)
    columns = document_columns(catalog, "jsonb")
    if not columns:
        raise NotApplicable("no table has a jsonb column")
    examined = 0
    for table, column in columns:
        rows = estimated_rows(evidence, table) or 0
        entry = statistics.by_column.get((table.oid, column.number))
        wide = entry is not None and entry.average_width > UNSAMPLED_WIDTH
        for pattern in observed_workload(evidence):
            alone = _alone(evidence, pattern, table)
            ran = statements.by_id.get(pattern.query_id or "")
            if alone is None or ran is None or not compares(catalog, alone, column):
                continue
            way = way_of(alone)
            if way is None or _is_known(catalog, column, alone):
                continue
            share = _guess(way, wide)
            if share is None:
                continue
            examined += 1
            guessed = rows * share
            returned = rows_per_call(ran)
            factor = max(returned / max(guessed, 1), guessed / max(returned, 1))
            if factor >= evidence.limit("misestimate_factor") and rows > evidence.limit("seq_scan_rows"):
                width = entry.average_width if entry else None
                yield _guessed(evidence, table, column, pattern, alone, guessed, returned, rows, width)
    yield Examined(examined, examined, "statements with one condition on a document", gap=unread_statements(evidence))


def _guess(way: Way, wide: bool) -> float | None:
    """The share of the rows that the planner takes where it knows nothing; None if it knows, or this is not known here."""
    if way.json_operator in {"->>", "#>>"}:
        if way.operators <= {"="}:
            return GUESSED_BY_KEY
        return GUESSED_BY_RANGE if way.operators <= {"<", "<=", ">", ">="} else None
    return GUESSED_BY_CONTAINMENT if wide and way.json_operator is None and way.operators <= CONTAINMENT else None


def _alone(evidence: Evidence, pattern: AccessPattern, table: Table) -> Comparison | None:
    """The statement's only comparison, where what it returned tells how many rows matched."""
    plain = pattern.verb == "select" and pattern.limit is None and not pattern.aggregates
    if not plain or pattern.joined_relations > 1 or len(pattern.comparisons) != 1 or pattern.tables != (table.oid,):
        return None
    known = comparisons_with_keys(evidence, pattern)
    return known[0] if len(known) == 1 else pattern.comparisons[0]


def _is_known(catalog: Catalog, column: Column, comparison: Comparison) -> bool:
    """Whether statistics on an expression of the column tell of that key: by an index or by CREATE STATISTICS."""
    expressions = [
        key.expression or ""
        for index in catalog.indexes_of(column.table)
        for key in index.keys
        if column.number in key.expression_columns
    ]
    expressions += [
        text for entry in catalog.extended_statistics if entry.table == column.table for text in entry.expressions
    ]
    key = comparison.json_key or ""
    if not key or "$" in key:
        # Which key it is was normalised away: any of the known may be it.
        return any(re.search(r"->>|#>>", text) and column.name in text for text in expressions)
    return any(quote_literal(key).strip() in text for text in expressions)


def _guessed(
    evidence: Evidence,
    table: Table,
    column: Column,
    pattern: AccessPattern,
    comparison: Comparison,
    guessed: float,
    returned: float,
    rows: float,
    width: int | None,
) -> Finding:
    catalog = evidence.get(Catalog)
    subject, places = catalog.column_subject(column), statement_places(evidence, pattern)
    key = comparison.json_key if comparison.json_key and "$" not in comparison.json_key else None
    what = f"a key of {subject.name}" if comparison.json_operator else f"{comparison.operator} on {subject.name}"
    if key:
        what = f"{subject.name} ->> {quote_literal(key).strip()}"
    document, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    if key and "." not in key:
        name = quote_identifier(f"{table.name}_{column.name}_{re.sub(r'[^a-z0-9]+', '_', key.lower())}"[:60])
        literal = quote_literal(key).strip()
        fix = Fix(
            "Statistics on the expression make the estimate exact; an index on it does too.",
            sql=f"CREATE STATISTICS {name} ON ({document} ->> {literal}) FROM {relation}; ANALYZE {relation};",
            lock="SHARE UPDATE EXCLUSIVE",
            undo=f"DROP STATISTICS {name};",
        )
    else:
        fix = Fix(
            "Take what is asked for out of the document into a column of its own, or CREATE STATISTICS on the expression as the "
            "statement writes it."
        )
    return Finding(
        subject,
        f"The planner takes {guessed:,.0f} rows for {what}, and {returned:,.0f} come{place_in_words(places)}",
        fix,
        severity=Severity.MEDIUM,
        confidence=Confidence.INFERRED,
        observed={
            "key": key,
            "guessed_rows": round(guessed),
            "returned_rows": round(returned, 1),
            "rows": round(rows),
            "average_bytes": width,
            **statement_figures(evidence, pattern),
        },
        related=(table.subject, statement_subject(pattern)),
        locations=places,
        discriminator=pattern.query_id or "",
    )
