"""Roles, schemas and grants: who may do what in this database."""

from __future__ import annotations

from typing import Any

from checks.evidence.database.facts import Access, DefaultGrant, Grant, Role, Schema
from checks.evidence.database.query import query
from checks.evidence.database.session import Session

_KINDS = {"r": "relation", "S": "sequence", "f": "function", "n": "schema", "T": "type", "L": "large object"}


def observe_access(session: Session) -> Access:
    """In the transaction at hand. Every login may read it."""
    major = session.major
    return Access(
        roles=tuple(_role(row) for row in session.rows(query("access_roles", major))),
        schemas=tuple(Schema(*row) for row in session.rows(query("schemas", major))),
        grants=tuple(
            Grant(row.kind, row.grantee, tuple(row.privileges.split(",")), tuple(row.objects))
            for row in session.rows(query("grants", major))
        ),
        default_grants=tuple(
            DefaultGrant(row.owner, row.schema, _KINDS.get(row.kind, row.kind), row.grantee, tuple(row.privileges))
            for row in session.rows(query("default_grants", major))
        ),
    )


def _role(row: Any) -> Role:
    return Role(
        name=row.name,
        superuser=row.superuser,
        inherits=row.inherits,
        creates_roles=row.creates_roles,
        creates_databases=row.creates_databases,
        can_login=row.can_login,
        replicates=row.replicates,
        bypasses_row_security=row.bypasses_row_security,
        connection_limit=row.connection_limit,
        valid_until=row.valid_until,
        member_of=tuple(row.member_of),
    )
