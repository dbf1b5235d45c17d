"""Is row security on where roles reach tables directly, and does it hold for them?"""

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
from checks.observability.application_roles import application_roles, possible_roles
from checks.registry import check
from checks.relations import estimated_rows, is_of_the_application
from checks.schema.exposure import PLATFORM_SCHEMAS, Api, Rights, api_of, rights_of
from checks.schema.habits import CROWD, once_per_habit
from checks.schema.policies import policy_subject, reviewed_policies
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


@check("schema.row-security-bypassed", catalogue="S90", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
def row_security_bypassed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The application connects as a role that no policy holds for.

    Policies do not bind superusers, roles with BYPASSRLS, nor the owner of the table unless it is FORCED: the tenants that they
    should keep apart are kept apart by nothing. Applications that take on another role for each request are left out, and so
    are those behind an API, where policies are for its callers.

    Fix: Connect as a role that owns nothing, or FORCE ROW LEVEL SECURITY.

    Example: ALTER TABLE orders ENABLE ROW LEVEL SECURITY, and the application connects as app, which owns orders:
    SELECT * FROM orders returns the rows of every tenant, whatever the policy says.

    Source: PostgreSQL manual, "Row Security Policies"

    Observed: because, tables.
    """
    catalog, access, rights = evidence.get(Catalog), evidence.get(Access), rights_of(evidence)
    guarded = list({table.oid: table for table, _ in reviewed_policies(catalog) if table.row_security}.values())
    if not guarded:
        raise NotApplicable("no table with policies has row security")
    if api_of(evidence) is not None:
        raise NotApplicable("an API serves this database: its callers' roles are bound by policies")
    seen = application_roles(evidence)
    roles = seen or possible_roles(evidence)
    named = {role for table in guarded for policy in catalog.policies_of(table.oid) for role in policy.roles} - {""}
    for role in roles:
        if role not in access.role_by_name or _takes_on(access, role, named):
            continue
        bypasses = rights.bypasses_row_security(role)
        free = [
            table
            for table in guarded
            if bypasses or (table.owner in rights.acts_as(role) and not table.row_security_forced)
        ]
        if not free:
            continue
        subject = Subject("role", (role,))
        because = "superuser" if access.role_by_name[role].superuser else "BYPASSRLS" if bypasses else "owner"
        yield Finding(
            subject,
            f"Policies of {len(free)} tables do not hold for role {subject.name}: it is "
            + {"superuser": "a superuser", "BYPASSRLS": "one with BYPASSRLS", "owner": "their owner"}[because],
            Fix(
                "Give the application a login role that owns nothing and has the rights it needs, and keep this for migration."
                + ("" if bypasses else " Until then force row security, after trying every path of the application."),
                None if bypasses else "\n".join(
                    f"ALTER TABLE {qualified_name(table.schema, table.name)} FORCE ROW LEVEL SECURITY;" for table in free[:100]
                ),
                lock=None if bypasses else "ACCESS EXCLUSIVE, briefly",
                undo=None if bypasses else " ".join(
                    f"ALTER TABLE {qualified_name(table.schema, table.name)} NO FORCE ROW LEVEL SECURITY;" for table in free[:100]
                ),
            ),
            confidence=Confidence.MEASURED if seen else Confidence.INFERRED,
            observed={"because": because, "tables": [table.subject.name for table in free[:20]]},
            related=tuple(table.subject for table in free[:_SHOWN]),
        )  # fmt: skip
    yield Examined(len(roles), len(roles), "roles of the application")


def _takes_on(access: Access, role: str, named: set[str]) -> bool:
    """Whether a role may SET ROLE to one that policies name."""
    return bool(set(access.role_by_name[role].member_of) & named)


@check("schema.policy-without-row-security", catalogue="S91", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} tables of schema {schema} have policies, but row security is off", CROWD
)
def policy_without_row_security(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has policies, but row security is off.

    The policies do nothing: every role with rights on the table reads and writes all of its rows, while whoever reads the schema
    believes that they are guarded.

    Fix: ENABLE ROW LEVEL SECURITY, after trying the policies; they begin to hold at once.

    Example: CREATE POLICY own ON notes USING (owner = current_user), without ALTER TABLE notes ENABLE ROW LEVEL
    SECURITY: SELECT * FROM notes returns everybody's notes.

    Source: PostgreSQL manual, "Row Security Policies"

    Observed: policies, rows.
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table, _ in reviewed_policies(catalog)}
    for table in tables.values():
        if table.row_security:
            continue
        rows = estimated_rows(evidence, table)
        name = qualified_name(table.schema, table.name)
        names = [policy.name for policy in catalog.policies_of(table.oid)]
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has {len(names)} {'policy' if len(names) == 1 else 'policies'}, but row security is off",
            Fix(
                "Try the policies on a copy, then switch them on. Roles for which none is written see no row from then on.",
                f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;",
                lock="ACCESS EXCLUSIVE, briefly",
                undo=f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;",
            ),
            observed={"policies": names, "rows": None if rows is None else round(rows)},
            related=tuple(policy_subject(table, policy) for policy in catalog.policies_of(table.oid)[:5]),
        )
    yield Examined(len(tables), len(tables), "tables with policies")


@check("schema.row-security-without-policy", catalogue="S92", severity=Severity.LOW, needs=[Catalog, Access])
@once_per_family
def row_security_without_policy(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has row security, but no policy: nobody but its owner sees a row.

    That is a safe way to close a table to an API. If a role that is bound by it has rights on the table all the same, one of
    the two is a mistake, and it shows as results that are empty, without an error.

    Fix: Write the policies, or take the rights away.

    Example: ALTER TABLE notes ENABLE ROW LEVEL SECURITY and GRANT SELECT ON notes TO app, without a policy: SELECT
    count(*) FROM notes is 0 for app, without an error.

    Source: PostgreSQL manual, "Row Security Policies"

    Observed: tables, roles.
    """
    catalog, access = evidence.get(Catalog), evidence.get(Access)
    rights, api = rights_of(evidence), api_of(evidence)
    tables = [table for table in catalog.tables if table.row_security and is_of_the_application(table)
              and table.schema not in PLATFORM_SCHEMAS and not table.is_partition]  # fmt: skip
    if not tables:
        raise NotApplicable("no table has row security")
    bound = [role.name for role in access.roles if not (role.superuser or role.bypasses_row_security)]
    closed: dict[str, list[Table]] = {}
    named: dict[str, set[str]] = {}
    for table in tables:
        if catalog.policies_of(table.oid):
            continue
        roles = [role for role in bound if role != table.owner and "SELECT" in rights.on_table(role, table)]
        if roles:
            closed.setdefault(table.schema, []).append(table)
            named.setdefault(table.schema, set()).update(roles)
    for schema, found in sorted(closed.items()):
        roles = sorted(named[schema])
        # Supabase grants everything to its API's roles: row security without a policy is how a table is closed there.
        intended = api is not None and set(roles) <= {*api.roles, *_dashboard(access)}
        one = len(found) == 1
        what = (
            f"Table {found[0].subject.name} has" if one else f"{len(found)} tables of {quote_identifier(schema)} have"
        )
        listed = ", ".join(map(quote_identifier, roles[:5]))
        yield Finding(
            found[0].subject if one else Subject("schema", (schema,)),
            f"{what} row security and no policy: {listed} may select, and see no row",
            Fix("Write the policies that these roles need; or, if nobody but the owner is to see the rows, take their rights: "
                "that says it, and fails loudly."),
            severity=Severity.NOTE if intended else Severity.LOW,
            observed={"tables": [table.subject.name for table in found[:20]], "roles": roles},
            related=tuple(table.subject for table in found[:5]),
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables with row security", unmet=sum(map(len, closed.values())))


def _dashboard(access: Access) -> set[str]:
    return {
        role.name
        for role in access.roles
        if role.name.startswith(("supabase_", "dashboard", "pgbouncer", "authenticator"))
    }
