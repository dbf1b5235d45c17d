"""What was chosen to identify rows."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Constraint, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, quote_identifier
from checks.registry import check
from checks.relations import column_list, estimated_rows, reviewed_tables
from checks.schema.columns import TEXTS, words
from checks.schema.habits import CROWD, once_per_habit

_BUSINESS = frozenset(
    "email mail username login name title phone mobile slug sku isbn ean iban domain url path address".split()
)
_UNFIT = frozenset("float4 float8 json jsonb xml timestamp timestamptz time timetz money".split())
_MANY = 4


@check("schema.natural-primary-key", catalogue="S43", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} tables of schema {schema} are identified by what changes, or by unfit types",
    CROWD,
)
def natural_primary_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table is identified by something that changes, or by a type unfit to identify.

    An e-mail address, a name or a slug changes one day, and with it every row that refers to it; a floating-point number or an
    instant is equal to itself only by luck. Reported where other tables refer to the key.

    Fix: A key without meaning; the natural one stays UNIQUE.

    Example: CREATE TABLE users (email text PRIMARY KEY), and orders.user_email REFERENCES users: whoever changes their
    address changes every order, by ON UPDATE CASCADE or by hand.

    Source: PostgreSQL manual, "Constraints", section "Primary Keys"

    Observed: columns, types, referencing_tables, rows.
    """
    catalog = evidence.get(Catalog)
    keys = _primary_keys(catalog)
    for table, key, columns in keys:
        unfit = [column for column in columns if column.base_type in _UNFIT and len(columns) == 1]
        business = [
            column
            for column in columns
            if len(columns) == 1 and column.base_type in TEXTS and set(words(column.name)[-1:]) & _BUSINESS
        ]
        referencing = {reference.table for reference in catalog.references_to(table.oid)} - {table.oid}
        if not unfit and not (business and referencing):
            continue
        rows, subject = estimated_rows(evidence, table), catalog.constraint_subject(key)
        what = ", ".join(f"{quote_identifier(column.name)} ({column.type})" for column in unfit or business)
        yield Finding(
            subject,
            f"Table {table.subject.name} is identified by {what}",
            Fix("Give the table a key without meaning, let the others refer to that, and keep this one UNIQUE."),
            severity=Severity.LOW if unfit else Severity.NOTE,
            confidence=Confidence.MEASURED if unfit else Confidence.INFERRED,
            observed={
                "columns": [column.name for column in columns],
                "types": [column.type for column in columns],
                "referencing_tables": len(referencing),
                "rows": None if rows is None else round(rows),
            },
            related=(table.subject,),
        )
    yield Examined(len(keys), len(keys), "primary keys")


@check("schema.wide-primary-key", catalogue="S44", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} are referred to by many columns", CROWD)
def wide_primary_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A primary key has many columns, and other tables refer to it.

    Each referencing table repeats all of them, in the row and in the index that the foreign key needs, and every join names each.
    A table of pairs to which nothing refers is well served by such a key, and is left out.

    Fix: A key of one column for what is referred to; the combination stays UNIQUE.

    Example: PRIMARY KEY (tenant_id, region, year, number) on invoices, and invoice_lines references it: each line and
    its index repeat four columns, and every join compares all of them.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: columns, referencing_tables, rows.
    """
    catalog = evidence.get(Catalog)
    keys = _primary_keys(catalog)
    for table, key, columns in keys:
        referencing = {reference.table for reference in catalog.references_to(table.oid)} - {table.oid}
        if len(columns) < _MANY or not referencing:
            continue
        rows = estimated_rows(evidence, table)
        yield Finding(
            catalog.constraint_subject(key),
            f"{len(referencing)} {'tables refer' if len(referencing) > 1 else 'table refers'} to {table.subject.name} by "
            f"{len(columns)} columns",
            Fix(
                f"Give the table a key of one column, and keep ({column_list(column.name for column in columns)}) UNIQUE."
            ),
            observed={
                "columns": [column.name for column in columns],
                "referencing_tables": len(referencing),
                "rows": None if rows is None else round(rows),
            },
            related=(table.subject,),
        )
    yield Examined(len(keys), len(keys), "primary keys")


def _primary_keys(catalog: Catalog) -> list[tuple[Table, Constraint, list[Column]]]:
    found = [
        (table, entry, [catalog.column(table.oid, number) for number in entry.columns])
        for table in reviewed_tables(catalog)
        for entry in catalog.constraints_of(table.oid)
        if entry.kind == "primary_key"
    ]
    if not found:
        raise NotApplicable("no table has a primary key")
    return found
