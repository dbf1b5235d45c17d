"""Do columns have the types that their values deserve?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, Severity, Subject, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables

_NOW = frozenset(
    "now transaction_timestamp statement_timestamp clock_timestamp current_timestamp localtimestamp".split()
)

_CONVENTION_COLUMNS = 20
_CONVENTION_RATIO = 4


@check("schema.timestamp-without-time-zone", catalogue="S35", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def timestamp_without_time_zone(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column holds points in time without their time zone.

    `timestamp` stores what a clock showed, not when it was: two writers with different TimeZone settings store different
    values for one instant, one hour of every year is ambiguous, and a default of now() silently takes the zone of whichever
    session inserts. `timestamptz` takes the same eight bytes and is unambiguous. `timetz` cannot know which day's offset it
    means. Where nearly every column of a schema is so, that is one finding about the schema.

    Fix: Use timestamptz for instants. Keep timestamp for wall-clock times that follow a place, such as opening hours.

    Example: created_at timestamp DEFAULT now(), written by a session in UTC and by one in Europe/Berlin at the same
    instant: the rows lie an hour or two apart, and nothing says which is right.

    Source: PostgreSQL manual, "Date/Time Types", section "Time Zones"; "ALTER TABLE", Notes

    Observed: type, default_function, rows, columns, tables, timestamptz_columns, largest.
    """
    catalog = evidence.get(Catalog)
    found: dict[str, list[tuple[Table, Column]]] = {}
    zoned = Counter[str]()
    for table in reviewed_tables(catalog):
        for column in catalog.columns_of(table.oid).values():
            zoned[table.schema] += column.base_type == "timestamptz"
            if column.base_type in {"timestamp", "timetz"}:
                found.setdefault(table.schema, []).append((table, column))
    for schema, columns in found.items():
        if len(columns) >= _CONVENTION_COLUMNS and len(columns) >= _CONVENTION_RATIO * zoned[schema]:
            yield _convention(evidence, schema, columns, zoned[schema])
        else:
            yield from (_column(evidence, table, column) for table, column in columns)
    bad = sum(map(len, found.values()))
    examined = bad + zoned.total()
    yield Examined(examined, examined, "columns of points in time", unmet=bad)


def _column(evidence: Evidence, table: Table, column: Column) -> Finding:
    rows = estimated_rows(evidence, table)
    subject = evidence.get(Catalog).column_subject(column)
    return Finding(
        subject,
        f"Column {subject.name} is {column.type}",
        _fix(table, column),
        severity=Severity.MEDIUM if column.default_function in _NOW else Severity.LOW,
        observed={
            "type": column.type,
            "default_function": column.default_function,
            "rows": None if rows is None else round(rows),
        },
        related=(table.subject,),
    )


def _convention(evidence: Evidence, schema: str, columns: list[tuple[Table, Column]], zoned: int) -> Finding:
    """One decision, usually the default of an ORM, made all these columns: it is one finding."""
    largest = sorted(
        columns, key=lambda entry: (-(estimated_rows(evidence, entry[0]) or 0), entry[0].name, entry[1].name)
    )
    catalog = evidence.get(Catalog)
    table, column = largest[0]
    fix = _fix(table, column)
    return Finding(
        Subject("schema", (schema,)),
        f"Schema {quote_identifier(schema)} keeps time without its time zone in {len(columns)} columns",
        Fix(
            "Change the default first, so that new columns are right (Prisma: @db.Timestamptz; Drizzle: withTimezone; "
            "SQLAlchemy: DateTime(timezone=True)); then convert table by table, as shown for the largest. "
            + fix.summary,
            fix.sql,
            fix.lock,
            fix.rewrites,
            fix.undo,
        ),
        severity=Severity.MEDIUM if any(entry.default_function in _NOW for _, entry in columns) else Severity.LOW,
        observed={
            "columns": len(columns),
            "tables": len({entry.oid for entry, _ in columns}),
            "timestamptz_columns": zoned,
            "largest": [catalog.column_subject(entry).name for _, entry in largest[:5]],
        },
        related=tuple(catalog.column_subject(entry) for _, entry in largest[:5]),
    )


def _fix(table: Table, column: Column) -> Fix:
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(column.name)} TYPE"
    if column.base_type == "timetz":
        return Fix("Use time where the offset means nothing, timestamptz where the value is an instant.",
                   f"{alter} time;", lock="ACCESS EXCLUSIVE", rewrites=True, undo=f"{alter} timetz;")  # fmt: skip
    precision = f"({column.type_modifier})" if column.type_modifier >= 0 else ""
    # timestamptz(n) would rewrite the table; without n nothing is rounded, and nothing is rewritten.
    return Fix(
        "Use timestamptz, if the values are UTC: with TimeZone set to UTC the table is not rewritten, only the indexes on the "
        "column are rebuilt. For values of another zone name that zone instead; then the table is rewritten.",
        f"BEGIN;\nSET LOCAL TimeZone = 'UTC';\n{alter} timestamptz;\nCOMMIT;",
        lock="ACCESS EXCLUSIVE",
        undo=f"BEGIN; SET LOCAL TimeZone = 'UTC'; {alter} timestamp{precision}; COMMIT;",
    )
