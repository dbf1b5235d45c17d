"""Who may do what."""

from __future__ import annotations

import datetime as dt
from functools import cached_property

import msgspec

from checks.model import Subject


class Role(msgspec.Struct, frozen=True):
    """A role of the server but PostgreSQL's own (pg_...). `connection_limit` is None for no limit. `member_of` are the roles
    granted to it, PostgreSQL's own among them."""

    name: str
    superuser: bool = False
    inherits: bool = True
    creates_roles: bool = False
    creates_databases: bool = False
    can_login: bool = False
    replicates: bool = False
    bypasses_row_security: bool = False
    connection_limit: int | None = None
    valid_until: dt.datetime | None = None
    member_of: tuple[str, ...] = ()


class Schema(msgspec.Struct, frozen=True):
    oid: int
    name: str
    owner: str
    extension: str | None = None

    @property
    def subject(self) -> Subject:
        return Subject("schema", (self.name,))


class Grant(msgspec.Struct, frozen=True):
    """The same privileges of one role on many objects, the owner's own left out. `grantee` is '' for PUBLIC.

    `kind`: relation, sequence, schema, function, database, column (then `objects` are the tables). `privileges` as GRANT names
    them, with `*` behind those that it may pass on. EXECUTE that PUBLIC has by default is not here: Function tells it.
    """

    kind: str
    grantee: str
    privileges: tuple[str, ...]
    objects: tuple[int, ...]


class DefaultGrant(msgspec.Struct, frozen=True):
    """Of ALTER DEFAULT PRIVILEGES: what `grantee` gets on each object of that kind that `owner` makes; '' for any schema."""

    owner: str
    schema: str
    kind: str
    grantee: str
    privileges: tuple[str, ...]


class Access(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Roles of the server, and what of this database's objects they may use."""

    roles: tuple[Role, ...] = ()
    schemas: tuple[Schema, ...] = ()
    grants: tuple[Grant, ...] = ()
    default_grants: tuple[DefaultGrant, ...] = ()

    @cached_property
    def role_by_name(self) -> dict[str, Role]:
        return {role.name: role for role in self.roles}

    @cached_property
    def _grants_on(self) -> dict[tuple[str, int], list[Grant]]:
        found: dict[tuple[str, int], list[Grant]] = {}
        for grant in self.grants:
            for oid in grant.objects:
                found.setdefault((grant.kind, oid), []).append(grant)
        return found

    def grants_on(self, kind: str, oid: int) -> list[Grant]:
        return self._grants_on.get((kind, oid), [])
