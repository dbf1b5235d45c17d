"""What is observed of a server: plain, frozen facts with no row value and no SQL literal in them.

Sizes are bytes, times are milliseconds unless the name says otherwise, instants are UTC, ratios 0 to 1.
`None` means that this fact was not visible; a whole section that could not be observed is an `Unobserved`.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Any

import msgspec

from checks.model import Subject


class Extension(msgspec.Struct, frozen=True):
    """`version` is what the catalog says, `default_version` what the server would install, `loaded_version` what runs."""

    name: str
    schema: str
    version: str
    default_version: str | None = None
    loaded_version: str | None = None

    @property
    def version_tuple(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


class RoleSetting(msgspec.Struct, frozen=True):
    """One setting of pg_db_role_setting; an empty role or database stands for all."""

    role: str
    database: str
    name: str
    value: str


class Server(msgspec.Struct, frozen=True, tag=True):
    """The node that was asked, as this role sees it. `user_sees`: superuser, full, monitor or plain."""

    database: str
    version: str
    version_num: int
    role: str
    flavour: str
    user: str
    user_sees: str
    observed_at: dt.datetime
    started_at: dt.datetime | None
    statistics_since: dt.datetime | None
    size_bytes: int | None
    system_identifier: str | None = None
    through_pooler: bool = False
    encoding: str = "UTF8"
    extensions: tuple[Extension, ...] = ()

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @property
    def is_standby(self) -> bool:
        return self.role == "standby"

    @property
    def statistics_window_days(self) -> float | None:
        """Days the cumulative statistics cover: since the later of their reset and the server's start."""
        begun = [moment for moment in (self.statistics_since, self.started_at) if moment]
        if not begun:
            return None
        return max(0.0, (self.observed_at - max(begun)).total_seconds() / 86400)

    def extension(self, name: str) -> Extension | None:
        return next((extension for extension in self.extensions if extension.name == name), None)


# The catalog


class Table(msgspec.Struct, frozen=True):
    """A relation that holds or shows rows. `kind`: table, partitioned, view, materialized_view, foreign.

    `rows` is the planner's estimate (reltuples), None if the table was never vacuumed or analysed; sizes are of this
    relation alone, `toast_bytes` of its TOAST table with its index. `extension` owns it, if any. `root` is the oid of the
    topmost partitioned table, for a partition. Of a partitioned table, `partition_strategy` is list, range or hash, and
    `default_partition` the oid of that partition. `row_security_forced`: policies hold for the owner too.
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

    @property
    def subject(self) -> Subject:
        return Subject("view" if self.kind in {"view", "materialized_view"} else "table", (self.schema, self.name))


class Column(msgspec.Struct, frozen=True):
    """`type` as format_type() prints it; `base_type` the bare type name after domains (`int4`, `vector`).

    `type_modifier` is atttypmod: for a vector its dimension, -1 for none. `default`: none, constant, sequence, function,
    expression; `default_function` names the function or SQL value function (`now`, `gen_random_uuid`), if it is just one call;
    `default_sequence` is the oid of the sequence that nextval() names. `identity`: '', 'always', 'by default'.
    `generated`: '', 'stored', 'virtual'.
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
    window. `parallel`: safe, restricted, unsafe. `executable_by_public`: EXECUTE is granted to PUBLIC, as it is by default."""

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
    literals masked. `calls_per_row` names the functions, not IMMUTABLE, that stand outside a subquery and so run for each row."""

    table: int
    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None = None
    check: str | None = None
    calls_per_row: tuple[str, ...] = ()


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


class Catalog(msgspec.Struct, frozen=True, tag=True, dict=True):
    """All relations outside pg_catalog, information_schema and temporary schemas."""

    tables: tuple[Table, ...] = ()
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    functions: tuple[Function, ...] = ()
    views: tuple[View, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    policies: tuple[Policy, ...] = ()
    extended_statistics: tuple[ExtendedStatistics, ...] = ()

    @cached_property
    def table_by_oid(self) -> dict[int, Table]:
        return {table.oid: table for table in self.tables}

    @cached_property
    def index_by_oid(self) -> dict[int, Index]:
        return {index.oid: index for index in self.indexes}

    @cached_property
    def sequence_by_oid(self) -> dict[int, Sequence]:
        return {sequence.oid: sequence for sequence in self.sequences}

    @cached_property
    def _columns_of(self) -> dict[int, dict[int, Column]]:
        found: dict[int, dict[int, Column]] = {}
        for column in self.columns:
            found.setdefault(column.table, {})[column.number] = column
        return found

    @cached_property
    def _constraints_of(self) -> dict[int, list[Constraint]]:
        found: dict[int, list[Constraint]] = {}
        for constraint in self.constraints:
            found.setdefault(constraint.table, []).append(constraint)
        return found

    @cached_property
    def _indexes_of(self) -> dict[int, list[Index]]:
        found: dict[int, list[Index]] = {}
        for index in self.indexes:
            found.setdefault(index.table, []).append(index)
        return found

    @cached_property
    def taken_names(self) -> frozenset[tuple[str, str]]:
        """Schema and name of every relation and of every constraint, which an index may be named after."""
        relations = {
            (entry.schema, entry.name) for group in (self.tables, self.indexes, self.sequences) for entry in group
        }
        named = {(self.table_by_oid[entry.table].schema, entry.name) for entry in self.constraints}
        return frozenset(relations | named)

    @cached_property
    def table_by_name(self) -> dict[tuple[str, str], Table]:
        return {(table.schema, table.name): table for table in self.tables}

    @cached_property
    def tables_named(self) -> dict[str, list[Table]]:
        """Relations by their bare name, in whatever schema."""
        found: dict[str, list[Table]] = {}
        for table in self.tables:
            found.setdefault(table.name, []).append(table)
        return found

    @cached_property
    def column_names(self) -> dict[int, dict[str, Column]]:
        """Columns by table and name."""
        found: dict[int, dict[str, Column]] = {}
        for column in self.columns:
            found.setdefault(column.table, {})[column.name] = column
        return found

    def columns_of(self, table: int) -> dict[int, Column]:
        """Columns of a table by their number."""
        return self._columns_of.get(table, {})

    def column(self, table: int, number: int) -> Column:
        return self._columns_of[table][number]

    def column_named(self, table: int, name: str) -> Column | None:
        return next((column for column in self.columns_of(table).values() if column.name == name), None)

    def constraints_of(self, table: int) -> list[Constraint]:
        return self._constraints_of.get(table, [])

    def indexes_of(self, table: int) -> list[Index]:
        return self._indexes_of.get(table, [])

    def column_subject(self, column: Column) -> Subject:
        table = self.table_by_oid[column.table]
        return Subject("column", (table.schema, table.name, column.name))

    @cached_property
    def _partitions_of(self) -> dict[int, list[Table]]:
        found: dict[int, list[Table]] = {}
        for table in self.tables:
            if table.is_partition and table.parent is not None:
                found.setdefault(table.parent, []).append(table)
        return found

    @cached_property
    def view_by_oid(self) -> dict[int, View]:
        return {view.table: view for view in self.views}

    @cached_property
    def _triggers_of(self) -> dict[int, list[Trigger]]:
        found: dict[int, list[Trigger]] = {}
        for trigger in self.triggers:
            found.setdefault(trigger.table, []).append(trigger)
        return found

    def triggers_of(self, table: int) -> list[Trigger]:
        return self._triggers_of.get(table, [])

    @cached_property
    def _policies_of(self) -> dict[int, list[Policy]]:
        found: dict[int, list[Policy]] = {}
        for policy in self.policies:
            found.setdefault(policy.table, []).append(policy)
        return found

    def policies_of(self, table: int) -> list[Policy]:
        return self._policies_of.get(table, [])

    def partitions_of(self, table: int) -> list[Table]:
        """The direct partitions of a partitioned table."""
        return self._partitions_of.get(table, [])

    @cached_property
    def sequence_by_owner(self) -> dict[tuple[int, int], Sequence]:
        """The sequence that a column (table, number) owns."""
        owned = [sequence for sequence in self.sequences if sequence.owned_by_table is not None]
        return {(sequence.owned_by_table or 0, sequence.owned_by_column or 0): sequence for sequence in owned}

    @cached_property
    def _references_to(self) -> dict[int, list[Constraint]]:
        found: dict[int, list[Constraint]] = {}
        for constraint in self.constraints:
            if constraint.referenced_table is not None and constraint.parent is None:
                found.setdefault(constraint.referenced_table, []).append(constraint)
        return found

    def references_to(self, table: int) -> list[Constraint]:
        """Foreign keys that reference a table, a partitioned table's once."""
        return self._references_to.get(table, [])

    def constraint_subject(self, constraint: Constraint) -> Subject:
        table = self.table_by_oid[constraint.table]
        return Subject("constraint", (table.schema, table.name, constraint.name))


class ColumnStatistics(msgspec.Struct, frozen=True):
    """From pg_stats, without any value. `distinct` as n_distinct: negative is minus a share of the rows.
    `common_share` is the share of rows that hold the most common value."""

    table: int
    column: int
    null_share: float
    average_width: int
    distinct: float
    correlation: float | None = None
    common_share: float | None = None


class PlannerStatistics(msgspec.Struct, frozen=True, tag=True, dict=True):
    """`hidden_tables` counts the tables with rows whose statistics this role may not read."""

    columns: tuple[ColumnStatistics, ...] = ()
    hidden_tables: int = 0

    @cached_property
    def by_column(self) -> dict[tuple[int, int], ColumnStatistics]:
        return {(entry.table, entry.column): entry for entry in self.columns}


# Who may do what


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


# What was used


class TableUsage(msgspec.Struct, frozen=True):
    table: int
    sequential_scans: int
    sequential_tuples: int
    index_scans: int
    inserted: int
    updated: int
    deleted: int
    hot_updated: int
    live_tuples: int
    dead_tuples: int
    modified_since_analyze: int
    last_vacuum: dt.datetime | None = None
    last_analyze: dt.datetime | None = None
    last_sequential_scan: dt.datetime | None = None
    last_index_scan: dt.datetime | None = None
    xid_age: int | None = None


class IndexUsage(msgspec.Struct, frozen=True):
    index: int
    scans: int
    tuples_read: int
    last_scan: dt.datetime | None = None


class WalUsage(msgspec.Struct, frozen=True):
    """pg_stat_wal, of the whole server."""

    records: int
    full_page_images: int
    bytes: int
    buffers_full: int
    since: dt.datetime | None = None


class CheckpointUsage(msgspec.Struct, frozen=True):
    """pg_stat_checkpointer with pg_stat_bgwriter, before 17 the latter alone. Buffers are blocks; `written_by_backends` is
    told before 17 only, `done` from 18 on."""

    timed: int
    requested: int
    done: int | None
    write_ms: float
    sync_ms: float
    buffers_written: int
    buffers_cleaned: int
    cleaning_stopped: int
    buffers_allocated: int
    written_by_backends: int | None = None
    since: dt.datetime | None = None


class Usage(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Cumulative statistics of one node. `conflicts` are statements that recovery cancelled here, by reason (of a standby).
    `wal`, `checkpoints` and `conflicts` are None where the server does not offer them."""

    tables: tuple[TableUsage, ...] = ()
    indexes: tuple[IndexUsage, ...] = ()
    database: dict[str, Any] = {}
    wal: WalUsage | None = None
    checkpoints: CheckpointUsage | None = None
    conflicts: dict[str, int] | None = None

    @cached_property
    def table_by_oid(self) -> dict[int, TableUsage]:
        return {entry.table: entry for entry in self.tables}

    @cached_property
    def index_by_oid(self) -> dict[int, IndexUsage]:
        return {entry.index: entry for entry in self.indexes}


class Statement(msgspec.Struct, frozen=True):
    """One row of pg_stat_statements, summed over users; `text` is normalised and has no literal.

    `users` are the roles that ran it. Blocks are counts of 8 kB blocks.
    """

    query_id: str
    text: str
    calls: int
    total_ms: float
    mean_ms: float
    rows: int
    stddev_ms: float | None = None
    max_ms: float | None = None
    shared_blocks_hit: int = 0
    shared_blocks_read: int = 0
    temp_blocks_written: int = 0
    wal_bytes: int | None = None
    planning_ms: float | None = None
    users: tuple[str, ...] = ()
    toplevel: bool = True


class Statements(msgspec.Struct, frozen=True, tag=True, dict=True):
    """`evicted` is pg_stat_statements_info.dealloc; `hidden` counts entries whose text this role may not read."""

    extension_version: str
    since: dt.datetime | None
    evicted: int | None
    hidden: int
    entries: tuple[Statement, ...] = ()

    @cached_property
    def total_ms(self) -> float:
        return sum(entry.total_ms for entry in self.entries)

    @cached_property
    def by_id(self) -> dict[str, Statement]:
        return {entry.query_id: entry for entry in self.entries}

    def share(self, entry: Statement) -> float:
        """Share of all execution time, 0 to 1."""
        return entry.total_ms / self.total_ms if self.total_ms else 0.0


class StatementRate(msgspec.Struct, frozen=True):
    """Between two looks. `ms_per_s` is execution time per second: 1000 is one core's worth."""

    query_id: str
    calls_per_s: float
    ms_per_s: float


class TableRate(msgspec.Struct, frozen=True):
    """Rows per second between two looks; `read_per_s` by sequential and index scans together."""

    table: int
    inserted_per_s: float
    updated_per_s: float
    deleted_per_s: float
    read_per_s: float


class Rates(msgspec.Struct, frozen=True, tag=True, dict=True):
    """What happened between two looks, `seconds` apart, our own part left out where it can be told. Only what moved is listed.

    `write_transactions_per_s` counts transaction ids assigned on the whole server. `calls_per_s` is None without
    pg_stat_statements, and `reset` says that counters went back in between, so that some rates are missing.
    """

    seconds: float
    transactions_per_s: float | None = None
    write_transactions_per_s: float | None = None
    wal_bytes_per_s: float | None = None
    calls_per_s: float | None = None
    statements: tuple[StatementRate, ...] = ()
    tables: tuple[TableRate, ...] = ()
    reset: bool = False

    @cached_property
    def statement_by_id(self) -> dict[str, StatementRate]:
        return {entry.query_id: entry for entry in self.statements}

    @cached_property
    def table_by_oid(self) -> dict[int, TableRate]:
        return {entry.table: entry for entry in self.tables}


# Settings and runtime


class Setting(msgspec.Struct, frozen=True):
    """`value` in `unit` as pg_settings has it (`8kB`, `ms`, ...), not as SHOW prints it."""

    name: str
    value: str
    unit: str | None = None
    source: str = "default"
    boot_value: str | None = None
    pending_restart: bool = False


class Settings(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Settings of the server as a fresh session of any role gets them: this session's own are undone.

    `hidden` says that this role sees not all of them. `roles` may log in; `role_settings` is pg_db_role_setting.
    `privileged_roles` are those of the login roles that are superusers, may replicate, or are members of pg_monitor.
    """

    entries: tuple[Setting, ...] = ()
    role_settings: tuple[RoleSetting, ...] = ()
    login_roles: tuple[str, ...] = ()
    privileged_roles: tuple[str, ...] = ()
    hidden: bool = False

    @cached_property
    def by_name(self) -> dict[str, Setting]:
        return {entry.name: entry for entry in self.entries}

    def value(self, name: str, role: str = "", database: str = "") -> str | None:
        """The value that a session of `role` in `database` starts with: role in database, role, database, server."""
        mine = {(entry.role, entry.database): entry.value for entry in self.role_settings if entry.name == name}
        for key in ((role, database), (role, ""), ("", database), ("", "")):
            if key in mine:
                return mine[key]
        setting = self.by_name.get(name)
        return setting.value if setting else None


class Session(msgspec.Struct, frozen=True):
    """One server process that serves a client; no query text, no address. Ages in seconds. `blocks` counts the sessions that
    wait for a lock which this one holds, `blocked` says that it waits itself."""

    application_name: str
    user: str
    database: str
    state: str | None
    transaction_age_s: float | None
    state_age_s: float | None
    wait_event_type: str | None = None
    wait_event: str | None = None
    backend_type: str = "client backend"
    xmin_age: int | None = None
    blocked: bool = False
    blocks: int = 0


class WaitCount(msgspec.Struct, frozen=True):
    """Active client sessions that waited for the same; two empty words are those that did not wait."""

    type: str
    event: str
    sessions: int


class HorizonHolder(msgspec.Struct, frozen=True):
    """What keeps rows from being vacuumed away. `kind`: session, slot, catalog slot, prepared transaction, standby. `xmin_age`
    in transactions; `age_s` where it is known how long already."""

    kind: str
    name: str
    xmin_age: int
    age_s: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """A maintenance command at work (pg_stat_progress_...). `table` is its oid if it is of this database; `done` and `total`
    in blocks or bytes, None where they are not told."""

    command: str
    database: str
    table: int | None = None
    phase: str | None = None
    done: int | None = None
    total: int | None = None


class PreparedTransaction(msgspec.Struct, frozen=True):
    name: str
    database: str
    owner: str
    age_s: float


class Activity(msgspec.Struct, frozen=True, tag=True):
    """Who was connected when it was looked at, our own session left out; the twenty oldest holders of the horizon."""

    sessions: tuple[Session, ...] = ()
    max_connections: int = 0
    reserved_connections: int = 0
    prepared: tuple[PreparedTransaction, ...] = ()
    states_hidden: bool = False
    waits: tuple[WaitCount, ...] = ()
    horizon: tuple[HorizonHolder, ...] = ()
    progress: tuple[Progress, ...] = ()


class FreezeAge(msgspec.Struct, frozen=True):
    """Transaction-id and multixact ages, in transactions. `path` is a database, or a schema and table with TOAST folded in."""

    path: tuple[str, ...]
    xid_age: int
    multixact_age: int


class FreezeAges(msgspec.Struct, frozen=True, tag=True):
    databases: tuple[FreezeAge, ...] = ()
    oldest_tables: tuple[FreezeAge, ...] = ()


# Replication


class Standby(msgspec.Struct, frozen=True):
    """One row of pg_stat_replication; lags in bytes behind the primary's current WAL position, and seconds."""

    application_name: str
    state: str | None
    sync_state: str | None
    replay_lag_bytes: int | None
    replay_lag_s: float | None
    logical: bool = False


class Slot(msgspec.Struct, frozen=True):
    name: str
    kind: str
    active: bool
    temporary: bool
    wal_status: str | None
    retained_bytes: int | None
    plugin: str | None = None
    database: str | None = None
    inactive_since: dt.datetime | None = None
    invalidation_reason: str | None = None
    conflicting: bool = False
    synced: bool = False
    failover: bool = False
    xmin_age: int | None = None
    catalog_xmin_age: int | None = None


class Archiver(msgspec.Struct, frozen=True):
    """One row of pg_stat_archiver. `unarchived_bytes`: WAL written since the end of the last archived segment."""

    archived: int
    failed: int
    last_archived: dt.datetime | None
    last_failed: dt.datetime | None
    unarchived_bytes: int | None = None


class Publication(msgspec.Struct, frozen=True):
    """`publishes`: insert, update, delete, truncate. `tables` and `schemas` are those named; of the tables, `filtered` have a
    WHERE and `column_lists` a list of columns."""

    name: str
    owner: str
    all_tables: bool = False
    publishes: tuple[str, ...] = ()
    via_root: bool = False
    tables: tuple[int, ...] = ()
    schemas: tuple[str, ...] = ()
    filtered: tuple[int, ...] = ()
    column_lists: tuple[int, ...] = ()


class Subscription(msgspec.Struct, frozen=True):
    """Where it connects to is not kept. `table_states` counts tables by state: initialize, copying, finished, synchronized,
    ready. Error counts are None before 15; `worker_running` is None where this role may not see it."""

    name: str
    owner: str
    enabled: bool
    publications: tuple[str, ...] = ()
    slot_name: str | None = None
    synchronous_commit: str = "off"
    table_states: dict[str, int] = {}
    apply_errors: int | None = None
    sync_errors: int | None = None
    worker_running: bool | None = None


class Replication(msgspec.Struct, frozen=True, tag=True):
    """Of a primary: `standbys`, `slots`, `archiver`. Of a standby: `receiver_state` and the lag it can tell itself:
    bytes received but not replayed, and seconds since the last replayed commit (None where all is replayed)."""

    standbys: tuple[Standby, ...] = ()
    standbys_hidden: bool = False
    slots: tuple[Slot, ...] = ()
    archiver: Archiver | None = None
    receiver_state: str | None = None
    replay_lag_bytes: int | None = None
    replay_lag_s: float | None = None
    replay_paused: bool | None = None
    published_tables: tuple[int, ...] = ()
    publishes_all_tables: bool = False
    subscriptions: tuple[str, ...] = ()
    publications: tuple[Publication, ...] = ()
    subscribed: tuple[Subscription, ...] = ()


class Replica(msgspec.Struct, frozen=True):
    """A further node given with --replica, by the name its DSN shows (host and port, never a password)."""

    name: str
    server: Server
    usage: Usage
    replication: Replication
    settings: Settings
    statements: Statements | None = None


# Plans


class PlanNode(msgspec.Struct, frozen=True):
    """One node of EXPLAIN (FORMAT JSON); conditions have their literals masked. Costs in planner units, rows estimated."""

    node_type: str
    startup_cost: float
    total_cost: float
    rows: float
    width: int
    schema: str | None = None
    relation: str | None = None
    alias: str | None = None
    index: str | None = None
    join_type: str | None = None
    strategy: str | None = None
    parent_relationship: str | None = None
    parallel: bool = False
    filter: str | None = None
    index_condition: str | None = None
    hash_condition: str | None = None
    sort_key: tuple[str, ...] = ()
    order_by: str | None = None
    children: tuple[PlanNode, ...] = ()

    def walk(self) -> list[PlanNode]:
        """This node and all below it, outermost first."""
        nodes, queue = [], [self]
        while queue:
            node = queue.pop(0)
            nodes.append(node)
            queue.extend(node.children)
        return nodes


class Plan(msgspec.Struct, frozen=True):
    """A generic plan of a statement. `planned_as` says under which role's settings it was made."""

    query_id: str
    root: PlanNode
    planned_as: str = ""


class Unplanned(msgspec.Struct, frozen=True):
    query_id: str
    reason: str
    unlock: str = ""


class Plans(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Of the most expensive statements, most expensive first; those that could not be planned, with the reason."""

    plans: tuple[Plan, ...] = ()
    unplanned: tuple[Unplanned, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Plan]:
        return {plan.query_id: plan for plan in self.plans}
