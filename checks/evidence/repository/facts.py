"""What is observed of a repository: files, the SQL in them, the schema they declare, how they are deployed.

Paths are relative to the repository's root with `/`; lines count from 1. SQL has its literals masked.
"""

from __future__ import annotations

import msgspec

from checks.model import Location, Subject


class CodeStatement(msgspec.Struct, frozen=True):
    """An SQL statement in application code, as it stands there: placeholders and holes written `$1`, `$2`, ...

    `source`: python, typescript, sql. `holes` counts parts put in at run time that are not placeholders; a hole makes the
    statement dynamic. `parsed` tells whether its access pattern can be read. `limit` is the outermost LIMIT where it is written
    as a number, which `text` masks.
    """

    location: Location
    source: str
    text: str
    holes: int = 0
    parsed: bool = True
    limit: int | None = None


class Match(msgspec.Struct, frozen=True):
    """`how`: query_id (the server computed the same identifier), text (normalised texts are equal), pattern (same access)."""

    query_id: str
    location: Location
    how: str


class Declared(msgspec.Struct, frozen=True):
    """The statement in a migration or schema file that created, or last changed, an object."""

    subject: Subject
    location: Location
    action: str = "create"


class DeploymentFact(msgspec.Struct, frozen=True):
    """Something a deployment file says. `kind`: server_image, pooler, standby, backup, alert_rules, metrics_agent,
    pool_size, setting, orm, vector_client, document_store, migrations, ...; `detail` is short and holds no secret."""

    kind: str
    detail: str
    location: Location


class Repository(msgspec.Struct, frozen=True, tag=True):
    """`files` and `lines` count what was read as text; `skipped` counts the rest by reason (binary, too_large, generated,
    vendored, outside_root, unreadable)."""

    name: str
    commit: str | None = None
    files: int = 0
    lines: int = 0
    languages: dict[str, int] = {}
    skipped: dict[str, int] = {}
    statements: tuple[CodeStatement, ...] = ()
    matches: tuple[Match, ...] = ()
    declared: tuple[Declared, ...] = ()
    deployment: tuple[DeploymentFact, ...] = ()
    unparsed_migrations: tuple[Location, ...] = ()
