"""How checks about columns speak: of each, or of the schema's habit where many columns are alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Finding, Fix, Severity, Subject, qualified_name, quote_identifier
from checks.relations import estimated_rows, reviewed_tables

HABIT_COLUMNS = 8
SHOWN = 5

TEXTS = frozenset({"text", "varchar", "bpchar", "citext"})

Placed = tuple[Table, Column]


def reviewed_columns(catalog: Catalog) -> list[Placed]:
    """Columns of the reviewed tables. Raises NotApplicable if there is no table."""
    return [(table, column) for table in reviewed_tables(catalog) for column in catalog.columns_of(table.oid).values()]


@lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """`customerId`, `CustomerID` and `customer_id` as its words in lower case."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return tuple(word for word in re.split(r"[^a-z0-9]+", split) if word)


def change_type(table: Table, column: Column, type_name: str, summary: str, *, rewrites: bool = True,
                using: str = "") -> Fix:  # fmt: skip
    """ALTER COLUMN TYPE; `using` is an expression of the column where no cast is automatic."""
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(column.name)} TYPE"
    back = f" USING {quote_identifier(column.name)}::{column.type}" if using else ""
    return Fix(
        summary,
        f"{alter} {type_name}{f' USING {using}' if using else ''};",
        lock="ACCESS EXCLUSIVE",
        rewrites=rewrites,
        undo=f"{alter} {column.type}{back};",
    )


def told(
    evidence: Evidence,
    columns: Iterable[Placed],
    title: Callable[[str, Column], str],
    habit: Callable[[str, int], str],
    fix: Callable[[Table, Column], Fix],
    severity: Severity,
    *,
    confidence: Confidence = Confidence.MEASURED,
    habit_columns: int = HABIT_COLUMNS,
) -> Iterator[Finding]:
    """A finding for each column; one for the whole schema where so many are alike that it is a habit, usually of an ORM.

    `title` is given the quoted name and the column, `habit` the quoted schema and the number of columns.
    """
    catalog = evidence.get(Catalog)
    by_schema: dict[str, list[Placed]] = {}
    for table, column in columns:
        by_schema.setdefault(table.schema, []).append((table, column))
    for schema, found in by_schema.items():
        if len(found) < habit_columns:
            for table, column in found:
                rows = estimated_rows(evidence, table)
                yield Finding(
                    subject := catalog.column_subject(column),
                    title(subject.name, column),
                    fix(table, column),
                    severity=severity,
                    confidence=confidence,
                    observed={"type": column.type, "rows": None if rows is None else round(rows)},
                    related=(table.subject,),
                )
            continue
        largest = sorted(
            found, key=lambda entry: (-(estimated_rows(evidence, entry[0]) or 0), entry[0].name, entry[1].name)
        )
        subjects = [catalog.column_subject(column) for _, column in largest[:SHOWN]]
        shown = fix(*largest[0])
        yield Finding(
            Subject("schema", (schema,)),
            habit(quote_identifier(schema), len(found)),
            Fix(f"Change the habit first, then the tables one by one, as shown for the largest. {shown.summary}",
                shown.sql, shown.lock, shown.rewrites, shown.undo),
            severity=severity,
            confidence=confidence,
            observed={
                "columns": len(found),
                "tables": len({table.oid for table, _ in found}),
                "largest": [subject.name for subject in subjects],
            },
            related=tuple(subjects),
        )  # fmt: skip
