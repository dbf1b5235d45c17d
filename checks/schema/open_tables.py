"""Is row security on where roles reach tables directly?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.sql import parse, walk
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
from checks.relations import estimated_rows, is_of_the_application
from checks.schema.exposure import PLATFORM_SCHEMAS, Api, Rights, api_of, rights_of
from checks.schema.policies import reviewed_policies
from checks.schema.sensitive import sensitive_columns

_MANY = 8
_SHOWN = 5
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "TRUNCATE"})


@check("schema.row-security-disabled", catalogue="S90", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
def row_security_disabled(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table that callers reach directly has no row security.

    Where an HTTP API serves the schema (PostgREST, Supabase), its roles' rights on a table without row security are the rights
    of everybody who has the address and the public key. Where tenants are kept apart by policies, a table with the tenant's
    column and no policy is the one through which they see each other. Applications whose server alone speaks to the database
    are not asked to have row security.

    Fix: ENABLE ROW LEVEL SECURITY and write the policies; or move the table to a schema that the API does not serve.

    Example: CREATE TABLE invoices in schema public, which PostgREST serves, with GRANT SELECT ON invoices TO anon and
    no row security: GET /invoices with the public key returns all of them.

    Source: PostgreSQL manual, "Row Security Policies"; Supabase documentation, "Row Level Security"

    Observed: roles, privileges, sensitive_columns, tables, tenant_column, schemas_known.
    """
    catalog, rights, api = evidence.get(Catalog), rights_of(evidence), api_of(evidence)
    tables = [
        table
        for table in catalog.tables
        if table.kind in {"table", "partitioned"} and table.extension is None and table.schema not in PLATFORM_SCHEMAS
    ]
    tenants = _tenant_columns(evidence)
    if api is None and not tenants:
        raise NotApplicable("no API serves this database, and no table keeps tenants apart by row security")
    unmet = 0
    for finding, number in _exposed(evidence, tables, rights, api):
        unmet += number
        yield finding
    for schema, column in sorted(tenants):
        for table in tables:
            if not _forgets_tenant(catalog, table, schema, column, tenants[schema, column]) or (
                api and api.serves(schema)
            ):
                continue
            roles = sorted(role for role in tenants[schema, column].roles if "SELECT" in rights.on_table(role, table))
            if not roles:
                continue
            unmet += 1
            yield _tenant_finding(evidence, table, column, roles, len(tenants[schema, column].tables))
    yield Examined(len(tables), len(tables), "tables", unmet=unmet)


def _exposed(evidence: Evidence, tables: list[Table], rights: Rights, api: Api | None) -> Iterator[tuple[Finding, int]]:
    """Findings about tables that an API serves without row security, and how many tables each stands for."""
    catalog = evidence.get(Catalog)
    if api is None:
        return
    open_tables: dict[tuple[str, Severity], list[tuple[Table, list[str], set[str]]]] = {}
    for table in tables:
        if not api.serves(table.schema) or table.row_security or catalog.policies_of(table.oid):
            continue
        # A partition can be named directly: policies of its root don't hold for it then.
        root = catalog.table_by_oid.get(table.root or 0)
        if table.is_partition and not (root is not None and root.row_security):
            continue
        roles = [role for role in api.roles if rights.on_table(role, table)]
        privileges = set[str]().union(*(rights.on_table(role, table) for role in roles))
        if not privileges & (_WRITES | {"SELECT"}):
            continue
        severity = _severity(catalog, table, rights, api, roles)
        open_tables.setdefault((table.schema, severity), []).append((table, roles, privileges))
    for (schema, severity), found in sorted(open_tables.items(), key=lambda entry: (entry[0][0], entry[0][1].rank)):
        if len(found) < _MANY:
            for table, roles, privileges in found:
                yield _exposed_finding(evidence, api, [table], roles, privileges, table.subject, severity), 1
        else:
            roles = sorted({role for _, some, _ in found for role in some})
            privileges = set[str]().union(*(some for _, _, some in found))
            listed = [table for table, _, _ in found]
            yield (
                _exposed_finding(evidence, api, listed, roles, privileges, Subject("schema", (schema,)), severity),
                len(found),
            )


def _severity(catalog: Catalog, table: Table, rights: Rights, api: Api, roles: list[str]) -> Severity:
    if not is_of_the_application(table):
        return Severity.MEDIUM
    anonymous = [role for role in roles if role in api.anonymous]
    writes = any(rights.on_table(role, table) & _WRITES for role in roles)
    if anonymous and (
        any(rights.on_table(role, table) & _WRITES for role in anonymous) or sensitive_columns(catalog, table)
    ):
        return Severity.CRITICAL
    return Severity.HIGH if anonymous or writes else Severity.MEDIUM


def _exposed_finding(
    evidence: Evidence,
    api: Api,
    tables: list[Table],
    roles: list[str],
    privileges: set[str],
    subject: Subject,
    severity: Severity,
) -> Finding:
    catalog = evidence.get(Catalog)
    who = ", ".join(map(quote_identifier, roles[:_SHOWN]))
    may = "write" if privileges & _WRITES else "read"
    what = f"Table {subject.name}" if subject.kind == "table" else f"{len(tables)} tables of schema {subject.name}"
    enable = "\n".join(
        f"ALTER TABLE {qualified_name(table.schema, table.name)} ENABLE ROW LEVEL SECURITY;" for table in tables[:100]
    )
    disable = " ".join(
        f"ALTER TABLE {qualified_name(table.schema, table.name)} DISABLE ROW LEVEL SECURITY;" for table in tables[:100]
    )
    sensitive = {column.name for table in tables for column in sensitive_columns(catalog, table)}
    return Finding(
        subject,
        f"{what} {'has' if subject.kind == 'table' else 'have'} no row security, and {who} may {may} every row through the API",
        Fix(
            "Switch row security on and write a policy for each command that callers need: without one they see no row, while "
            "the owner and roles that bypass row security go on as before.",
            enable,
            lock="ACCESS EXCLUSIVE, briefly",
            undo=disable,
        ),
        severity=severity,
        confidence=Confidence.MEASURED if api.known else Confidence.INFERRED,
        observed={
            "roles": roles,
            "privileges": sorted(privileges),
            "sensitive_columns": sorted(sensitive)[:20],
            "tables": [table.subject.name for table in tables[:20]],
            "schemas_known": api.known,
        },
        related=tuple(table.subject for table in tables[:_SHOWN] if table.subject != subject),
    )


class _Tenant:
    """Tables of a schema that policies guard by one column, and the roles that those policies hold for."""

    def __init__(self) -> None:
        self.tables: set[int] = set()
        self.types: set[str] = set()
        self.roles: set[str] = set()


def _tenant_columns(evidence: Evidence) -> dict[tuple[str, str], _Tenant]:
    """Columns by which policies keep rows apart, on two tables of a schema or more, by schema and name."""
    catalog, access, rights = evidence.get(Catalog), evidence.get(Access), rights_of(evidence)
    found: dict[tuple[str, str], _Tenant] = {}
    try:
        policies = reviewed_policies(catalog)
    except NotApplicable:
        return {}
    bound = [role for role in access.roles if role.can_login and not (role.superuser or role.bypasses_row_security)]
    for table, policy in policies:
        if not table.row_security:
            continue
        for name in _columns_in(policy.using) | _columns_in(policy.check):
            column = catalog.column_named(table.oid, name)
            if column is None or name in {"id", "uuid"} or len(name) < 3:
                continue
            tenant = found.setdefault((table.schema, name), _Tenant())
            tenant.tables.add(table.oid)
            tenant.types.add(column.base_type)
            tenant.roles |= {
                role.name for role in bound
                if role.name != table.owner and ("" in policy.roles or rights.acts_as(role.name) & set(policy.roles))
            }  # fmt: skip
    return {key: tenant for key, tenant in found.items() if len(tenant.tables) > 1 and tenant.roles}


def _columns_in(expression: str | None) -> set[str]:
    """Columns that an expression compares, those within sub-selects left out."""
    tree = parse(f"SELECT {expression}") if expression else None
    if tree is None:
        return set()
    return {
        node.fields[-1].string.sval
        for node in walk(tree, into=lambda message: message.DESCRIPTOR.name != "SubLink")
        if node.DESCRIPTOR.name == "ColumnRef" and node.fields
    }


def _forgets_tenant(catalog: Catalog, table: Table, schema: str, name: str, tenant: _Tenant) -> bool:
    column = catalog.column_named(table.oid, name)
    return (
        table.schema == schema
        and not table.row_security
        and not table.is_partition
        and not catalog.policies_of(table.oid)
        and is_of_the_application(table)
        and column is not None
        and column.base_type in tenant.types
    )


def _tenant_finding(evidence: Evidence, table: Table, column: str, roles: list[str], others: int) -> Finding:
    rows, name = estimated_rows(evidence, table), qualified_name(table.schema, table.name)
    return Finding(
        table.subject,
        f"Table {table.subject.name} has no row security, while {others} others keep rows apart by {quote_identifier(column)}",
        Fix(
            "Switch row security on, with the policies that the other tables have.",
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;",
            lock="ACCESS EXCLUSIVE, briefly",
            undo=f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;",
        ),
        severity=Severity.HIGH,
        confidence=Confidence.INFERRED,
        observed={"roles": roles, "tenant_column": column, "rows": None if rows is None else round(rows)},
    )
