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


class ModelColumn(msgspec.Struct, frozen=True):
    """`name` in the database, `attribute` in code. `type` as the code writes it, without its arguments; `length` and vector
    `dimensions` where they are numbers there. `nullable` is None where the code leaves it open. `references` is the (schema,)
    table and column of its foreign key, as written. `on_update`: the ORM sets it with every update."""

    name: str
    attribute: str
    location: Location
    type: str | None = None
    length: int | None = None
    dimensions: int | None = None
    nullable: bool | None = None
    primary_key: bool = False
    unique: bool = False
    values: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    on_update: bool = False


class ModelRelation(msgspec.Struct, frozen=True):
    """`attribute` leads to the model named `target`; `columns` of this model refer to `references` of that one, empty where the
    code does not say it on this side."""

    attribute: str
    target: str
    columns: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    many: bool = False


class ModelIndex(msgspec.Struct, frozen=True):
    """`columns` by their names in the database; an expression among them is left out and makes it `partial`."""

    columns: tuple[str, ...]
    name: str | None = None
    unique: bool = False
    method: str | None = None
    partial: bool = False


class Model(msgspec.Struct, frozen=True):
    """A table as the code of an ORM declares it: sqlalchemy, prisma or drizzle. `name` is the class or variable. `schema` is
    None where the code leaves it to the search path. `complete`: all columns are known."""

    name: str
    orm: str
    table: str
    location: Location
    schema: str | None = None
    columns: tuple[ModelColumn, ...] = ()
    relations: tuple[ModelRelation, ...] = ()
    indexes: tuple[ModelIndex, ...] = ()
    complete: bool = True


class OrmCall(msgspec.Struct, frozen=True):
    """A call that has an ORM send a statement, as SQL that reads or writes the same: names quoted, values `$1`, `$2`, ...

    `partial` tells what of the statement could not be read and may be there besides: where, order, limit, columns, joins,
    expressions (of the select list). `limit` is the number where it is written as one. `function` is the function or method
    around it.
    """

    location: Location
    orm: str
    text: str
    partial: tuple[str, ...] = ()
    limit: int | None = None
    function: str | None = None


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
    models: tuple[Model, ...] = ()
    calls: tuple[OrmCall, ...] = ()
