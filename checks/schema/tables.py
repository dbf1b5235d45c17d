"""Which tables are not what they seem: unread, inheriting, unlogged, empty of columns."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, IndexUsage, Server, Table, TableUsage, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.model import Confidence, Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.own_reads import scans_by_reviews
from checks.registry import check
from checks.relations import estimated_rows, leaves, new_name, reviewed_tables
from checks.schema.columns import words
from checks.schema.habits import CROWD, once_per_habit

_SHOWN = 5
_PASSING_BY = 2


@check(
    "schema.unused-table",
    catalogue="S59",
    severity=Severity.LOW,
    needs=[Catalog, Usage, Server],
    window="unused_window_days",
)
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} were never read", CROWD)
def unused_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table is never read.

    Rows that nobody asks for are still written, vacuumed, backed up and replicated; a table without rows and readers is a
    feature that is gone. Reads are counted over every node that could be seen; a table that code reads, or whose unique key
    keeps duplicates out, is left out.

    Fix: Ask whoever made it; rename it, wait, then drop it.

    Example: orders_old, 40 GB and no scan in 60 days on any node, still takes an INSERT for each order from a trigger,
    and is in every backup.

    Source: PostgreSQL manual, "The Cumulative Statistics System", pg_stat_all_tables

    Observed: rows, total_bytes, inserted, scans, own_scans, nodes.
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    window = evidence.require_window("unused_window_days")
    replicas = [replica.usage for replica in evidence.replicas if replica.usage is not None]
    tables = reviewed_tables(catalog)
    read_by_code = {oid for pattern in workload(evidence) if pattern.locations and pattern.verb == "select"
                    for oid in pattern.tables}  # fmt: skip
    for table in tables:
        parts = leaves(catalog, table)
        own = {part.oid: scans_by_reviews(evidence, _of_indexes(catalog, usage, part), window) for part in parts}
        counted = [entry for part in parts for node in (usage, *replicas) if (entry := node.table_by_oid.get(part.oid))]
        allowed = _PASSING_BY + len(catalog.indexes_of(table.oid))
        if not counted or any(_was_read(entry, allowed, own[entry.table]) for entry in counted):
            continue
        if {table.oid, *(part.oid for part in parts)} & read_by_code:
            continue
        referenced = [key for key in catalog.references_to(table.oid) if key.table != table.oid]
        rows = estimated_rows(evidence, table)
        inserted = sum(entry.inserted for entry in counted)
        # What is inserted into a table with a unique key is compared with it, which counts as no scan.
        guards = inserted and any(_is_natural(catalog, index) for index in catalog.indexes_of(table.oid))
        if referenced or guards or (not rows and inserted):
            continue
        name, renamed = qualified_name(table.schema, table.name), new_name(catalog, table.schema, table.name, "unused")
        written = f" while {inserted:,} rows were written" if inserted else ""
        yield Finding(
            table.subject,
            f"Table {table.subject.name} was never read{written}",
            Fix(
                "Ask whoever made it. Rename it first: what still needs it then fails at once, and the name is soon back.",
                f"ALTER TABLE {name} RENAME TO {quote_identifier(renamed)};",
                lock="ACCESS EXCLUSIVE, briefly",
                undo=f"ALTER TABLE {qualified_name(table.schema, renamed)} RENAME TO {quote_identifier(table.name)};",
            ),
            severity=Severity.LOW if rows else Severity.NOTE,
            observed={
                "rows": None if rows is None else round(rows),
                "total_bytes": table.total_bytes,
                "inserted": inserted,
                "scans": sum(entry.sequential_scans + entry.index_scans for entry in counted),
                "own_scans": sum(own.values()),
                "nodes": 1 + len(replicas),
            },
        )
    yield Examined(len(tables), len(tables), "tables")


def _is_natural(catalog: Catalog, index: Index) -> bool:
    """Whether a unique index is over values that come from outside."""
    columns = [catalog.column(index.table, number) for number in index.columns if number]
    return index.unique and not any(column.identity or column.default in {"sequence", "function"} for column in columns)


def _of_indexes(catalog: Catalog, usage: Usage, table: Table) -> list[IndexUsage]:
    entries = (usage.index_by_oid.get(index.oid) for index in catalog.indexes_of(table.oid))
    return [entry for entry in entries if entry is not None]


def _was_read(usage: TableUsage, allowed: int, own: int) -> bool:
    # Building an index reads the table, and so do backups and reviews, now and then.
    return usage.sequential_scans > allowed or usage.index_scans > own or usage.updated + usage.deleted > 0


@check("schema.table-inheritance", catalogue="S62", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def table_inheritance(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Tables inherit from a table that is not partitioned.

    Primary keys, unique indexes and foreign keys of the parent do not hold for the children, nor do they hold across them, and
    the planner opens all children where it cannot prove otherwise. Declarative partitioning does all of that.

    Fix: PARTITION BY with ATTACH PARTITION for sets of partitions; plain tables with a foreign key for subtypes.

    Example: CREATE TABLE cities (id bigint PRIMARY KEY, name text), CREATE TABLE capitals () INHERITS (cities): both
    take id 1, and a foreign key to cities does not find what is in capitals.

    Source: PostgreSQL manual, "Inheritance", section "Caveats"; "Table Partitioning"

    Observed: children, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    children: dict[int, list[Table]] = {}
    for table in tables:
        for parent in table.inherits:
            children.setdefault(parent, []).append(table)
    for oid, found in children.items():
        parent_table = catalog.table_by_oid.get(oid)
        if parent_table is None or parent_table.extension:
            continue
        yield Finding(
            parent_table.subject,
            f"{len(found)} {'tables inherit' if len(found) > 1 else 'table inherits'} from {parent_table.subject.name}: "
            f"its keys do not hold for {'them' if len(found) > 1 else 'it'}",
            Fix("Make the set partitioned: create a partitioned table and attach the children to it, one by one. For subtypes "
                "use a table each, with a foreign key to the common one."),
            severity=Severity.MEDIUM if len(found) >= 10 else Severity.LOW,
            observed={"children": len(found), "rows": sum(round(estimated_rows(evidence, child) or 0) for child in found)},
            related=tuple(child.subject for child in found[:_SHOWN]),
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables")


@check("schema.unlogged-table", catalogue="S63", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} are unlogged", CROWD)
def unlogged_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table is UNLOGGED: a crash empties it, and no standby has it.

    For a cache or a staging area that is a good bargain. For anything else it is data that is gone after the next failover, and
    reads on a replica fail meanwhile.

    Fix: SET LOGGED, unless its rows may be lost.

    Example: CREATE UNLOGGED TABLE payments (...): after a crash or a failover the table is empty, and a standby answers
    SELECT with "cannot access temporary or unlogged relations during recovery".

    Source: PostgreSQL manual, "CREATE TABLE", UNLOGGED

    Observed: rows, total_bytes, referencing_tables.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        parts = [part for part in (table, *leaves(catalog, table)) if part.persistence == "unlogged"]
        if not parts:
            continue
        referencing = {key.table for key in catalog.references_to(table.oid)}
        passing = _PASSING & set(words(table.name)) and not referencing
        rows = estimated_rows(evidence, table)
        name = qualified_name(parts[0].schema, parts[0].name)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} is unlogged: a crash or a failover empties it",
            Fix(
                "If its rows may be lost, leave it, and say so in a comment on it. Else make it logged, which writes all of it "
                "to the WAL once.",
                f"ALTER TABLE {name} SET LOGGED;",
                lock="ACCESS EXCLUSIVE",
                rewrites=True,
                undo=f"ALTER TABLE {name} SET UNLOGGED;",
            ),
            severity=Severity.NOTE if passing else Severity.LOW,
            observed={
                "rows": None if rows is None else round(rows),
                "total_bytes": table.total_bytes,
                "referencing_tables": len(referencing),
            },
        )
    yield Examined(len(tables), len(tables), "tables")


_PASSING = frozenset(
    "cache cached staging stage stg tmp temp import imports session sessions queue rate limit limits lock locks".split()
)


@check("schema.no-audit-timestamps", catalogue="S55", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} don't say when their rows were made", CROWD)
def no_audit_timestamps(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table does not say when its rows were made.

    When a defect wrote wrong rows for three days, created_at is what finds them; retention, incremental exports and pagination
    ask for it too.

    Fix: created_at timestamptz NOT NULL DEFAULT now().

    Example: CREATE TABLE prices (id bigint, product_id bigint, amount numeric): after a release that wrote wrong
    amounts for three days, nothing tells its rows from the others.

    Source: PostgreSQL manual, "Default Values"

    Observed: rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        columns = catalog.columns_of(table.oid).values()
        if len(columns) <= 2 or any(column.base_type in {"timestamp", "timestamptz", "date"} for column in columns):
            continue
        rows = estimated_rows(evidence, table)
        alter = f"ALTER TABLE {qualified_name(table.schema, table.name)}"
        yield Finding(
            table.subject,
            f"Table {table.subject.name} does not say when its rows were made",
            Fix("Add the column; rows from before get the moment of the migration.",
                f"{alter} ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();",
                lock="ACCESS EXCLUSIVE, briefly", undo=f"{alter} DROP COLUMN created_at;"),
            observed={"rows": None if rows is None else round(rows)},
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables")


@check("schema.alignment-padding", catalogue="S54", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
@once_per_habit(
    lambda schema, number: f"The order of columns wastes space in {number} tables of schema {schema}", CROWD
)
def alignment_padding(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The order of a table's columns wastes space between them.

    A bigint begins at a multiple of eight bytes, so that a boolean before each of three bigints costs 21 bytes a row. Only
    worth it for tables of many rows, when they are made anew anyway.

    Fix: Order columns by width when the table is created: eight bytes, four, two, one, then those of variable length.

    Example: CREATE TABLE flags (a boolean, x bigint, b boolean, y bigint, c boolean, z bigint) with 200 million rows:
    48 bytes of data a row, of which 21 are padding; in the order x, y, z, a, b, c it is 27, which ends at 32.

    Source: PostgreSQL manual, "Database Page Layout"

    Observed: bytes_per_row, wasted_bytes, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        rows = estimated_rows(evidence, table)
        wasted = _padding(catalog, table)
        if rows is None or wasted * rows < evidence.limit("padding_bytes"):
            continue
        yield Finding(
            table.subject,
            f"The order of columns of {table.subject.name} wastes about {bytes_in_words(wasted * rows)}",
            Fix("When the table is rewritten for another reason, put wide columns of fixed length first."),
            confidence=Confidence.INFERRED,
            observed={"bytes_per_row": wasted, "wasted_bytes": round(wasted * rows), "rows": round(rows)},
        )
    yield Examined(len(tables), len(tables), "tables")


_WIDTHS = {"bool": 1, "char": 1, "int2": 2, "int4": 4, "float4": 4, "date": 4, "oid": 4, "int8": 8, "float8": 8, "timestamp": 8,
           "timestamptz": 8, "time": 8, "money": 8}  # fmt: skip
_TUPLE = 8


def _padding(catalog: Catalog, table: Table) -> int:
    """Bytes lost to alignment among the columns before the first of variable length, against the best order of the same."""
    offset = used = 0
    for number in sorted(catalog.columns_of(table.oid)):
        width = _WIDTHS.get(catalog.column(table.oid, number).base_type)
        if width is None:
            break
        offset += -offset % width + width
        used += width
    return max(0, (offset + -offset % _TUPLE) - (used + -used % _TUPLE))


@check("schema.hardly-a-table", catalogue="S58", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} have one column or none", CROWD)
def hardly_a_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has no column, or one.

    One without columns is left over. One with a single column is a list of values; where nothing refers to it, the list is
    kept somewhere else too.

    Fix: Drop it if it is left over.

    Example: CREATE TABLE statuses (name text PRIMARY KEY), to which no foreign key refers: orders.status takes any
    text, and a status added to the list changes nothing.

    Source: PostgreSQL manual, "CREATE TABLE", Notes

    Observed: columns, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        columns = catalog.columns_of(table.oid)
        if len(columns) > 1 or catalog.references_to(table.oid) or table.inherits:
            continue
        rows = estimated_rows(evidence, table)
        name = qualified_name(table.schema, table.name)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has {'one column' if columns else 'no column'}, and nothing refers to it",
            Fix("Drop it if it is left over.", f"DROP TABLE {name};", lock="ACCESS EXCLUSIVE",
                undo="Restore it from a backup, or from the migration that made it."),
            observed={"columns": len(columns), "rows": None if rows is None else round(rows)},
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables")
