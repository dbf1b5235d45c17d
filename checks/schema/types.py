"""Do columns have the types that their values deserve?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables

_NOW = frozenset(
    "now transaction_timestamp statement_timestamp clock_timestamp current_timestamp localtimestamp".split()
)


@check("schema.timestamp-without-time-zone", catalogue="S35", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def timestamp_without_time_zone(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column holds points in time without their time zone.

    `timestamp` stores what a clock showed, not when it was: two writers with different TimeZone settings store different
    values for one instant, one hour of every year is ambiguous, and a default of now() silently takes the zone of whichever
    session inserts. `timestamptz` takes the same eight bytes and is unambiguous. `timetz` cannot know which day's offset it
    means.

    Fix: Use timestamptz for instants. Keep timestamp for wall-clock times that follow a place, such as opening hours.

    Source: PostgreSQL manual, "Date/Time Types", section "Time Zones"; "ALTER TABLE", Notes

    Observed: type, default_function, rows.
    """
    catalog = evidence.get(Catalog)
    examined = 0
    for table in reviewed_tables(catalog):
        for column in catalog.columns_of(table.oid).values():
            examined += column.base_type in {"timestamp", "timestamptz", "timetz"}
            if column.base_type not in {"timestamp", "timetz"}:
                continue
            rows = estimated_rows(evidence, table)
            subject = catalog.column_subject(column)
            stamped = column.default_function in _NOW
            yield Finding(
                subject,
                f"Column {subject.name} is {column.type}",
                _fix(table, column),
                severity=Severity.MEDIUM if stamped else Severity.LOW,
                observed={
                    "type": column.type,
                    "default_function": column.default_function,
                    "rows": None if rows is None else round(rows),
                },
                related=(table.subject,),
            )
    yield Examined(examined, examined, "columns of points in time")


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
