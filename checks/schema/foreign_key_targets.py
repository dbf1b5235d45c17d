"""Where do foreign keys lead, and which tables do they leave alone?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import column_list, column_names, estimated_rows, reviewed_tables
from checks.schema.foreign_keys import reviewed_foreign_keys
from checks.schema.habits import CROWD, once_per_habit

_MANAGED_SCHEMAS = frozenset({"auth", "storage", "realtime", "neon_auth"})
_SHOWN = 5


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
