"""All relations of a database, with look-ups; and the planner's statistics of their columns."""

from __future__ import annotations

from functools import cached_property

import msgspec

from checks.evidence.database.facts.relations import (
    Column,
    Constraint,
    ExtendedStatistics,
    Function,
    Index,
    Policy,
    Sequence,
    SystemTable,
    Table,
    Trigger,
    View,
)
from checks.model import Subject


class CollationVersion(msgspec.Struct, frozen=True):
    """A collation that some index sorts by, with the version of its rules when it was made or last refreshed and the one that the
    operating system's library has now; None where that is not told. `default`: the database's own, which before 15 has no
    version."""

    name: str
    provider: str
    recorded: str | None
    actual: str | None
    default: bool = False


class Catalog(msgspec.Struct, frozen=True, tag=True, dict=True):
    """All relations outside pg_catalog, information_schema and temporary schemas.

    `system_tables` are the largest of pg_catalog. `highest_oid` is that of the newest relation, temporary ones among them.
    `collations` are those by which indexes sort.
    """

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
    system_tables: tuple[SystemTable, ...] = ()
    highest_oid: int | None = None
    collations: tuple[CollationVersion, ...] = ()

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
