"""Do triggers run, and do they run for every row?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Trigger, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import is_of_the_application
from checks.schema.habits import CROWD, once_per_habit


@check("schema.disabled-trigger", catalogue="S24", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} triggers of schema {schema} are disabled", CROWD)
def disabled_trigger(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A trigger is disabled.

    Whatever it was to keep true (an audit row, a total, a search vector) has not been kept since, and nothing says so. It is
    often left over from a bulk load.

    Fix: Enable it and repair what it missed, or drop it.

    Example: ALTER TABLE orders DISABLE TRIGGER orders_audit before a bulk load, and nobody enabled it again: orders
    have been changed without a row in the audit table since.

    Source: PostgreSQL manual, "ALTER TABLE", DISABLE TRIGGER

    Observed: events, function, enabled.
    """
    catalog = evidence.get(Catalog)
    triggers = _reviewed_triggers(catalog)
    for trigger in triggers:
        if trigger.enabled != "disabled":
            continue
        table = catalog.table_by_oid[trigger.table]
        subject = Subject("trigger", (table.schema, table.name, trigger.name))
        alter, name = f"ALTER TABLE {qualified_name(table.schema, table.name)}", quote_identifier(trigger.name)
        yield Finding(
            subject,
            f"Trigger {subject.name} is disabled",
            Fix(
                "Enable it, and repair the rows that it missed; or drop it if it is not wanted any more.",
                f"{alter} ENABLE TRIGGER {name};",
                lock="SHARE ROW EXCLUSIVE, briefly",
                undo=f"{alter} DISABLE TRIGGER {name};",
            ),
            observed={
                "events": list(trigger.events),
                "function": ".".join(trigger.function),
                "enabled": trigger.enabled,
            },
            related=(table.subject,),
        )
    yield Examined(len(triggers), len(triggers), "triggers")


@check(
    "schema.row-trigger-on-busy-table",
    catalogue="S25",
    severity=Severity.NOTE,
    needs=[Catalog, Usage],
    window="window_days",
)
@once_per_family
def row_trigger_on_busy_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table that is written heavily runs a trigger for each row.

    The function is called for every row of every statement, in a bulk load of a million rows a million times. A trigger per
    statement with a transition table does the same work once; a WHEN condition spares the call where nothing changed.

    Fix: Look whether it can be FOR EACH STATEMENT with REFERENCING NEW TABLE, or have a WHEN condition.

    Example: CREATE TRIGGER count_rows AFTER INSERT ON events FOR EACH ROW: a COPY of a million events calls its
    function a million times, and updates one row of totals as often.

    Source: PostgreSQL manual, "CREATE TRIGGER"

    Observed: events, function, writes_per_day.
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    days = max(evidence.require_window("window_days"), 1.0)
    triggers = [
        entry for entry in _reviewed_triggers(catalog)
        # BEFORE triggers change the row itself, which one per statement cannot.
        if entry.per_row and entry.timing == "after" and entry.enabled != "disabled"
    ]  # fmt: skip
    for trigger in triggers:
        counted = usage.table_by_oid.get(trigger.table)
        if counted is None:
            continue
        writes = {"insert": counted.inserted, "update": counted.updated, "delete": counted.deleted}
        per_day = sum(writes.get(event, 0) for event in trigger.events) / days
        if per_day < evidence.limit("busy_trigger_rows_per_day"):
            continue
        table = catalog.table_by_oid[trigger.table]
        subject = Subject("trigger", (table.schema, table.name, trigger.name))
        yield Finding(
            subject,
            f"Trigger {subject.name} runs for each of about {per_day:,.0f} rows a day",
            Fix(
                "Make it FOR EACH STATEMENT with a transition table, or give it a WHEN condition, if what it does allows that."
            ),
            observed={
                "events": list(trigger.events),
                "function": ".".join(trigger.function),
                "writes_per_day": round(per_day),
            },
            related=(table.subject,),
        )
    yield Examined(len(triggers), len(triggers), "triggers that run after each row")


def _reviewed_triggers(catalog: Catalog) -> list[Trigger]:
    """Triggers of the application's relations, those of a partitioned table once."""
    found = [
        trigger
        for trigger in catalog.triggers
        if trigger.parent is None
        and trigger.extension is None
        and is_of_the_application(catalog.table_by_oid[trigger.table])
    ]
    if not found:
        raise NotApplicable("no table has a trigger")
    return found
