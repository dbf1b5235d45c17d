"""Fixes that drop a foreign key, or put another in its place."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, Constraint
from checks.model import Fix, qualified_name, quote_identifier
from checks.relations import column_list, column_names


def _definition(catalog: Catalog, key: Constraint, addition: str = "") -> str:
    target = catalog.table_by_oid[key.referenced_table or 0]
    actions = "".join(
        f" ON {event} {action.upper()}"
        for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update))
        if action not in {"", "no action"} and f"ON {event}" not in addition
    )
    match = " MATCH FULL" if key.match == "full" and "MATCH" not in addition else ""
    return (
        f"FOREIGN KEY ({column_list(column_names(catalog, key.table, key.columns))}) "
        f"REFERENCES {qualified_name(target.schema, target.name)} "
        f"({column_list(column_names(catalog, target.oid, key.referenced_columns))}){match}{actions}"
        + (f" {addition}" if addition else "")
    )


def drop_foreign_key(catalog: Catalog, key: Constraint, summary: str) -> Fix:
    """The foreign key dropped."""
    table = catalog.table_by_oid[key.table]
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)}"
    name = quote_identifier(key.name)
    return Fix(
        summary,
        f"{alter} DROP CONSTRAINT {name};",
        lock="ACCESS EXCLUSIVE on both tables, briefly",
        undo=f"{alter} ADD CONSTRAINT {name} {_definition(catalog, key)} NOT VALID; "
        f"{alter} VALIDATE CONSTRAINT {name};",
    )


def replace_foreign_key(catalog: Catalog, key: Constraint, addition: str, summary: str) -> Fix:
    """The same foreign key with something more said of it: `addition`, in SQL."""
    table = catalog.table_by_oid[key.table]
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)}"
    name = quote_identifier(key.name)
    at_once = table.kind == "partitioned"
    late = "" if at_once else " NOT VALID"
    sql = f"{alter} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {_definition(catalog, key, addition)}{late};"
    undo = f"{alter} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {_definition(catalog, key)}{late};"
    if not at_once:
        sql += f"\n{alter} VALIDATE CONSTRAINT {name};"
    return Fix(summary, sql, lock="ACCESS EXCLUSIVE on the table, SHARE ROW EXCLUSIVE on the referenced one, briefly",
               undo=undo)  # fmt: skip
