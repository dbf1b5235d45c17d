"""Who reaches what: rights of roles, and the schemas that an HTTP API opens to whoever knows its address."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from checks.evidence.database.facts import Access, Catalog, Function, Grant, Role, Server, Settings, Table
from checks.evidence.evidence import Evidence

_ANONYMOUS = frozenset({"anon", "anonymous", "web_anon"})
_SIGNED_IN = frozenset({"authenticated"})
_TRUSTED = frozenset({"service_role", "supabase_admin", "supabase_auth_admin", "supabase_storage_admin", "postgres"})
_DEFAULT_SCHEMAS = ("public",)

# Schemas of Supabase's and similar platforms' own services.
PLATFORM_SCHEMAS = frozenset(
    """
    _analytics _realtime auth cron dbdev extensions graphql graphql_public net neon_auth pgbouncer pgmq pgroonga pgsodium
    pgsodium_masks pgtle realtime repack storage supabase_functions supabase_migrations tiger topology vault
    """.split()
)


class Api(msgspec.Struct, frozen=True):
    """An HTTP API over the database (PostgREST, Supabase's, Neon's). `roles` serve its callers, `anonymous` those of them who
    did not sign in; `schemas` are what it serves. `known` says that the server told the schemas, else they are the default."""

    roles: tuple[str, ...]
    anonymous: tuple[str, ...]
    schemas: tuple[str, ...]
    known: bool

    def serves(self, schema: str) -> bool:
        return schema in self.schemas and schema not in PLATFORM_SCHEMAS


def api_of(evidence: Evidence) -> Api | None:
    """The API that serves this database; None where there is no sign of one."""
    access, settings, server = evidence.find(Access), evidence.find(Settings), evidence.find(Server)
    if access is None:
        return None
    database = server.database if server else ""
    told = [
        entry
        for entry in (settings.role_settings if settings else ())
        if entry.name.startswith("pgrst.") and entry.database in ("", database)
    ]
    authenticators = {entry.role for entry in told if entry.role} | ({"authenticator"} & access.role_by_name.keys())
    roles = {
        name
        for authenticator in authenticators
        if authenticator in access.role_by_name
        for name in access.role_by_name[authenticator].member_of
    }
    if {"anon", "authenticated"} <= access.role_by_name.keys():
        roles |= {"anon", "authenticated"}
    roles = {name for name in roles if name not in _TRUSTED and not _bypasses(access.role_by_name.get(name))}
    if not roles:
        return None
    anonymous = {entry.value for entry in told if entry.name == "pgrst.db_anon_role"} | (roles & _ANONYMOUS)
    listed = next((entry.value for entry in told if entry.name == "pgrst.db_schemas"), "")
    schemas = tuple(name.strip().strip('"') for name in listed.split(",") if name.strip())
    return Api(tuple(sorted(roles)), tuple(sorted(anonymous & roles)), schemas or _DEFAULT_SCHEMAS, bool(schemas))


def _bypasses(role: Role | None) -> bool:
    return role is None or role.superuser or role.bypasses_row_security


class Rights:
    """What roles of one database may do, by grants, ownership, membership and PUBLIC."""

    def __init__(self, access: Access, catalog: Catalog) -> None:
        self._access = access
        self._catalog = catalog
        self._schemas = {schema.name: schema for schema in access.schemas}
        self._acting = lru_cache(maxsize=None)(self._find_acting)

    def _find_acting(self, name: str) -> frozenset[str]:
        """The role and all whose rights it has without SET ROLE, PUBLIC ('') among them."""
        found, waiting = {name, ""}, [name]
        while waiting:
            role = self._access.role_by_name.get(waiting.pop())
            if role is None or not role.inherits:
                continue
            for other in role.member_of:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)

    def acts_as(self, name: str) -> frozenset[str]:
        return self._acting(name)

    def bypasses_row_security(self, name: str) -> bool:
        """Whether no policy holds for this role: attributes are not inherited."""
        role = self._access.role_by_name.get(name)
        return role is not None and (role.superuser or role.bypasses_row_security)

    def _granted(self, name: str, kind: str, oid: int) -> set[str]:
        acting = self._acting(name)
        return {
            privilege.rstrip("*")
            for grant in self._access.grants_on(kind, oid)
            if grant.grantee in acting
            for privilege in grant.privileges
        }

    def on_table(self, name: str, table: Table) -> set[str]:
        """Privileges on a relation, those on some of its columns among them, if the role may look into its schema."""
        if self._is_superuser(name):
            return {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}
        if not self.uses_schema(name, table.schema):
            return set()
        if table.owner in self._acting(name):
            return {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"}
        found = self._granted(name, "relation", table.oid) | self._granted(name, "column", table.oid)
        acting = self._acting(name)
        if "pg_read_all_data" in acting:
            found.add("SELECT")
        if "pg_write_all_data" in acting:
            found |= {"INSERT", "UPDATE", "DELETE"}
        return found

    def grants_on_table(self, table: Table) -> list[Grant]:
        return self._access.grants_on("relation", table.oid)

    def executes(self, name: str, function: Function) -> bool:
        if self._is_superuser(name):
            return True
        if not self.uses_schema(name, function.schema):
            return False
        owns = function.owner in self._acting(name)
        return owns or function.executable_by_public or "EXECUTE" in self._granted(name, "function", function.oid)

    def uses_schema(self, name: str, schema: str) -> bool:
        found = self._schemas.get(schema)
        if found is None:
            return False
        acting = self._acting(name)
        readers = {"pg_read_all_data", "pg_write_all_data"}
        return (
            self._is_superuser(name)
            or found.owner in acting
            or bool(acting & readers)
            or "USAGE" in self._granted(name, "schema", found.oid)
        )

    def _is_superuser(self, name: str) -> bool:
        role = self._access.role_by_name.get(name)
        return role is not None and role.superuser


def rights_of(evidence: Evidence) -> Rights:
    return Rights(evidence.get(Access), evidence.get(Catalog))
