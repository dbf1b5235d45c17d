"""Relations and what belongs to them, one struct per kind of catalog row."""

from __future__ import annotations

import datetime as dt

import msgspec

from checks.model import Subject


class Table(msgspec.Struct, frozen=True):
    """A relation that holds or shows rows. `kind`: table, partitioned, view, materialized_view, foreign.

    `rows` is the planner's estimate (reltuples), None if the table was never vacuumed or analysed; sizes are of this
    relation alone, `toast_bytes` of its TOAST table with its index. `extension` owns it, if any. `root` is the oid of the
    topmost partitioned table, for a partition. Of a partitioned table, `partition_strategy` is list, range or hash, and
    `default_partition` the oid of that partition, `partition_columns` the numbers of its key's columns,
    0 for an expression. `row_security_forced`: policies hold for the owner too. Of a range
    partition over one instant or integer, `upper_bound` is where it ends, and `unbounded` says that it never does (MAXVALUE).
    `filenode` names the file that has its rows now (relfilenode): the oid until ALTER TABLE, VACUUM FULL, CLUSTER or TRUNCATE
    put another in its place; None where it has none.
    """

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    persistence: str = "permanent"
    is_partition: bool = False
    parent: int | None = None
    root: int | None = None
    inherits: tuple[int, ...] = ()
    rows: float | None = None
    pages: int = 0
    heap_bytes: int | None = None
    toast_bytes: int | None = None
    index_bytes: int | None = None
    total_bytes: int | None = None
    options: dict[str, str] = {}
    replica_identity: str = "default"
    row_security: bool = False
    extension: str | None = None
    has_comment: bool = False
    row_security_forced: bool = False
    partition_strategy: str | None = None
    default_partition: int | None = None
    upper_bound: dt.datetime | int | None = None
    unbounded: bool = False
    partition_columns: tuple[int, ...] = ()
    filenode: int | None = None

    @property
    def subject(self) -> Subject:
        return Subject("view" if self.kind in {"view", "materialized_view"} else "table", (self.schema, self.name))


class Column(msgspec.Struct, frozen=True):
    """`type` as format_type() prints it; `base_type` the bare type name after domains (`int4`, `vector`).

    `type_modifier` is atttypmod: for a vector its dimension, -1 for none. `default`: none, constant, sequence, function,
    expression; `default_function` names the function or SQL value function (`now`, `gen_random_uuid`), if it is just one call;
    `default_sequence` is the oid of the sequence that nextval() names. `identity`: '', 'always', 'by default'.
    `generated`: '', 'stored', 'virtual'. `default_says_null`: its default is the text NULL, not the absence of a value.
    `labels`: of an enumerated type of a table's column, in their order, at most 200.
    """

    table: int
    number: int
    name: str
    type: str
    base_type: str
    type_modifier: int = -1
    not_null: bool = False
    default: str = "none"
    default_function: str | None = None
    default_sequence: int | None = None
    identity: str = ""
    generated: str = ""
    collation: str | None = None
    storage: str = ""
    type_category: str = ""
    default_says_null: bool = False
    labels: tuple[str, ...] = ()


class Constraint(msgspec.Struct, frozen=True):
    """`kind`: primary_key, unique, foreign_key, check, exclusion. Actions in words: no action, restrict, cascade, set null,
    set default. `parent` is set on constraints that a partition inherits."""

    oid: int
    table: int
    name: str
    kind: str
    columns: tuple[int, ...] = ()
    referenced_table: int | None = None
    referenced_columns: tuple[int, ...] = ()
    validated: bool = True
    enforced: bool = True
    deferrable: bool = False
    on_delete: str = ""
    on_update: str = ""
    match: str = "simple"
    parent: int | None = None
    index: int | None = None


class IndexKey(msgspec.Struct, frozen=True):
    """One key of an index: a column number, or 0 and an expression (literals masked, JSON keys kept)."""

    column: int
    operator_class: str
    operator_family: str = ""
    collation: str | None = None
    descending: bool = False
    nulls_first: bool = False
    expression: str | None = None
    expression_columns: tuple[int, ...] = ()


class Index(msgspec.Struct, frozen=True):
    """From pg_index, pg_opclass and pg_am, never from definition text, which hides default operator classes.

    `predicate` has its literals masked; `definition_hash` differs where masked texts are equal but predicates or
    expressions are not. `predicate_not_null` lists columns whose `IS NOT NULL` is the whole predicate.
    """

    oid: int
    table: int
    schema: str
    name: str
    method: str
    keys: tuple[IndexKey, ...]
    included: tuple[int, ...] = ()
    unique: bool = False
    nulls_not_distinct: bool = False
    primary: bool = False
    exclusion: bool = False
    replica_identity: bool = False
    valid: bool = True
    ready: bool = True
    being_built: bool = False
    predicate: str | None = None
    predicate_not_null: tuple[int, ...] = ()
    definition_hash: str = ""
    options: dict[str, str] = {}
    pages: int = 0
    rows: float | None = None
    size_bytes: int | None = None
    parent: int | None = None
    constraint: int | None = None
    extension: str | None = None

    @property
    def subject(self) -> Subject:
        return Subject("index", (self.schema, self.name))

    @property
    def columns(self) -> tuple[int, ...]:
        """Key columns in order; 0 for an expression."""
        return tuple(key.column for key in self.keys)


class Sequence(msgspec.Struct, frozen=True):
    """`last_value` is None if it was never used or this role may not read it: `readable` tells which."""

    oid: int
    schema: str
    name: str
    type: str
    minimum: int
    maximum: int
    increment: int
    cycle: bool
    last_value: int | None = None
    readable: bool = True
    owned_by_table: int | None = None
    owned_by_column: int | None = None
    extension: str | None = None

    @property
    def subject(self) -> Subject:
        return Subject("sequence", (self.schema, self.name))


class Function(msgspec.Struct, frozen=True):
    """`arguments` as in DROP FUNCTION. `settings` are its SET clauses, `name=value`. `kind`: function, procedure, aggregate,
    window. `parallel`: safe, restricted, unsafe. `executable_by_public`: EXECUTE is granted to PUBLIC, as it is by default.
    `of_trigger`: it returns trigger or event_trigger, so that nobody can call it."""

    schema: str
    name: str
    arguments: str
    language: str
    volatility: str
    security_definer: bool = False
    settings: tuple[str, ...] = ()
    extension: str | None = None
    oid: int = 0
    kind: str = "function"
    owner: str = ""
    executable_by_public: bool = True
    parallel: str = "unsafe"
    leakproof: bool = False
    of_trigger: bool = False

    @property
    def subject(self) -> Subject:
        return Subject("function", (self.schema, self.name, self.arguments))

    @property
    def search_path(self) -> str | None:
        """The search_path it runs under; None where it is the caller's."""
        found = (value for name, _, value in (entry.partition("=") for entry in self.settings) if name == "search_path")
        return next(found, None)


class View(msgspec.Struct, frozen=True):
    """What a view or materialized view (`table` is its oid in Catalog.tables) is made of; its definition is not kept.

    `depends_on` are the relations that its query names. `check_option`: '', local, cascaded. `populated` tells of a
    materialized view whether it was ever refreshed.
    """

    table: int
    depends_on: tuple[int, ...] = ()
    security_invoker: bool = False
    security_barrier: bool = False
    check_option: str = ""
    populated: bool = True


class Trigger(msgspec.Struct, frozen=True):
    """A trigger that somebody made, not one of a foreign key. `enabled`: origin, always, replica, disabled. `timing`: before,
    after, instead of. `function` is schema and name. `parent` is set on those that a partition inherits."""

    oid: int
    table: int
    name: str
    function: tuple[str, str]
    enabled: str = "origin"
    timing: str = "after"
    events: tuple[str, ...] = ()
    per_row: bool = True
    parent: int | None = None
    extension: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """A row-security policy. `command`: all, select, insert, update, delete. `roles`: PUBLIC is ''. Expressions have their
    literals masked. `calls_per_row` names the functions, not IMMUTABLE, that stand outside a subquery and so run for each row.
    `reads_user_metadata`: an expression takes user_metadata of the token, or raw_user_meta_data, which users edit themselves."""

    table: int
    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None = None
    check: str | None = None
    calls_per_row: tuple[str, ...] = ()
    reads_user_metadata: bool = False


class ExtendedStatistics(msgspec.Struct, frozen=True):
    """Of CREATE STATISTICS. `kinds`: ndistinct, dependencies, mcv, expressions. `target` is None for the default."""

    oid: int
    table: int
    schema: str
    name: str
    kinds: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    expressions: tuple[str, ...] = ()
    target: int | None = None


class SystemTable(msgspec.Struct, frozen=True):
    """A table of pg_catalog: rows as the planner estimates them, bytes without and with its indexes as last written down."""

    name: str
    rows: float
    heap_bytes: int
    total_bytes: int
