"""The schema that migrations and schema files declare."""

from __future__ import annotations

import msgspec

from checks.model import Location, Subject


class Declared(msgspec.Struct, frozen=True):
    """The statement in a migration or schema file that created, or last changed, an object. `commit` is the short id of the
    commit that brought that file, where no later one changed it."""

    subject: Subject
    location: Location
    action: str = "create"
    commit: str | None = None


class DeclaredColumn(msgspec.Struct, frozen=True):
    """A column as the migrations leave it. `type` as format_type() prints it, without the schema of a type that is not built
    in; None where it could not be read. `not_null` and `has_default` (a serial, identity or generated column has one) are None
    where they could not. `changed`: the last statement that altered it. `labels` are those of its enumerated type in their order,
    empty where they are not known, `labeled` the statement that made or last changed that type."""

    name: str
    location: Location
    type: str | None = None
    not_null: bool | None = None
    has_default: bool | None = None
    changed: Location | None = None
    labels: tuple[str, ...] = ()
    labeled: Location | None = None


class DeclaredConstraint(msgspec.Struct, frozen=True):
    """`kind`: primary_key, unique, foreign_key, check, exclusion. `columns` of a check are those that it names. `references` is
    schema and table, `referenced_columns` are empty where the statement leaves them to the primary key. `on_delete` in words, as
    in Constraint."""

    name: str
    kind: str
    location: Location
    columns: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    referenced_columns: tuple[str, ...] = ()
    on_delete: str = ""


class DeclaredIndex(msgspec.Struct, frozen=True):
    """An index in its table's schema. `columns` are its keys, empty for an expression. An index that belongs to a constraint
    stands under the constraints only."""

    name: str
    location: Location
    columns: tuple[str, ...] = ()
    unique: bool = False
    partial: bool = False
    method: str = "btree"


class DeclaredTable(msgspec.Struct, frozen=True):
    """`complete`: all its columns are known. `partition`: it is one of another table, or inherits from one. `foreign`: a foreign
    table. `changed`: the last statement that altered the table itself."""

    schema: str
    name: str
    location: Location
    columns: tuple[DeclaredColumn, ...] = ()
    constraints: tuple[DeclaredConstraint, ...] = ()
    indexes: tuple[DeclaredIndex, ...] = ()
    complete: bool = True
    partition: bool = False
    foreign: bool = False
    changed: Location | None = None


class Lineage(msgspec.Struct, frozen=True):
    """What one folder of migrations, or one file with a whole schema, leaves behind when it runs from its first to its last.

    `tool`: sql, prisma, drizzle, supabase, flyway, liquibase, goose, dbmate, golang-migrate, diesel, alembic, django, rails.
    `folder` is the folder, or the file. Unqualified names stand in `public`. `objects` are views, functions, triggers, policies
    and types. `unread` are the statements that could not be read; `uncertain` the names that stand in those, in conditional
    blocks and in code, of which nothing follows; `uncertain_kinds` the kinds of objects any of which such code may have made;
    `complete` is False where it may have done anything to any table. `last` is the file that runs last. `applications` are the
    labels of a Django project's applications.
    """

    tool: str
    folder: str
    files: int
    tables: tuple[DeclaredTable, ...] = ()
    objects: tuple[Declared, ...] = ()
    unread: tuple[Location, ...] = ()
    uncertain: tuple[str, ...] = ()
    uncertain_kinds: tuple[str, ...] = ()
    complete: bool = True
    last: str = ""
    applications: tuple[str, ...] = ()
