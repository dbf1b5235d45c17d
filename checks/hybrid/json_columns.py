"""Documents stored as json, which is text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.families import once_per_family
from checks.hybrid.documents import compares, document_columns
from checks.hybrid.framework_tables import advised
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows
from checks.selectivity import rows_left_by_equalities
from checks.workload import (
    place_in_words,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
    workload_seen,
)

SHOWN = 5
HABIT = 3


@check("hybrid.json-not-jsonb", catalogue="H01", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def json_not_jsonb(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Documents are stored as json, which is text.

    json is parsed anew each time a statement looks inside it, has no equality and can have no GIN index: the larger the
    documents, the slower each key. Where a document is only stored and returned as it came, json is right: it keeps the order
    of keys and the spaces.

    Fix: ALTER the column to jsonb; on a large table by a new column, a backfill in batches and a swap.

    Example: langchain_pg_embedding.cmetadata json, and WHERE cmetadata ->> 'source' = $1: every row's text is parsed for every
    search; a GIN index cannot be built.

    Source: PostgreSQL manual, "JSON Types"

    Observed: rows, statements_looking_inside, default_kind
    """
    catalog = evidence.get(Catalog)
    columns = document_columns(catalog, "json")
    every = len(columns) + len(document_columns(catalog, "jsonb"))
    if not every:
        raise NotApplicable("no table has a json or jsonb column")
    known = unread_statements(evidence) is None or evidence.find(Repository) is not None
    found = [
        _as_text(evidence, catalog, table, column, _looking_inside(evidence, catalog, column), known)
        for table, column in columns
    ]
    notes: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.severity is Severity.NOTE:
            notes.setdefault(finding.subject.path[0], []).append(finding)
        else:
            yield finding
    for schema, only_kept in notes.items():
        if len(only_kept) < HABIT:
            yield from only_kept
        else:
            yield _habit(schema, only_kept)
    yield Examined(every, every, "document columns", unmet=len(found))


def _habit(schema: str, notes: list[Finding]) -> Finding:
    """What a whole schema does is one finding."""
    first = notes[0]
    return Finding(
        Subject("schema", (schema,)),
        f"{len(notes)} columns of schema {quote_identifier(schema)} are json, and no statement seen looks inside one",
        Fix("jsonb for new columns; those that are only kept and returned may stay as they are."),
        severity=Severity.NOTE,
        confidence=first.confidence,
        observed={"number": len(notes), "names": [finding.subject.name for finding in notes[:50]]},
        related=tuple(finding.subject for finding in notes[:SHOWN]),
    )


def _looking_inside(evidence: Evidence, catalog: Catalog, column: Column) -> list[AccessPattern]:
    """Statements that take a document apart, in a condition or in what they return."""
    taken_apart = re.compile(
        rf'(?<![\w"])"?{re.escape(column.name)}"?\s*(?:->|#>)|json_\w+\(\s*(?:\w+\.)?"?{re.escape(column.name)}\b'
    )
    tables = {column.table} | {table.oid for table in catalog.tables if table.root == column.table}
    return [
        pattern
        for pattern in workload_seen(evidence)
        if any(
            entry.json_operator and compares(catalog, entry, column)
            for entry in (*pattern.comparisons, *(sort.key for sort in pattern.sorts))
        )
        or (
            tables & set(pattern.tables)
            and not _is_ambiguous(catalog, pattern, column, tables)
            and taken_apart.search(pattern.text)
        )
    ]


def _is_ambiguous(catalog: Catalog, pattern: AccessPattern, column: Column, tables: set[int]) -> bool:
    """Whether another table of the statement has a column of that name too."""
    return any(oid not in tables and column.name in catalog.column_names.get(oid, {}) for oid in pattern.tables)


def _parses_many(evidence: Evidence, table: Table, looking: list[AccessPattern], rows: float) -> bool:
    """Whether one of the statements looks into more documents than a sequential scan may read."""
    known = [pattern for pattern in looking if pattern.all_filters_known]
    left = [rows_left_by_equalities(evidence, pattern, table.oid, rows) for pattern in known]
    return any((rows if each is None else each) > evidence.limit("seq_scan_rows") for each in left)


def _as_text(
    evidence: Evidence, catalog: Catalog, table: Table, column: Column, looking: list[AccessPattern], known: bool
) -> Finding:
    subject = catalog.column_subject(column)
    rows = estimated_rows(evidence, table)
    places = tuple(dict.fromkeys(place for pattern in looking for place in statement_places(evidence, pattern)))
    if looking:
        count = "a statement looks" if len(looking) == 1 else f"{len(looking)} statements look"
        title = f"Column {subject.name} is json, and {count} inside it{place_in_words(places)}"
        severity = Severity.HIGH if _parses_many(evidence, table, looking, rows or 0) else Severity.MEDIUM
    else:
        title = f"Column {subject.name} is json" + (", and no statement seen looks inside it" if known else "")
        severity = Severity.NOTE if known else Severity.LOW
    name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    alter = f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE"
    measured = (known and not looking) or (looking and any(pattern.query_id for pattern in looking))
    return Finding(
        subject,
        title,
        advised(
            catalog,
            table,
            Fix(
                "Change it to jsonb. That rewrites the table under an exclusive lock: on a large one add a jsonb column, fill it "
                "in batches, and swap the names.",
                sql=f"{alter} jsonb USING {name}::jsonb;",
                lock="ACCESS EXCLUSIVE",
                rewrites=True,
                undo=f"{alter} json USING {name}::json; (the order of keys and duplicate keys are gone)",
            ),
        ),
        severity=severity,
        confidence=Confidence.MEASURED if measured else Confidence.INFERRED,
        observed={
            "rows": None if rows is None else round(rows),
            "statements_looking_inside": len(looking),
            "default_kind": column.default,
            **(statement_figures(evidence, looking[0]) if looking else {}),
        },
        related=tuple(statement_subject(pattern) for pattern in looking[:SHOWN]),
        locations=places,
    )
