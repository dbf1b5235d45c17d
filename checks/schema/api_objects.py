"""What an API shows that policies do not guard."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows
from checks.schema.exposure import PLATFORM_SCHEMAS, Api, Rights, api_of, rights_of
from checks.schema.habits import CROWD, once_per_habit
from checks.schema.policies import is_true
from checks.schema.sensitive import sensitive_columns

_MANY = 8
_SHOWN = 5


@check("schema.sensitive-column-exposed", catalogue="S100", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
@once_per_habit(
    lambda schema, number: f"Everybody may read sensitive columns of {number} tables of schema {schema}", CROWD
)
def sensitive_column_exposed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Everybody may read columns that hold secrets or personal data, by their names.

    Looked at are tables of an API's schemas whose policies let its callers read every row, and, without an API, tables that
    PUBLIC may read. Tables without row security behind an API are reported as such.

    Fix: Take the right on these columns away, or narrow the policy.

    Example: CREATE POLICY readable ON profiles FOR SELECT USING (true): whoever has the API's public key reads
    profiles.api_key of every user with GET /profiles?select=api_key.

    Source: PostgreSQL manual, "Privileges"; "Row Security Policies"

    Observed: columns, roles, rows.
    """
    catalog, rights, api = evidence.get(Catalog), rights_of(evidence), api_of(evidence)
    tables = [
        table
        for table in catalog.tables
        if table.kind in {"table", "partitioned", "materialized_view"}
        and table.extension is None
        and not table.is_partition
        and table.schema not in PLATFORM_SCHEMAS
    ]
    for table in tables:
        columns = sensitive_columns(catalog, table)
        roles = _read_everything(catalog, rights, api, table) if columns else []
        if not roles:
            continue
        names = [column.name for column in columns]
        rows = estimated_rows(evidence, table)
        listed = ", ".join("PUBLIC" if role == "" else quote_identifier(role) for role in roles)
        some = ", ".join(map(quote_identifier, names[:_SHOWN]))
        yield Finding(
            table.subject,
            f"{listed} may read {some} of every row of {table.subject.name}",
            Fix(
                "Narrow the policy to the caller's own rows, or take the table's SELECT away and grant it on harmless columns "
                "alone."
            ),
            severity=Severity.HIGH if api is None or set(roles) & set(api.anonymous) else Severity.MEDIUM,
            confidence=Confidence.INFERRED,
            observed={"columns": names, "roles": roles, "rows": None if rows is None else round(rows)},
            related=tuple(catalog.column_subject(column) for column in columns[:_SHOWN]),
        )
    yield Examined(len(tables), len(tables), "tables")


def _read_everything(catalog: Catalog, rights: Rights, api: Api | None, table: Table) -> list[str]:
    if api is None:
        granted = any(
            grant.grantee == "" and "SELECT" in {privilege.rstrip("*") for privilege in grant.privileges}
            for grant in rights.grants_on_table(table)
        )
        return [""] if granted and not table.row_security else []
    if not api.serves(table.schema) or not table.row_security:
        return []
    return [
        role
        for role in api.roles
        if "SELECT" in rights.on_table(role, table)
        and any(
            policy.permissive
            and policy.command in {"all", "select"}
            and is_true(policy.using)
            and ("" in policy.roles or rights.acts_as(role) & set(policy.roles))
            for policy in catalog.policies_of(table.oid)
        )
        and all(policy.permissive for policy in catalog.policies_of(table.oid))
    ]


@check("schema.object-exposed-to-api", catalogue="S101", severity=Severity.MEDIUM, needs=[Catalog, Access])
@once_per_family
@once_per_habit(
    lambda schema, number: (
        f"The API lets its callers read {number} objects of schema {schema} that policies cannot guard"
    ),
    CROWD,
)
def object_exposed_to_api(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An API serves a materialized view, a foreign table or a queue, which policies cannot guard.

    Row security does not exist for materialized views and foreign tables: callers of the API read all of what is in them.
    Tables of a message queue without row security can be read and emptied by whoever may call the queue's functions.

    Fix: Take the rights of the API's roles away, or move the object to a schema that the API does not serve.

    Example: CREATE MATERIALIZED VIEW daily_sales in schema public and GRANT SELECT ON daily_sales TO anon: the policies
    of orders do not hold for it, and every caller of the API reads all of it.

    Source: PostgreSQL manual, "Row Security Policies"; Supabase documentation, "Database Advisors"

    Observed: kind, roles, rows.
    """
    catalog, rights, api = evidence.get(Catalog), rights_of(evidence), api_of(evidence)
    if api is None:
        raise NotApplicable("no API serves this database")
    candidates = [
        table for table in catalog.tables if table.kind in {"materialized_view", "foreign"} and table.extension is None
    ]
    queues = [
        table for table in catalog.tables
        if table.schema == "pgmq" and table.name.startswith(("q_", "a_")) and "pgmq_public" in api.schemas
    ]  # fmt: skip
    for table in (*candidates, *queues):
        queue = table in queues
        if not queue and not api.serves(table.schema):
            continue
        roles = [role for role in api.roles if "SELECT" in rights.on_table(role, table)]
        if not roles or (queue and table.row_security):
            continue
        rows = estimated_rows(evidence, table)
        kind = "queue" if queue else table.kind.replace("_", " ") + ("" if table.kind != "foreign" else " table")
        name, listed = qualified_name(table.schema, table.name), ", ".join(map(quote_identifier, roles))
        yield Finding(
            table.subject,
            f"The API lets {listed} read all of {kind} {table.subject.name}",
            Fix(
                "Take the rights away, and show what callers may see by a view or a function that asks who they are.",
                f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;" if queue else f"REVOKE ALL ON {name} FROM {listed};",
                lock="ACCESS EXCLUSIVE, briefly" if queue else "none",
                undo=f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;"
                if queue
                else f"GRANT SELECT ON {name} TO {listed};",
            ),
            severity=Severity.HIGH if sensitive_columns(catalog, table) else Severity.MEDIUM,
            observed={"kind": kind, "roles": roles, "rows": None if rows is None else round(rows)},
        )
    yield Examined(len(candidates) + len(queues), len(candidates) + len(queues), "such objects")
