"""What each migration does, statement by statement, and when the repository got it."""

from __future__ import annotations

import msgspec

from checks.model import Location


class MigrationStep(msgspec.Struct, frozen=True):
    """One thing that a migration does, at the line of its statement.

    `kind`: create_table, create_index, drop_index, reindex, add_column, add_column_function_default, add_required_column,
    add_generated_column, drop_column, rename_column, set_not_null, drop_not_null, change_type, add_foreign_key, add_check,
    add_not_valid, validate_constraint, add_key, add_exclusion, drop_constraint, rename_table, rename_value, rename_schema,
    drop_table, drop_view, drop_schema, truncate, update, delete, insert_select, attach_partition, detach_partition,
    refresh_view, vacuum_full, cluster, rewrite, lock_table, use_of_new_value, end_transaction, create_domain,
    add_domain_check, other.

    `table` is schema and name of what it locks, empty where it locks no table; `name` the index, column, constraint or new
    name it is about. `columns` of a key, index or constraint. `also` is the second table locked: that a foreign key refers
    to. `lock` is the strongest lock in PostgreSQL's words, empty for none that stops writes or reads. `concurrently` as the
    statement has it. `in_transaction` is None where the tool does not tell. `bounded`: a lock_timeout or statement_timeout
    was set before. `fresh`: the same migration created the table. `detail`: functions of a default, the change of a type as
    `old to new`, the kind of a generated column, `all rows` or `some rows` of an update or delete. `unqualified`: a
    create_table without its schema. end_transaction is a COMMIT or ROLLBACK in the transaction of the tool; create_domain and
    add_domain_check have the domain in `name`. `plain`: an index over columns and nothing else: a B-tree without predicate,
    expression, order, operator class, collation, further columns or options.
    """

    kind: str
    location: Location
    table: tuple[str, ...] = ()
    name: str = ""
    columns: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    lock: str = ""
    concurrently: bool = False
    in_transaction: bool | None = None
    bounded: bool = False
    fresh: bool = False
    detail: str = ""
    unqualified: bool = False
    plain: bool = False


class MigrationFile(msgspec.Struct, frozen=True):
    """A migration of a lineage (its `folder`), with `order` from 0 as its tool runs them. `commit` is the short id of the commit
    that brought it to the history of the branch and `commits_ago` how many commits lie after that (0: it is the last); both are
    None where git does not tell, `committed` is False for a file that is not committed yet. `statements` counts those read."""

    path: str
    tool: str
    folder: str
    order: int
    steps: tuple[MigrationStep, ...] = ()
    statements: int = 0
    commit: str | None = None
    commits_ago: int | None = None
    committed: bool = True


class History(msgspec.Struct, frozen=True):
    """How much of the branch's history git could tell: `commits` along first parents, and whether that is all there is but the
    very first one, of which nothing follows: it may have brought everything at once."""

    commits: int = 0
    complete: bool = False
