"""Do foreign keys repeat, overlap, leave holes, or go in circles?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from checks.evidence.database.facts import Catalog, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import column_list, column_names, estimated_rows, reviewed_tables
from checks.schema.foreign_keys import reviewed_foreign_keys
from checks.schema.habits import CROWD, once_per_habit

_MANAGED_SCHEMAS = frozenset({"auth", "storage", "realtime", "neon_auth"})
_SHOWN = 5


@check("schema.duplicate-foreign-key", catalogue="S05", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} foreign keys of schema {schema} repeat others", CROWD)
def duplicate_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has the same foreign key twice.

    Every insert and update of the child, and every delete of the parent, pays for both, and where their ON DELETE actions
    differ, which of the two decides is an accident. It usually comes from a migration that was written twice.

    Fix: Drop the one that is not meant.

    Example: orders.user_id has one foreign key ON DELETE CASCADE and one ON DELETE RESTRICT: whether DELETE FROM users
    deletes the orders or fails depends on which of the two was made first.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: duplicate_of, on_delete, other_on_delete.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    same: dict[tuple[object, ...], list[Constraint]] = {}
    for key in keys:
        pairs = frozenset(zip(key.columns, key.referenced_columns, strict=True))
        same.setdefault((key.table, key.referenced_table, pairs), []).append(key)
    for group in same.values():
        kept, *others = sorted(group, key=lambda key: (not (key.validated and key.enforced), key.oid))
        for key in others:
            subject, other = catalog.constraint_subject(key), catalog.constraint_subject(kept)
            actions_differ = (key.on_delete, key.on_update) != (kept.on_delete, kept.on_update)
            yield Finding(
                subject,
                f"Foreign key {subject.name} repeats {quote_identifier(kept.name)}"
                + (f": ON DELETE {key.on_delete} against {kept.on_delete}" if key.on_delete != kept.on_delete else ""),
                _drop(catalog, key, "Drop one of the two, after deciding which action is meant."
                      if actions_differ else "Drop one of the two."),
                severity=Severity.MEDIUM if actions_differ else Severity.LOW,
                observed={"duplicate_of": other.name, "on_delete": key.on_delete, "other_on_delete": kept.on_delete},
                related=(other,),
            )  # fmt: skip
    yield Examined(len(keys), len(keys), "foreign keys")


@check("schema.overlapping-foreign-key", catalogue="S06", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} foreign keys of schema {schema} say what others say too", CROWD)
def overlapping_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Two foreign keys of a table refer to the same table by some of the same columns.

    A composite foreign key (tenant_id, order_id) already guarantees what a second one on order_id alone says, if order_id
    is unique by itself. Each costs a look-up per write.

    Fix: Keep the wider one if the narrower says nothing more.

    Example: FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) beside FOREIGN KEY (order_id)
    REFERENCES orders (id): each INSERT looks into orders twice to learn the same thing.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: wider, columns.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    by_pair: dict[tuple[int, int | None], list[Constraint]] = {}
    for key in keys:
        by_pair.setdefault((key.table, key.referenced_table), []).append(key)
    for group in by_pair.values():
        for one, other in combinations(group, 2):
            narrow, wide = sorted((one, other), key=lambda key: len(key.columns))
            inner, outer = (set(zip(key.columns, key.referenced_columns, strict=True)) for key in (narrow, wide))
            # MATCH SIMPLE: the wider one says nothing as soon as one of its other columns is null.
            holds = all(
                catalog.column(wide.table, number).not_null for number in set(wide.columns) - set(narrow.columns)
            )
            if not (inner < outer and holds):
                continue
            subject, wider = catalog.constraint_subject(narrow), catalog.constraint_subject(wide)
            yield Finding(
                subject,
                f"Foreign key {subject.name} says what {quote_identifier(wide.name)} says too",
                _drop(
                    catalog, narrow, "Drop the narrower one, if it has no ON DELETE action of its own that is wanted."
                ),
                severity=Severity.NOTE,
                observed={"wider": wider.name, "columns": column_names(catalog, wide.table, wide.columns)},
                related=(wider,),
            )
    yield Examined(len(keys), len(keys), "foreign keys")


@check("schema.nullable-composite-foreign-key", catalogue="S07", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} composite foreign keys of schema {schema} are not checked where a column is null",
    CROWD,
)
def nullable_composite_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign key over several columns is not checked when one of them is null.

    MATCH SIMPLE, the default, accepts any row in which one referencing column is null, whatever the others hold: a tenant_id
    that is forgotten turns the check off for that row, and nothing is ever said.

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
        if not forgotten or key.match == "full":
            continue
        table, subject = catalog.table_by_oid[key.table], catalog.constraint_subject(key)
        rows = estimated_rows(evidence, table)
        names = column_names(catalog, key.table, nullable)
        yield Finding(
            subject,
            f"Foreign key {subject.name} is not checked where {' or '.join(map(quote_identifier, names))} is null",
            _match_full(catalog, key, names),
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
    walks the tree; deleting a conversation, a folder or a comment thread then fails as soon as somebody forgets that.

    Fix: Declare ON DELETE CASCADE or SET NULL, or RESTRICT if that is what is meant.

    Example: parent_id bigint REFERENCES folders (id): DELETE FROM folders WHERE id = 7 fails with "violates foreign key
    constraint" as long as folder 7 has a folder in it.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: columns, on_delete.
    """
    catalog = evidence.get(Catalog)
    keys = [key for key in reviewed_foreign_keys(catalog) if key.table == key.referenced_table]
    if not keys:
        raise NotApplicable("no table refers to itself")
    for key in keys:
        if key.on_delete != "no action":
            continue
        subject = catalog.constraint_subject(key)
        table = catalog.table_by_oid[key.table]
        yield Finding(
            subject,
            f"Foreign key {subject.name} refers to its own table and says nothing of deletes",
            _replace(catalog, key, "ON DELETE SET NULL", "Say what becomes of the children, for example:"),
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
            _replace(catalog, inside[0], "DEFERRABLE INITIALLY DEFERRED", "Let one of them be checked at commit:"),
            severity=Severity.NOTE,
            observed={
                "tables": [table.subject.name for table in tables],
                "constraints": [catalog.constraint_subject(key).name for key in inside],
            },
            related=tuple(catalog.constraint_subject(key) for key in inside[:_SHOWN]),
        )
    yield Examined(len(keys), len(keys), "foreign keys")


@check("schema.foreign-key-to-managed-schema", catalogue="S15", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: (
        f"{number} foreign keys of schema {schema} lead to other than primary keys of managed schemas"
    ),
    CROWD,
)
def foreign_key_to_managed_schema(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign key refers to a unique constraint, not the primary key, of a schema that the provider manages.

    In auth, storage and the like the provider keeps the primary keys and may change everything else in an upgrade; a unique
    constraint that it drops takes the foreign key with it, or makes the upgrade fail.

    Fix: Refer to the primary key.

    Example: FOREIGN KEY (phone) REFERENCES auth.users (phone): an upgrade that replaces the unique constraint on phone
    either fails on this foreign key or drops it with CASCADE.

    Source: Supabase documentation, "Managing User Data"

    Observed: references.
    """
    catalog = evidence.get(Catalog)
    keys = [
        key
        for key in reviewed_foreign_keys(catalog)
        if catalog.table_by_oid[key.table].schema not in _MANAGED_SCHEMAS
        and (target := catalog.table_by_oid.get(key.referenced_table or 0)) is not None
        and target.schema in _MANAGED_SCHEMAS
    ]
    if not keys:
        raise NotApplicable("no foreign key leads into a schema that a provider manages")
    for key in keys:
        primary = {
            frozenset(entry.columns)
            for entry in catalog.constraints_of(key.referenced_table or 0)
            if entry.kind == "primary_key"
        }
        if frozenset(key.referenced_columns) in primary:
            continue
        subject, target = catalog.constraint_subject(key), catalog.table_by_oid[key.referenced_table or 0]
        names = column_names(catalog, target.oid, key.referenced_columns)
        yield Finding(
            subject,
            f"Foreign key {subject.name} refers to {target.subject.name} ({column_list(names)}), which is not its primary key",
            Fix(f"Refer to the primary key of {target.subject.name}, and drop this constraint."),
            observed={"references": [*target.subject.path, *names]},
            related=(target.subject,),
        )
    yield Examined(len(keys), len(keys), "foreign keys into managed schemas")


@check("schema.foreign-key-across-schemas", catalogue="S12", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
def foreign_key_across_schemas(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Foreign keys lead from one schema to another.

    Schemas that refer to each other cannot be dumped, moved or given to another team one by one.

    Fix: None is needed where the schemas belong together.

    Example: billing.invoices.user_id REFERENCES app.users (id): pg_dump --schema=billing restores into an empty
    database only as far as this constraint, since app.users is not there.

    Source: PostgreSQL manual, "Schemas"

    Observed: to, foreign_keys.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    crossing: dict[tuple[str, str], list[Constraint]] = {}
    for key in keys:
        target = catalog.table_by_oid.get(key.referenced_table or 0)
        schema = catalog.table_by_oid[key.table].schema
        if target is not None and target.schema != schema and target.schema not in _MANAGED_SCHEMAS:
            crossing.setdefault((schema, target.schema), []).append(key)
    for (schema, target_schema), found in sorted(crossing.items()):
        yield Finding(
            Subject("schema", (schema,)),
            f"{len(found)} foreign keys lead from schema {quote_identifier(schema)} to {quote_identifier(target_schema)}",
            Fix("Decide whether these schemas are one unit; if so, nothing is to be done."),
            observed={"to": target_schema, "foreign_keys": len(found)},
            related=tuple(catalog.constraint_subject(key) for key in found[:_SHOWN]),
            discriminator=target_schema,
        )
    yield Examined(len(keys), len(keys), "foreign keys", unmet=sum(map(len, crossing.values())))


@check("schema.unconnected-table", catalogue="S14", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} are linked to no other", CROWD)
def unconnected_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has no foreign key, and none leads to it.

    In a schema whose tables otherwise declare how they belong together, one that does not is a log, a setting, or a reference
    that nobody declared.

    Fix: Declare what it refers to, if anything.

    Example: Every table of the schema has foreign keys but audit_notes (id, subject_number, note): nothing says which
    table subject_number means, and a note stays when its subject is deleted.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    keys = reviewed_foreign_keys(catalog)
    connected = {key.table for key in keys} | {key.referenced_table for key in keys}
    for table in tables:
        if table.oid in connected:
            continue
        rows = estimated_rows(evidence, table)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} is linked to no other",
            Fix("Declare what it refers to, if anything."),
            confidence=Confidence.INFERRED,
            observed={"rows": None if rows is None else round(rows)},
        )
    yield Examined(len(tables), len(tables), "tables")


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


def _drop(catalog: Catalog, key: Constraint, summary: str) -> Fix:
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


def _replace(catalog: Catalog, key: Constraint, addition: str, summary: str) -> Fix:
    """The same constraint with something more said."""
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
    return _replace(catalog, key, "MATCH FULL", "Accept a row only if all of the columns are null or none of them is.")
