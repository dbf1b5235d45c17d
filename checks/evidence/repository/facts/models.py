"""What the code of an ORM declares, and the statements that its calls send."""

from __future__ import annotations

import msgspec

from checks.model import Location


class ModelColumn(msgspec.Struct, frozen=True):
    """`name` in the database, `attribute` in code. `type` as the code writes it, without its arguments; `length` and vector
    `dimensions` where they are numbers there. `nullable` is None where the code leaves it open. `references` is the (schema,)
    table and column of its foreign key, as written, `on_delete` that key's action in words, where it is written. `on_update`: the
    ORM sets it with every update."""

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
    on_delete: str = ""


class ModelRelation(msgspec.Struct, frozen=True):
    """`attribute` leads to the model named `target`; `columns` of this model refer to `references` of that one, empty where the
    code does not say it on this side. `on_delete` in words, where it is written; of ActiveRecord, which deletes by itself, what
    `dependent:` says. `name` where the code tells several relations
    between the same models apart by one."""

    attribute: str
    target: str
    columns: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    many: bool = False
    on_delete: str = ""
    name: str = ""


class ModelIndex(msgspec.Struct, frozen=True):
    """`columns` by their names in the database; an expression among them is left out and makes it `partial`. `validated`: code
    checks it before it writes, and asks for no index. `any_case`: capitals make no difference to it."""

    columns: tuple[str, ...]
    name: str | None = None
    unique: bool = False
    method: str | None = None
    partial: bool = False
    validated: bool = False
    any_case: bool = False


class Model(msgspec.Struct, frozen=True):
    """A table as the code of an ORM (sqlalchemy, django, prisma, ...) declares it. `name` is the class or variable. `schema` is
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


class Remark(msgspec.Struct, frozen=True):
    """A comment that says that what stands at `location`, the line of code at or after it, has no foreign key on purpose. `names`
    are those that it writes in backquotes: it may be about these too."""

    location: Location
    names: tuple[str, ...] = ()


class OrmCall(msgspec.Struct, frozen=True):
    """A call that has an ORM send a statement, as SQL that reads or writes the same: names quoted, values `$1`, `$2`, ...

    `partial` tells what of the statement could not be read and may be there besides: where, order, limit, columns, joins,
    expressions (of the select list). `limit` is the number where it is written as one. `function` is the function or method
    around it. `part`: it is not sent where it stands, but within another statement, which could not be told as a whole.
    """

    location: Location
    orm: str
    text: str
    partial: tuple[str, ...] = ()
    limit: int | None = None
    function: str | None = None
    part: bool = False
