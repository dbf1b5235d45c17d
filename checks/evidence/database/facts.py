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
    topmost partitioned table, for a partition.
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
    schema: str
    name: str
    arguments: str
    language: str
    volatility: str
    security_definer: bool = False
    settings: tuple[str, ...] = ()
    extension: str | None = None


class Catalog(msgspec.Struct, frozen=True, tag=True, dict=True):
    """All relations outside pg_catalog, information_schema and temporary schemas."""

    tables: tuple[Table, ...] = ()
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    functions: tuple[Function, ...] = ()

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


class Usage(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Cumulative statistics of one node."""

    tables: tuple[TableUsage, ...] = ()
    indexes: tuple[IndexUsage, ...] = ()
    database: dict[str, Any] = {}

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
    """One server process that serves a client; no query text, no address. Ages in seconds."""

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


class PreparedTransaction(msgspec.Struct, frozen=True):
    name: str
    database: str
    owner: str
    age_s: float


class Activity(msgspec.Struct, frozen=True, tag=True):
    """Who was connected when it was looked at, our own session left out."""

    sessions: tuple[Session, ...] = ()
    max_connections: int = 0
    reserved_connections: int = 0
    prepared: tuple[PreparedTransaction, ...] = ()
    states_hidden: bool = False


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
