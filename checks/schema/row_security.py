"""Do row security and policies go together, and do they hold for the application?"""

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
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.observability.application_roles import application_roles, possible_roles
from checks.registry import check
from checks.relations import estimated_rows, is_of_the_application
from checks.schema.exposure import PLATFORM_SCHEMAS, api_of, rights_of
from checks.schema.habits import CROWD, once_per_habit
from checks.schema.policies import policy_subject, reviewed_policies

_SHOWN = 5


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
