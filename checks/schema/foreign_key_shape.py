"""Do foreign keys leave holes, stop deletes, or go in circles?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import column_list, column_names, estimated_rows
from checks.schema.foreign_key_fixes import replace_foreign_key
from checks.schema.foreign_keys import reviewed_foreign_keys
from checks.schema.habits import CROWD, once_per_habit

_SHOWN = 5


@check("schema.nullable-composite-foreign-key", catalogue="S07", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} composite foreign keys of schema {schema} are not checked where a column is null",
    CROWD,
)
def nullable_composite_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign key over several columns is not checked when one of them is null.

    MATCH SIMPLE, the default, accepts any row in which one referencing column is null, whatever the others hold: a tenant_id
    that is forgotten turns the check off for that row, and nothing is ever said. A CHECK over the columns that may be null is
    taken to keep them together.

    Fix: Make the columns NOT NULL, or, where the reference is optional as a whole, declare MATCH FULL.

    Example: FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) with a nullable tenant_id: INSERT INTO
    items (tenant_id, order_id) VALUES (NULL, 999999) succeeds, and no such order exists.

    Source: PostgreSQL manual, "CREATE TABLE", MATCH FULL and MATCH SIMPLE

    Observed: nullable, columns, rows.
    """
    catalog = evidence.get(Catalog)
    keys = [key for key in reviewed_foreign_keys(catalog) if len(key.columns) > 1]
    if not keys:
        raise NotApplicable("no foreign key has more than one column")
    shared = Counter(name for key in keys for name in set(column_names(catalog, key.table, key.columns)))
    for key in keys:
        nullable = [number for number in key.columns if not catalog.column(key.table, number).not_null]
        # Null in the only column that is the reference's own means "no reference", which is as it should be.
        forgotten = len(nullable) > 1 or any(shared[catalog.column(key.table, number).name] > 1 for number in nullable)
        if not forgotten or key.match == "full" or _kept_together(catalog, key, nullable):
            continue
        table, subject = catalog.table_by_oid[key.table], catalog.constraint_subject(key)
        rows = estimated_rows(evidence, table)
        names = column_names(catalog, key.table, nullable)
        yield Finding(
            subject,
            f"Foreign key {subject.name} is not checked where {' or '.join(map(quote_identifier, names))} is null",
            _match_full(catalog, key, names),
            # A reference that is optional as a whole is lost only where a row is half written.
            severity=Severity.LOW if len(nullable) == len(key.columns) else Severity.MEDIUM,
            observed={
                "nullable": names,
                "columns": column_names(catalog, key.table, key.columns),
                "rows": None if rows is None else round(rows),
            },
            related=(table.subject,),
        )
    yield Examined(len(keys), len(keys), "composite foreign keys")


@check("schema.self-reference-without-action", catalogue="S08", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: (
        f"{number} foreign keys of schema {schema} refer to their own table and say nothing of deletes"
    ),
    CROWD,
)
def self_reference_without_action(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table refers to itself without saying what becomes of the children when a row is deleted.

    Without an ON DELETE action a parent can only be deleted after all its descendants, in the right order, by code that
    walks the tree; deleting a conversation, a folder or a comment thread then fails as soon as somebody forgets that. Where the
    table's other foreign keys and most of the schema's say nothing either, the application deletes in another way.

    Fix: Declare ON DELETE CASCADE or SET NULL, or RESTRICT if that is what is meant.

    Example: parent_id bigint REFERENCES folders (id): DELETE FROM folders WHERE id = 7 fails with "violates foreign key
    constraint" as long as folder 7 has a folder in it.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: columns, on_delete.
    """
    catalog = evidence.get(Catalog)
    every = reviewed_foreign_keys(catalog)
    keys = [key for key in every if key.table == key.referenced_table]
    if not keys:
        raise NotApplicable("no table refers to itself")
    spoken = [key for key in every if key.on_delete != "no action"]
    for key in keys:
        if key.on_delete != "no action" or not _is_exception(catalog, key, every, spoken):
            continue
        subject = catalog.constraint_subject(key)
        table = catalog.table_by_oid[key.table]
        yield Finding(
            subject,
            f"Foreign key {subject.name} refers to its own table and says nothing of deletes",
            replace_foreign_key(catalog, key, "ON DELETE SET NULL", "Say what becomes of the children, for example:"),
            severity=Severity.NOTE,
            observed={"columns": column_names(catalog, key.table, key.columns), "on_delete": key.on_delete},
            related=(table.subject,),
        )
    yield Examined(len(keys), len(keys), "self-references")


@check("schema.foreign-key-cycle", catalogue="S11", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
def foreign_key_cycle(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Tables refer to each other in a circle in which no row can be first.

    When every foreign key of a circle is over columns that are never null and checked at once, no row can be inserted or
    deleted, and data can be restored only with the constraints taken off.

    Fix: Make one of the references nullable, or DEFERRABLE INITIALLY DEFERRED.

    Example: departments.head_id NOT NULL REFERENCES employees, and employees.department_id NOT NULL REFERENCES
    departments: the first INSERT into either fails, as it refers to a row that cannot be there yet.

    Source: PostgreSQL manual, "SET CONSTRAINTS"; "CREATE TABLE", DEFERRABLE

    Observed: tables, constraints.
    """
    catalog = evidence.get(Catalog)
    keys = [key for key in reviewed_foreign_keys(catalog) if key.table != key.referenced_table]
    hard = [
        key
        for key in keys
        if not key.deferrable and all(catalog.column(key.table, number).not_null for number in key.columns)
    ]
    for group in _circles(hard):
        tables = sorted((catalog.table_by_oid[oid] for oid in group), key=lambda table: (table.schema, table.name))
        inside = [key for key in hard if key.table in group and key.referenced_table in group]
        listed = ", ".join(table.subject.name for table in tables[:_SHOWN])
        yield Finding(
            tables[0].subject,
            f"{len(tables)} tables refer to each other in a circle that no insert can begin: {listed}",
            replace_foreign_key(
                catalog, inside[0], "DEFERRABLE INITIALLY DEFERRED", "Let one of them be checked at commit:"
            ),
            severity=Severity.NOTE,
            observed={
                "tables": [table.subject.name for table in tables],
                "constraints": [catalog.constraint_subject(key).name for key in inside],
            },
            related=tuple(catalog.constraint_subject(key) for key in inside[:_SHOWN]),
        )
    yield Examined(len(keys), len(keys), "foreign keys")


def _is_exception(catalog: Catalog, key: Constraint, every: list[Constraint], spoken: list[Constraint]) -> bool:
    """Whether another foreign key of the table, or most of the schema's, say what becomes of rows when their parent goes."""
    schema = catalog.table_by_oid[key.table].schema

    def inside(keys: list[Constraint]) -> int:
        return sum(catalog.table_by_oid[entry.table].schema == schema for entry in keys if entry != key)

    return any(entry.table == key.table for entry in spoken) or 2 * inside(spoken) > inside(every)


def _kept_together(catalog: Catalog, key: Constraint, nullable: list[int]) -> bool:
    """Whether a CHECK speaks of all columns that may be null."""
    return any(
        rule.kind == "check" and rule.enforced and set(nullable) <= set(rule.columns) and len(rule.columns) > 1
        for rule in catalog.constraints_of(key.table)
    )


def _circles(keys: list[Constraint]) -> list[set[int]]:
    """Groups of tables each of which leads to every other of its group."""
    targets: dict[int, set[int]] = {}
    for key in keys:
        targets.setdefault(key.table, set()).add(key.referenced_table or 0)
    reached = {table: _reachable(targets, table) for table in targets}
    groups: list[set[int]] = []
    for table in sorted(targets):
        group = {other for other in reached[table] if table in reached.get(other, set())}
        if group and group not in groups:
            groups.append(group)
    return groups


def _reachable(targets: dict[int, set[int]], table: int) -> set[int]:
    found: set[int] = set()
    waiting = [table]
    while waiting:
        for target in targets.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _match_full(catalog: Catalog, key: Constraint, nullable: list[str]) -> Fix:
    table = catalog.table_by_oid[key.table]
    alter = f"ALTER TABLE {qualified_name(table.schema, table.name)}"
    if len(nullable) < len(key.columns):
        actions = ", ".join(f"ALTER COLUMN {quote_identifier(name)} SET NOT NULL" for name in nullable)
        undone = ", ".join(f"ALTER COLUMN {quote_identifier(name)} DROP NOT NULL" for name in nullable)
        return Fix(
            f"Make {column_list(nullable)} NOT NULL if every row has a reference. If null means that there is none, "
            "this is as it should be. The statement reads the table; with a validated CHECK (... IS NOT NULL) it need not.",
            f"{alter} {actions};",
            lock="ACCESS EXCLUSIVE",
            undo=f"{alter} {undone};",
        )
    return replace_foreign_key(
        catalog, key, "MATCH FULL", "Accept a row only if all of the columns are null or none of them is."
    )
