"""Relations and all that hangs on them, and functions, in a bounded number of set-based statements.

Sizes are relpages times the block size, which the last VACUUM, ANALYZE or CREATE INDEX wrote down: pg_relation_size() and its
like open every file, and wait behind an ACCESS EXCLUSIVE lock. They are asked only where nothing was ever written down.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
import psycopg

from checks.evidence.database.defaults import read_default
from checks.evidence.database.facts import (
    Catalog,
    CollationVersion,
    Column,
    Constraint,
    ExtendedStatistics,
    Function,
    Index,
    Policy,
    SystemTable,
    Table,
    Trigger,
    View,
)
from checks.evidence.database.indexes import observe_indexes
from checks.evidence.database.objects import (
    observe_extended_statistics,
    observe_policies,
    observe_triggers,
    observe_views,
)
from checks.evidence.database.query import query
from checks.evidence.database.sequences import observe_sequences
from checks.evidence.database.session import Session
from checks.evidence.database.shown import shown_settings

_Part = TypeVar("_Part", Column, Constraint, Index, Trigger, Policy, ExtendedStatistics)

# From here on, what there is several of for each table could take longer than a statement may.
_MANY_TABLES = 20_000

_TABLE_KINDS = {"r": "table", "p": "partitioned", "v": "view", "m": "materialized_view", "f": "foreign"}
_PERSISTENCE = {"p": "permanent", "u": "unlogged", "t": "temporary"}
_REPLICA_IDENTITY = {"d": "default", "n": "nothing", "f": "full", "i": "index"}
_IDENTITY = {"a": "always", "d": "by default"}
_GENERATED = {"s": "stored", "v": "virtual"}
_STORAGE = {"p": "plain", "e": "external", "m": "main", "x": "extended"}
_CONSTRAINT_KINDS = {"p": "primary_key", "u": "unique", "f": "foreign_key", "c": "check", "x": "exclusion"}
_ACTIONS = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_MATCHES = {"s": "simple", "f": "full", "p": "partial"}
_VOLATILITY = {"i": "immutable", "s": "stable", "v": "volatile"}
_FUNCTION_KINDS = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window"}
_PARALLEL = {"s": "safe", "r": "restricted", "u": "unsafe"}
_STRATEGIES = {"l": "list", "r": "range", "h": "hash"}

_BOUND = re.compile(r"FOR VALUES FROM \(.*\) TO \('?([^',()]+)'?\)")
_NULL_TEXT = re.compile(r"'NULL'::(?:text|character varying|character|bpchar)(?:\(\d+\))?", re.IGNORECASE)


def observe_catalog(session: Session) -> Catalog:
    """All of it but what sequences hold, in the transaction at hand, which should have one snapshot."""
    with _without_collecting():
        return _observe_catalog(session)


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """The garbage collector would go through hundreds of thousands of rows again and again, of which none is garbage."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _observe_catalog(session: Session) -> Catalog:
    tables = tuple(_table(row) for row in session.rows(query("tables", session.major)))
    known = {table.oid for table in tables}
    many = len(tables) > _MANY_TABLES
    columns = session.stream(query("columns", session.major), in_parts=many)
    system_tables = session.rows(query("system_tables", session.major))
    return Catalog(
        tables=tables,
        columns=_sorted(map(_column, columns), known, _by_number),
        constraints=_sorted(map(_constraint, session.rows(query("constraints", session.major))), known, _by_name),
        indexes=_sorted(observe_indexes(session, many=many), known, _by_name),
        sequences=observe_sequences(session),
        functions=tuple(_function(row) for row in session.rows(query("functions", session.major))),
        views=_views(session, tables),
        triggers=_sorted(observe_triggers(session), known, _by_name),
        policies=_sorted(observe_policies(session), known, _by_name),
        extended_statistics=_sorted(observe_extended_statistics(session), known, _by_name),
        system_tables=tuple(SystemTable(row.name, row.rows, row.heap_bytes, row.total_bytes) for row in system_tables),
        highest_oid=system_tables[0].highest_oid if system_tables else None,
        collations=tuple(
            CollationVersion(row.name, row.provider, row.recorded, row.actual, row.is_default)
            for row in session.rows(query("collations", session.major))
        ),
    )


def _sorted(entries: Iterable[_Part], tables: set[int], order: Callable[[_Part], Any]) -> tuple[_Part, ...]:
    """The parts of known tables, sorted here and not by the server, which would spill to disk."""
    return tuple(sorted((entry for entry in entries if entry.table in tables), key=order))


def _by_number(column: Column) -> tuple[int, int]:
    return column.table, column.number


def _by_name(entry: Constraint | Index | Trigger | Policy | ExtendedStatistics) -> tuple[int, str]:
    return entry.table, entry.name


def _views(session: Session, tables: tuple[Table, ...]) -> tuple[View, ...]:
    known = {table.oid for table in tables if table.kind in {"view", "materialized_view"}}
    found = (view for view in observe_views(session) if view.table in known) if known else ()
    return tuple(sorted(found, key=lambda view: view.table))


def with_measured_sizes(catalog: Catalog, session: Session) -> Catalog:
    """Fills in the sizes that nothing ever wrote down, of the 1,000 largest such tables. What is locked stays unknown."""
    try:
        with session.transaction():
            rows = session.rows(query("sizes", session.major))
    except psycopg.Error:
        return catalog
    measured = {row.oid: row for row in rows if row.bytes is not None}
    return msgspec.structs.replace(
        catalog,
        tables=tuple(_measured_table(table, measured.get(table.oid)) for table in catalog.tables),
        indexes=tuple(
            msgspec.structs.replace(index, size_bytes=measured[index.oid].bytes) if index.oid in measured else index
            for index in catalog.indexes
        ),
    )


def reloptions(options: list[str] | None) -> dict[str, str]:
    """pg_class.reloptions by name."""
    return {name: value for name, _, value in (option.partition("=") for option in options or ())}


def _measured_table(table: Table, row: Any) -> Table:
    if row is None:
        return table
    toast, index = row.toast_bytes or 0, row.index_bytes or 0
    sizes = {"heap_bytes": row.bytes, "toast_bytes": toast, "index_bytes": index}
    return msgspec.structs.replace(table, **sizes, total_bytes=row.bytes + toast + index)


def upper_bound(bound: str | None) -> dt.datetime | int | None:
    """Where a range partition over one instant or integer ends, from pg_get_expr() with DateStyle ISO; a day or a timestamp
    without zone is taken as UTC. None for any other partition."""
    match = _BOUND.fullmatch(bound or "")
    if match is None:
        return None
    text = match[1].strip()
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


def _table(row: Any) -> Table:
    stored = row.kind in {"r", "m"}
    block = row.block_bytes
    analyzed = row.rows >= 0
    heap = row.pages * block if stored and analyzed else None
    toast = ((row.toast_pages or 0) + row.toast_index_pages) * block if heap is not None else None
    index = row.index_pages * block if heap is not None and row.index_pages_known else None
    parents = tuple(row.parents or ())
    return Table(
        oid=row.oid,
        schema=row.schema,
        name=row.name,
        kind=_TABLE_KINDS[row.kind],
        owner=row.owner or "",
        persistence=_PERSISTENCE.get(row.persistence, row.persistence),
        is_partition=row.is_partition,
        parent=parents[0] if row.is_partition and parents else None,
        root=row.root,
        inherits=() if row.is_partition else parents,
        rows=row.rows if analyzed and row.kind != "v" else None,
        pages=max(0, row.pages),
        heap_bytes=heap,
        toast_bytes=toast,
        index_bytes=index,
        total_bytes=heap + toast + index if heap is not None and toast is not None and index is not None else None,
        options=reloptions(row.options),
        replica_identity=_REPLICA_IDENTITY.get(row.replica_identity, row.replica_identity),
        row_security=row.row_security,
        extension=row.extension,
        has_comment=row.has_comment,
        filenode=row.filenode,
        row_security_forced=row.row_security_forced,
        partition_strategy=_STRATEGIES.get(row.partition_strategy),
        default_partition=row.default_partition,
        partition_columns=tuple(row.partition_columns or ()),
        upper_bound=upper_bound(row.bound),
        unbounded=row.bound is not None and row.bound.endswith("TO (MAXVALUE)"),
    )


def _column(row: Any) -> Column:
    default = read_default(None if row.generated else row.default_text, feeds=row.default_sequence is not None)
    return Column(
        table=row.table_oid,
        number=row.number,
        name=row.name,
        type=row.type,
        base_type=row.base_type,
        type_modifier=row.type_modifier,
        not_null=row.not_null,
        default=default.kind,
        default_function=default.function,
        default_sequence=row.default_sequence if default.kind == "sequence" else None,
        identity=_IDENTITY.get(row.identity, ""),
        generated=_GENERATED.get(row.generated, ""),
        collation=row.collation,
        storage=_STORAGE.get(row.storage, row.storage),
        type_category=row.type_category,
        default_says_null=_NULL_TEXT.fullmatch(row.default_text or "") is not None,
        labels=tuple(row.labels or ()),
    )


def _constraint(row: Any) -> Constraint:
    foreign = row.kind == "f"
    return Constraint(
        oid=row.oid,
        table=row.table_oid,
        name=row.name,
        kind=_CONSTRAINT_KINDS[row.kind],
        columns=tuple(row.columns or ()),
        referenced_table=row.referenced_table,
        referenced_columns=tuple(row.referenced_columns or ()),
        validated=row.validated,
        enforced=row.enforced,
        deferrable=row.deferrable,
        on_delete=_ACTIONS.get(row.on_delete, "") if foreign else "",
        on_update=_ACTIONS.get(row.on_update, "") if foreign else "",
        match=_MATCHES.get(row.match, "simple"),
        parent=row.parent,
        index=row.index_oid,
    )


def _function(row: Any) -> Function:
    return Function(
        schema=row.schema,
        name=row.name,
        arguments=row.arguments,
        language=row.language,
        volatility=_VOLATILITY.get(row.volatility, row.volatility),
        security_definer=row.security_definer,
        settings=shown_settings(row.settings or ()),
        extension=row.extension,
        oid=row.oid,
        kind=_FUNCTION_KINDS.get(row.kind, row.kind),
        owner=row.owner or "",
        executable_by_public=row.executable_by_public,
        parallel=_PARALLEL.get(row.parallel, row.parallel),
        leakproof=row.leakproof,
        of_trigger=row.of_trigger,
    )
