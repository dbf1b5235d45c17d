"""Access patterns: how the application reads or writes tables, whatever the statement came from.

A pattern is read from the text of a statement that ran (pg_stat_statements) or that stands in code; it is computed from
evidence, not stored in it.
"""

from __future__ import annotations

import msgspec

from checks.model import Location


class ColumnRef(msgspec.Struct, frozen=True):
    """A column of a relation named in the statement. `table` is the catalog's oid, None if the name could not be resolved."""

    table: int | None
    column: str


class Comparison(msgspec.Struct, frozen=True):
    """`left OPERATOR right` in WHERE or JOIN ... ON, ANDed at top level unless `under_or`.

    `operator` as in SQL (`=`, `<`, `in`, `like`, `ilike`, `is null`, `between`, `@>`, `?`, ...). `function` wraps the column
    (`lower(email) = $1`), or is the cast; `json_key` is the key compared inside a document (`metadata ->> 'status'` has
    json_operator `->>`; `$n` where the key was normalised away). `other` is the column on the other side of a join.
    `leading_wildcard` is None where the pattern is a parameter.
    """

    column: ColumnRef
    operator: str
    function: str | None = None
    json_operator: str | None = None
    json_key: str | None = None
    other: ColumnRef | None = None
    under_or: bool = False
    in_join: bool = False
    leading_wildcard: bool | None = None


class OrderKey(msgspec.Struct, frozen=True):
    """`distance_operator` (`<->`, `<=>`, ...) where the key is `column OPERATOR query_vector`; `bare` if nothing wraps it."""

    column: ColumnRef | None
    descending: bool = False
    distance_operator: str | None = None
    bare: bool = True


class AccessPattern(msgspec.Struct, frozen=True):
    """`verb`: select, insert, update, delete, merge, other. `tables` are the oids of catalog relations used; `unresolved` the
    names that the catalog does not have. `stars` are the relations whose `*` is in the output (the top-level select list).
    `limit` is the number where it is written as one, 0 where it is a parameter, None where there is none; likewise `offset`.
    `distances` are distance operators applied to a column anywhere in the statement: (column, operator).
    """

    verb: str
    text: str
    query_id: str | None = None
    locations: tuple[Location, ...] = ()
    tables: tuple[int, ...] = ()
    unresolved: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    order_by: tuple[OrderKey, ...] = ()
    limit: int | None = None
    offset: int | None = None
    stars: tuple[int, ...] = ()
    distances: tuple[tuple[ColumnRef, str], ...] = ()
    written_columns: tuple[ColumnRef, ...] = ()
    joined_relations: int = 0
    aggregates: bool = False
    skip_locked: bool = False
