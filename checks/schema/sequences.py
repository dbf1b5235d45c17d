"""How far is each numbered key from its end?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Sequence
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import feeding_sequence, reviewed_tables, user_name

_RANGES = {"int2": 2**15, "int4": 2**31, "int8": 2**63}
_NAMES = {"int2": "smallint", "int4": "integer", "int8": "bigint"}


class NumberedColumn(msgspec.Struct, frozen=True):
    """A column whose values a sequence gives."""

    column: Column
    sequence: Sequence

    @property
    def column_limit(self) -> int:
        """The last value the column's type can hold in the direction the sequence runs."""
        size = _RANGES[self.column.base_type]
        return size - 1 if self.sequence.increment > 0 else -size

    @property
    def sequence_limit(self) -> int:
        return self.sequence.maximum if self.sequence.increment > 0 else self.sequence.minimum

    @property
    def limit(self) -> int:
        """The nearer of both ends."""
        return min(self.column_limit, self.sequence_limit, key=abs)

    @property
    def used(self) -> float | None:
        """Share of the values up to the limit that are used, 0 to 1; None if the sequence may not be read."""
        if not self.sequence.readable:
            return None
        last = self.sequence.last_value
        if last is None or self.limit == 0 or (last < 0) != (self.limit < 0):
            return 0.0
        return min(1.0, last / self.limit)

    @property
    def cycles(self) -> bool:
        """Whether the sequence begins again before the column is full, so that it never ends."""
        return self.sequence.cycle and not self.outgrows_column

    @property
    def outgrows_column(self) -> bool:
        return abs(self.sequence_limit) > abs(self.column_limit)


def numbered_columns(catalog: Catalog) -> list[NumberedColumn]:
    """Integer columns of the reviewed tables that a sequence feeds. Raises NotApplicable if there is none."""
    found = [
        NumberedColumn(column, sequence)
        for table in reviewed_tables(catalog)
        for column in catalog.columns_of(table.oid).values()
        if column.base_type in _RANGES and (sequence := feeding_sequence(catalog, column))
    ]
    if not found:
        raise NotApplicable("no column takes its values from a sequence")
    return found


@check("schema.integer-key-running-out", catalogue="S30", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def integer_key_running_out(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A numbered key has used up a large share of its range.

    An integer key ends at 2,147,483,647, a smallint key at 32,767. The next insert fails, and so does every one after it,
    until the table has been rewritten under a lock that shuts everybody out; with 70 % used that is a project to plan now,
    with 90 % an incident in the making. Gaps count: rolled-back inserts and upserts use numbers too.

    Fix: Change the key, its sequence and every column that references it to bigint before the range ends.

    Example: id serial PRIMARY KEY at 2,000,000,000: at ten million rows a day, in two weeks INSERT fails with "nextval:
    reached maximum value of sequence "events_id_seq"".

    Source: PostgreSQL manual, "Numeric Types", section "Integer Types"; "CREATE SEQUENCE"

    Observed: used_share, last_value, limit, type, sequence, referencing_columns.
    """
    catalog = evidence.get(Catalog)
    numbered = numbered_columns(catalog)
    hidden = [entry for entry in numbered if entry.used is None]
    for entry in numbered:
        if entry.used is None or entry.cycles or entry.used < evidence.limit("key_used_note"):
            continue
        column, subject = entry.column, catalog.column_subject(entry.column)
        referencing = _referencing(catalog, column)
        by_sequence = abs(entry.sequence_limit) < abs(entry.column_limit)
        what = f"Sequence {entry.sequence.subject.name} of {subject.name}" if by_sequence else f"Key {subject.name}"
        yield Finding(
            subject,
            f"{what} has used {_percent(entry.used)} of its range",
            _wider_key(catalog, entry, referencing),
            severity=_severity(evidence, entry.used),
            observed={
                "used_share": round(entry.used, 4),
                "last_value": entry.sequence.last_value,
                "limit": entry.limit,
                "type": column.type,
                "sequence": entry.sequence.subject.name,
                "referencing_columns": [catalog.column_subject(other).name for other in referencing],
            },
            related=(entry.sequence.subject, *(catalog.column_subject(other) for other in referencing)),
        )
    gap = Unobserved(Reason.NOT_PERMITTED, _grant(evidence, hidden)) if hidden else None
    yield Examined(len(numbered) - len(hidden), len(numbered), "numbered columns", gap)


@check("schema.sequence-wider-than-column", catalogue="S32", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def sequence_wider_than_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A sequence gives out larger numbers than its column can hold.

    The sequence looks as if it had room for centuries, so monitoring that reads sequences stays green, while the column
    behind it ends at 2,147,483,647. The first number beyond is an error on insert, not a warning.

    Fix: Change the column to bigint, or tell the sequence the column's limit so that its used share is the true one.

    Example: id integer DEFAULT nextval('orders_id_seq') and CREATE SEQUENCE orders_id_seq, which is bigint: after
    2,147,483,647 INSERT fails with "integer out of range", while the sequence is hardly used.

    Source: PostgreSQL manual, "CREATE SEQUENCE", AS data_type

    Observed: used_share, last_value, limit, type, sequence, sequence_maximum.
    """
    catalog = evidence.get(Catalog)
    numbered = numbered_columns(catalog)
    for entry in numbered:
        if not entry.outgrows_column:
            continue
        subject, column = catalog.column_subject(entry.column), entry.column
        used = entry.used
        severity = Severity.LOW
        if used is not None and used >= evidence.limit("key_used_note"):
            severity = Severity.HIGH if used >= evidence.limit("key_used_high") else Severity.MEDIUM
        yield Finding(
            subject,
            f"Sequence {entry.sequence.subject.name} counts beyond what {subject.name} can hold",
            _wider_key(catalog, entry, _referencing(catalog, column)),
            severity=severity,
            observed={
                "used_share": None if used is None else round(used, 4),
                "last_value": entry.sequence.last_value,
                "limit": entry.column_limit,
                "type": column.type,
                "sequence": entry.sequence.subject.name,
                "sequence_maximum": entry.sequence_limit,
            },
            related=(entry.sequence.subject,),
        )
    yield Examined(len(numbered), len(numbered), "numbered columns")


@check("schema.sequence-running-out", catalogue="S31", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def sequence_running_out(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A sequence that feeds no column has used up a large share of its range.

    nextval() fails when it reaches the end, for every caller at once. Sequences that feed a column are judged with it; this
    one is called by code or by a trigger, for invoice numbers and the like.

    Fix: Make it bigint, or let it CYCLE if old numbers may come again.

    Example: CREATE SEQUENCE invoice_number AS integer, at 1,900,000,000: after 2,147,483,647 every
    nextval('invoice_number') fails, and no invoice can be written.

    Source: PostgreSQL manual, "CREATE SEQUENCE"; "Sequence Manipulation Functions"

    Observed: used_share, last_value, limit, type.
    """
    catalog = evidence.get(Catalog)
    fed = {
        sequence.oid
        for table in catalog.tables
        for column in catalog.columns_of(table.oid).values()
        if (sequence := feeding_sequence(catalog, column))
    }
    alone = [
        entry for entry in catalog.sequences if entry.extension is None and not entry.cycle and entry.oid not in fed
    ]
    if not alone:
        raise NotApplicable("every sequence feeds a column, or begins again")
    hidden = [entry for entry in alone if not entry.readable]
    for sequence in alone:
        limit = sequence.maximum if sequence.increment > 0 else sequence.minimum
        last = sequence.last_value
        if last is None or limit == 0 or (last < 0) != (limit < 0) or last / limit < evidence.limit("key_used_note"):
            continue
        used, name = min(1.0, last / limit), qualified_name(sequence.schema, sequence.name)
        bound = "MAXVALUE" if sequence.increment > 0 else "MINVALUE"
        yield Finding(
            sequence.subject,
            f"Sequence {name} has used {_percent(used)} of its range",
            Fix(
                "Let it count further. Check that whatever takes its numbers can hold them.",
                f"ALTER SEQUENCE {name} AS bigint NO {bound};",
                lock="SHARE ROW EXCLUSIVE on the sequence",
                undo=f"ALTER SEQUENCE {name} AS {sequence.type} {bound} {limit};",
            ),
            severity=_severity(evidence, used),
            observed={"used_share": round(used, 4), "last_value": last, "limit": limit, "type": sequence.type},
        )
    schemas = ", ".join(sorted({quote_identifier(entry.schema) for entry in hidden}))
    gap = Unobserved(
        Reason.NOT_PERMITTED, f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schemas} TO {user_name(evidence)};"
    )
    yield Examined(len(alone) - len(hidden), len(alone), "sequences that feed no column", gap if hidden else None)


def _severity(evidence: Evidence, used: float) -> Severity:
    if used >= evidence.limit("key_used_red"):
        return Severity.CRITICAL
    return Severity.HIGH if used >= evidence.limit("key_used_high") else Severity.MEDIUM


def _percent(share: float) -> str:
    return f"{int(share * 1000) / 10:g} %"


def _referencing(catalog: Catalog, column: Column) -> list[Column]:
    """Narrower-than-bigint columns of foreign keys that reference this one: they end where it ends."""
    return [
        other
        for key in catalog.references_to(column.table)
        for number, referenced in zip(key.columns, key.referenced_columns, strict=True)
        if referenced == column.number and (other := catalog.column(key.table, number)).base_type in {"int2", "int4"}
    ]


def _wider_key(catalog: Catalog, entry: NumberedColumn, referencing: list[Column]) -> Fix:
    column, sequence = entry.column, entry.sequence
    name = qualified_name(sequence.schema, sequence.name)
    bound = "MAXVALUE" if sequence.increment > 0 else "MINVALUE"
    widen = f"ALTER SEQUENCE {name} AS bigint NO {bound};"
    if column.base_type == "int8":
        return Fix("Let the sequence run as far as the column does.", widen, lock="SHARE ROW EXCLUSIVE on the sequence",
                   undo=f"ALTER SEQUENCE {name} AS {sequence.type} {bound} {entry.sequence_limit};")  # fmt: skip
    statements, undo = [], []
    for changed in (column, *referencing):
        table = catalog.table_by_oid[changed.table]
        alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(changed.name)}"
        statements.append(f"{alter} TYPE bigint;")
        undo.append(f"{alter} TYPE {_NAMES[changed.base_type]};")
    if not column.identity and not entry.outgrows_column:
        statements.append(widen)
    return Fix(
        "Change the column and every column that references it to bigint. Each statement rewrites its table and indexes; on a "
        "large one add a bigint column, keep it filled by a trigger, fill it in batches, and swap the two. Check that no client "
        "reads the key into 32 bits.",
        "\n".join(statements),
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=" ".join(undo),
    )


def _grant(evidence: Evidence, hidden: list[NumberedColumn]) -> str:
    schemas = sorted({quote_identifier(entry.sequence.schema) for entry in hidden})
    return f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {', '.join(schemas)} TO {user_name(evidence)};"
