"""Who owns, who may create, and who may do more than the application needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog, Role, Server, Table
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
from checks.observability.application_roles import SERVICE_ROLE, application_roles, possible_roles
from checks.registry import check
from checks.relations import is_of_the_application, reviewed_tables
from checks.schema.exposure import PLATFORM_SCHEMAS, api_of, rights_of

_SHOWN = 5
_OUTSIDE = {
    "pg_execute_server_program": "runs programs on the server",
    "pg_write_server_files": "writes files of the server",
    "pg_read_server_files": "reads files of the server",
}
_ALMOST_SUPERUSERS = frozenset(
    {"rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser", "neon_superuser"}
)
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "TRUNCATE"})


@check("schema.public-can-create", catalogue="S102", severity=Severity.MEDIUM, needs=[Catalog, Access, Server])
@once_per_family
def public_can_create(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Every login may create objects in a schema.

    Whoever can connect may put a function or a table there under a name that others use without a schema, and have it run with
    their rights the next time they do (CVE-2018-1058). Databases made before PostgreSQL 15 have this on schema public, and
    keep it through upgrades.

    Fix: REVOKE CREATE ON SCHEMA ... FROM PUBLIC.

    Example: GRANT CREATE ON SCHEMA public TO PUBLIC: any login runs CREATE FUNCTION public.lower(varchar), and a
    superuser's SELECT lower(name) on a varchar column calls it.

    Source: PostgreSQL manual, "Schemas", section "Usage Patterns"; release notes of PostgreSQL 15

    Observed: grantee, logins, definer_functions.
    """
    catalog, access, api = evidence.get(Catalog), evidence.get(Access), api_of(evidence)
    schemas = [schema for schema in access.schemas if schema.extension is None and schema.name not in PLATFORM_SCHEMAS]
    anonymous = set(api.roles) if api else set()
    for schema in schemas:
        grantees = sorted(
            grant.grantee
            for grant in access.grants_on("schema", schema.oid)
            if grant.grantee in {"", *anonymous}
            and "CREATE" in {privilege.rstrip("*") for privilege in grant.privileges}
        )
        if not grantees:
            continue
        logins = [
            role.name for role in access.roles
            if role.can_login and not role.superuser and role.name != schema.owner and not SERVICE_ROLE.fullmatch(role.name)
        ]  # fmt: skip
        definers = [
            f for f in catalog.functions if f.security_definer and f.search_path is None and f.extension is None
        ]
        whom = ", ".join("PUBLIC" if not name else quote_identifier(name) for name in grantees)
        name = quote_identifier(schema.name)
        subject = Subject("schema", (schema.name,))
        yield Finding(
            subject,
            f"{'Every login' if '' in grantees else whom} may create objects in schema {name}",
            Fix(
                "Take the right away. Roles that run migrations and don't own the schema need it granted by name.",
                f"REVOKE CREATE ON SCHEMA {name} FROM {whom};",
                lock="none",
                undo=f"GRANT CREATE ON SCHEMA {name} TO {whom};",
            ),
            severity=Severity.HIGH
            if anonymous & set(grantees) or (logins and definers)
            else Severity.MEDIUM if len(logins) > 1 else Severity.LOW,
            observed={"grantee": grantees, "logins": logins[:20], "definer_functions": len(definers)},
        )  # fmt: skip
    yield Examined(len(schemas), len(schemas), "schemas")


@check("schema.ownership-disorder", catalogue="S103", severity=Severity.LOW, needs=[Catalog, Access])
@once_per_family
def ownership_disorder(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The tables of one schema have several owners.

    Only the owner may alter a table, add an index or a policy: the role that runs migrations fails at the table that somebody
    made by hand as another role. Default privileges are the owner's too, so that such a table lacks what others are granted.

    Fix: One owner per schema, which nobody logs in as but migrations.

    Example: All tables belong to app_owner but reports, which somebody made as postgres: the migration's ALTER TABLE
    reports, run as app_owner, fails with "must be owner of table reports".

    Source: PostgreSQL manual, "Privileges"; "ALTER DEFAULT PRIVILEGES"

    Observed: owners, tables.
    """
    catalog, access = evidence.get(Catalog), evidence.get(Access)
    tables = reviewed_tables(catalog)
    by_schema: dict[str, list[Table]] = {}
    for table in tables:
        if table.schema not in PLATFORM_SCHEMAS:
            by_schema.setdefault(table.schema, []).append(table)
    unmet = 0
    for schema, found in sorted(by_schema.items()):
        owners = Counter(table.owner for table in found)
        if len(owners) < 2:
            continue
        ranked = sorted(owners, key=lambda owner: (-owners[owner], owner))
        main = ranked[0]
        odd = [table for table in found if table.owner != main]
        # A role that may act as all owners, as a provider's administrator does, is not stopped by them.
        if all(main in _members(access, owner) or owner in _members(access, main) for owner in owners if owner != main):
            continue
        unmet += len(odd)
        whose = "two owners" if len(owners) == 2 else f"{len(owners)} owners"
        yield Finding(
            Subject("schema", (schema,)),
            f"Tables of schema {quote_identifier(schema)} have {whose}: "
            + ", ".join(f"{owner or 'unknown'} ({owners[owner]})" for owner in ranked[:_SHOWN]),
            Fix(
                "Give them all to the role that runs migrations; rights on them that were granted to that role go away with it.",
                "\n".join(
                    f"ALTER TABLE {qualified_name(table.schema, table.name)} OWNER TO {quote_identifier(main)};"
                    for table in odd[:100]
                ),
                lock="ACCESS EXCLUSIVE, briefly",
                undo=" ".join(
                    f"ALTER TABLE {qualified_name(table.schema, table.name)} OWNER TO {quote_identifier(table.owner)};"
                    for table in odd[:100]
                ),
            ),
            observed={
                "owners": {owner: owners[owner] for owner in ranked},
                "tables": [t.subject.name for t in odd[:20]],
            },
            related=tuple(table.subject for table in odd[:_SHOWN]),
        )
    yield Examined(len(tables), len(tables), "tables", unmet=unmet)


def _members(access: Access, name: str) -> set[str]:
    """All roles that a role is a member of, itself among them."""
    found, waiting = {name}, [name]
    while waiting:
        role = access.role_by_name.get(waiting.pop())
        for other in role.member_of if role else ():
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


@check("schema.excessive-privileges", catalogue="S104", severity=Severity.HIGH, needs=[Access, Catalog, Server])
def excessive_privileges(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Roles may do more than they need to.

    An application that connects as superuser turns each injected statement into a shell on the server: COPY ... TO PROGRAM,
    reading files, every other database. Many superusers mean that nobody knows who changed what. Rights that PUBLIC has, every
    later login has too.

    Fix: A login role for the application that owns nothing, with SELECT, INSERT, UPDATE and DELETE on its tables.

    Example: The application connects as postgres, a superuser: an injected COPY (SELECT '') TO PROGRAM '...' runs that
    program on the database's server.

    Source: PostgreSQL manual, "Role Attributes"; "Predefined Roles"; "Privileges"

    Observed: because, member_of, superusers, tables, privileges.
    """
    access, server = evidence.get(Access), evidence.get(Server)
    seen = application_roles(evidence)
    roles = [access.role_by_name[name] for name in seen or possible_roles(evidence) if name in access.role_by_name]
    if not roles and not access.roles:
        raise NotApplicable("no role can be seen")
    for role in roles:
        yield from _too_much(access, role, certain=bool(seen))
    superusers = [
        role.name
        for role in access.roles
        if role.superuser and role.can_login and not SERVICE_ROLE.fullmatch(role.name)
    ]
    if len(superusers) > evidence.limit("superusers"):
        subject = Subject("database", (server.database,))
        yield Finding(
            subject,
            f"{len(superusers)} roles that may log in are superusers",
            Fix("Keep one superuser for emergencies; give people roles of their own with what they need (pg_monitor, "
                "pg_maintain, membership in the owner of the schema)."),
            severity=Severity.MEDIUM,
            observed={"superusers": superusers[:20]},
            related=tuple(Subject("role", (name,)) for name in superusers[:_SHOWN]),
            discriminator="superusers",
        )  # fmt: skip
    yield from _public_rights(evidence)
    yield Examined(len(access.roles), len(access.roles), "roles")


def _too_much(access: Access, role: Role, *, certain: bool) -> Iterator[Finding]:
    subject = Subject("role", (role.name,))
    members = _members(access, role.name) - {role.name}
    quoted = quote_identifier(role.name)
    outside = sorted(members & _OUTSIDE.keys())
    attributes = [
        word
        for word, has in (
            ("CREATEROLE", role.creates_roles), ("REPLICATION", role.replicates), ("BYPASSRLS", role.bypasses_row_security),
            ("CREATEDB", role.creates_databases),
        )
        if has
    ]  # fmt: skip
    provider = sorted(members & _ALMOST_SUPERUSERS)
    if role.superuser:
        because, severity = ["superuser"], Severity.HIGH
        title = f"The application connects as superuser {subject.name}"
        sql, undo = f"ALTER ROLE {quoted} NOSUPERUSER;", f"ALTER ROLE {quoted} SUPERUSER;"
    elif provider or outside:
        because, severity = [*provider, *outside], Severity.HIGH if outside else Severity.MEDIUM
        what = f"is a member of {', '.join(provider)}" if provider else " and ".join(_OUTSIDE[name] for name in outside)
        title = f"Role {subject.name} of the application {what}"
        sql = " ".join(f"REVOKE {quote_identifier(name)} FROM {quoted};" for name in because)
        undo = " ".join(f"GRANT {quote_identifier(name)} TO {quoted};" for name in because)
    elif attributes:
        because, severity = attributes, Severity.LOW if attributes == ["CREATEDB"] else Severity.MEDIUM
        title = f"Role {subject.name} of the application has {', '.join(attributes)}"
        sql = f"ALTER ROLE {quoted} {' '.join(f'NO{word}' for word in attributes)};"
        undo = f"ALTER ROLE {quoted} {' '.join(attributes)};"
    else:
        return
    yield Finding(
        subject,
        title,
        Fix("Connect as a role that owns nothing and has the rights on tables that the application needs; keep this one for "
            "people and migrations, or take away what nothing uses.", sql, lock="none", undo=undo),
        severity=severity,
        confidence=Confidence.MEASURED if certain else Confidence.INFERRED,
        observed={"because": because, "member_of": sorted(members)},
    )  # fmt: skip


def _public_rights(evidence: Evidence) -> Iterator[Finding]:
    """Rights on tables that PUBLIC has: writing anywhere, per schema."""
    catalog, access = evidence.get(Catalog), evidence.get(Access)
    open_tables: dict[str, dict[str, set[str]]] = {}
    for grant in access.grants:
        privileges = {privilege.rstrip("*") for privilege in grant.privileges} & _WRITES
        if grant.grantee or grant.kind not in {"relation", "column"} or not privileges:
            continue
        for oid in grant.objects:
            table = catalog.table_by_oid.get(oid)
            if table is None or not is_of_the_application(table) or table.schema in PLATFORM_SCHEMAS:
                continue
            open_tables.setdefault(table.schema, {}).setdefault(table.subject.name, set()).update(privileges)
    rights = rights_of(evidence)
    for schema, tables in sorted(open_tables.items()):
        # Without USAGE on the schema the grant is of no use to anybody.
        users = [role.name for role in access.roles if not role.superuser and rights.uses_schema(role.name, schema)]
        if not users:
            continue
        written = sorted(set[str]().union(*tables.values()))
        name = quote_identifier(schema)
        revoke = ", ".join(list(tables)[:100])
        yield Finding(
            Subject("schema", (schema,)),
            f"Every login may {', '.join(written)} on {len(tables)} tables of schema {name}",
            Fix(
                "Grant the rights to the roles that need them, then take them away from PUBLIC.",
                f"REVOKE {', '.join(written)} ON {revoke} FROM PUBLIC;",
                lock="none",
                undo=f"GRANT {', '.join(written)} ON {revoke} TO PUBLIC;",
            ),
            severity=Severity.MEDIUM,
            observed={"tables": list(tables)[:20], "privileges": written},
            discriminator="public",
        )
