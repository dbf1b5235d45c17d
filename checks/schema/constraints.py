"""Do constraints hold for every row?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables

_WORDS = {"foreign_key": "Foreign key", "check": "Check constraint"}


@check("schema.constraint-not-validated", catalogue="S04", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def constraint_not_validated(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A constraint was left NOT VALID.

    New rows obey it, rows from before it may not: readers of the schema, and the planner's own proofs, cannot rely on it, a
    dump of the data may not restore, and an old row that breaks the rule fails only when somebody updates it. It is usually
    the first half of a safe migration whose second half never ran.

    Fix: VALIDATE CONSTRAINT, which lets reads and writes go on.

    Example: ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users NOT VALID, and no VALIDATE CONSTRAINT after
    it: the orders of users that were deleted before are still there.

    Source: PostgreSQL manual, "ALTER TABLE", ADD table_constraint NOT VALID and VALIDATE CONSTRAINT

    Observed: kind, rows, total_bytes, referenced_table.
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table in reviewed_tables(catalog)}
    examined = [
        entry
        for entry in catalog.constraints
        if entry.table in tables and entry.kind in _WORDS and entry.enforced and entry.parent is None
    ]
    if not examined:
        raise NotApplicable("no table has a foreign key or a check constraint")
    for constraint in examined:
        if constraint.validated:
            continue
        table, subject = tables[constraint.table], catalog.constraint_subject(constraint)
        rows = estimated_rows(evidence, table)
        referenced = catalog.table_by_oid.get(constraint.referenced_table or 0)
        yield Finding(
            subject,
            f"{_WORDS[constraint.kind]} {subject.name} is not validated",
            _fix(constraint, qualified_name(table.schema, table.name)),
            severity=Severity.MEDIUM if rows is None or rows > 0 else Severity.LOW,
            observed={
                "kind": constraint.kind,
                "rows": None if rows is None else round(rows),
                "total_bytes": table.total_bytes,
                "referenced_table": referenced.subject.name if referenced else None,
            },
            related=(table.subject, *((referenced.subject,) if referenced else ())),
        )
    yield Examined(len(examined), len(examined), "foreign keys and check constraints")


def _fix(constraint: Constraint, table: str) -> Fix:
    lock = "SHARE UPDATE EXCLUSIVE"
    if constraint.kind == "foreign_key":
        lock += ", and ROW SHARE on the referenced table"
    return Fix(
        "Validate it: this reads the table once and changes nothing. If rows break the rule it fails and names one; "
        "correct those rows first.",
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote_identifier(constraint.name)};",
        lock=lock,
        undo="Nothing is changed but the catalog's mark; there is no need to undo it.",
    )
