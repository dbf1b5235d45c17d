"""Do foreign keys fit what they refer to?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import is_reviewed

_WIDTHS = {"int2": 0, "int4": 1, "int8": 2}
_TEXT = frozenset({"text", "varchar"})


@check("schema.foreign-key-type-mismatch", catalogue="S03", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def foreign_key_type_mismatch(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign-key column has another type than the column it references.

    An integer that refers to a bigint is an outage with a date: inserts fail once the parent's key passes the child's range.
    Other mixtures make every join convert one side, which can keep an index from being used, and leave values that one side
    can hold and the other cannot.

    Fix: Give both columns the wider of the two types.

    Example: items.order_id integer REFERENCES orders (id), where id is bigint: after order 2,147,483,647 every INSERT
    into items fails with "integer out of range".

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"; "Numeric Types"

    Observed: type, referenced_type, referenced_column.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    for key in keys:
        for number, referenced_number in zip(key.columns, key.referenced_columns, strict=True):
            column = catalog.column(key.table, number)
            referenced = catalog.columns_of(key.referenced_table or 0).get(referenced_number)
            if referenced is None or (severity := _severity(column, referenced)) is None:
                continue
            subject, other = catalog.column_subject(column), catalog.column_subject(referenced)
            constraint = catalog.constraint_subject(key)
            yield Finding(
                constraint,
                f"Foreign key {constraint.name} is {column.type}, but references {other.name}, which is {referenced.type}",
                _fix(catalog, column, referenced),
                severity=severity,
                observed={"type": column.type, "referenced_type": referenced.type, "referenced_column": other.name},
                related=(subject, other),
                discriminator=column.name if len(key.columns) > 1 else "",
            )
    yield Examined(len(keys), len(keys), "foreign keys")


def reviewed_foreign_keys(catalog: Catalog) -> list[Constraint]:
    """Foreign keys of the reviewed tables, a partitioned table's once. Raises NotApplicable if there is none."""
    found = [
        entry
        for entry in catalog.constraints
        if entry.kind == "foreign_key" and entry.parent is None and is_reviewed(catalog.table_by_oid[entry.table])
    ]
    if not found:
        raise NotApplicable("no foreign keys")
    return found


def _severity(column: Column, referenced: Column) -> Severity | None:
    """How bad it is that the two types differ; None if they do not."""
    if column.base_type == referenced.base_type:
        same_but_for_length = column.type.partition("(")[0] == referenced.type.partition("(")[0]
        if not same_but_for_length or column.type_modifier == referenced.type_modifier:
            return None
        return Severity.LOW if _wider(referenced, column) else Severity.NOTE
    if column.base_type in _WIDTHS and referenced.base_type in _WIDTHS:
        return Severity.HIGH if _wider(referenced, column) else Severity.MEDIUM
    if {column.base_type, referenced.base_type} <= _TEXT:
        return Severity.LOW
    return Severity.MEDIUM


def _wider(column: Column, than: Column) -> bool:
    """Whether `column` holds values that `than` cannot."""
    if column.base_type in _WIDTHS and than.base_type in _WIDTHS:
        return _WIDTHS[column.base_type] > _WIDTHS[than.base_type]
    if column.base_type == than.base_type:
        return than.type_modifier >= 0 and (column.type_modifier < 0 or column.type_modifier > than.type_modifier)
    return column.base_type == "text"


def _fix(catalog: Catalog, column: Column, referenced: Column) -> Fix:
    narrow, wide = (referenced, column) if _wider(column, referenced) else (column, referenced)
    table = catalog.table_by_oid[narrow.table]
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(narrow.name)} TYPE"
    rewrites = not (narrow.base_type == wide.base_type or {narrow.base_type, wide.base_type} <= _TEXT)
    summary = f"Give {catalog.column_subject(narrow).name} the type {wide.type}."
    if rewrites:
        summary += " On a large table add a column of that type, fill it in batches, then swap the two."
    if {narrow.base_type, wide.base_type} <= _WIDTHS.keys() or not rewrites:
        return Fix(summary, f"{alter} {wide.type};", lock="ACCESS EXCLUSIVE", rewrites=rewrites,
                   undo=f"{alter} {narrow.type};")  # fmt: skip
    return Fix(
        summary,
        f"{alter} {wide.type} USING {quote_identifier(narrow.name)}::{wide.type};",
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=f"{alter} {narrow.type} USING {quote_identifier(narrow.name)}::{narrow.type};",
    )
