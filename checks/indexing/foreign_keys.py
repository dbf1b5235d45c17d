"""Can rows be found by what they refer to?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Constraint, PlannerStatistics, Table, TableUsage, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.index_creation import build
from checks.indexing.candidates import candidates
from checks.indexing.coverage import covering_index
from checks.indexing.crowds import as_one
from checks.indexing.proposals import Candidate, creation
from checks.indexing.workload import unserved
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import (
    column_list,
    column_names,
    counters_believed,
    estimated_rows,
    is_reviewed,
    new_name,
    root_of,
)
from checks.schema.foreign_keys import reviewed_foreign_keys
from checks.schema.habits import HABIT

_LARGE_ROWS = 100_000
_LOOKUP_ROWS = 100
_MOSTLY_NULL = 0.5


@check("indexing.foreign-key-without-index", catalogue="I01", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def foreign_key_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign key whose referencing columns no index covers.

    Deleting a parent row, or changing its key, reads the whole child table to see whether anything still refers to it, and
    holds its locks meanwhile; a cascade does so once for every row deleted. Every lookup of the children of a parent reads
    the whole table too. It costs nothing while tables are small and everything once they are not. Small tables, and references
    to a handful of rows that nobody deletes, are no finding; a table that is empty here is noted, since its size is unknown, and
    many of them that no statement and no code looks up by the key are noted together.

    Fix: Create an index whose leading columns are the foreign key's.

    Example: messages.conversation_id REFERENCES conversations without an index on it: DELETE FROM conversations WHERE id = $1
    reads all messages.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: columns, rows, total_bytes, referenced_table, on_delete, parent_deletes, parent_updates, statements.
    """
    catalog = evidence.get(Catalog)
    usage, statistics = evidence.find(Usage), evidence.find(PlannerStatistics)
    keys = _keys(catalog)
    workload = patterns.workload(evidence)
    unmet, unread = 0, []
    for key, asked, further in keys:
        table, parent = catalog.table_by_oid[asked.table], catalog.table_by_oid.get(key.referenced_table or 0)
        rows = estimated_rows(evidence, table)
        if rows is not None and 0 < rows < evidence.limit("parent_rows_min"):
            continue
        if covering_index(catalog, asked, statistics, rows) or _is_lookup(evidence, parent):
            continue
        names = column_names(catalog, key.table, key.columns)
        reading = [entry for entry in workload if _looks_up(entry, catalog, asked)]
        used = [entry for entry in reading if entry.query_id]
        counted = usage.table_by_oid.get(parent.oid) if usage and parent else None
        severity = _severity(evidence, rows, counted, bool(used))
        unmet += severity.rank < Severity.LOW.rank
        subject = catalog.constraint_subject(key)
        more = f", as on {further} more partition{'s' if further > 1 else ''}" if further else ""
        finding = Finding(
            subject,
            f"Foreign key {subject.name} has no index on ({column_list(names)}){more}",
            _fix(evidence, asked, statistics),
            severity=severity,
            confidence=Confidence.MEASURED if table.rows is not None else Confidence.INFERRED,
            observed={
                "columns": names,
                "rows": None if rows is None else round(rows),
                "total_bytes": table.total_bytes,
                "referenced_table": parent.subject.name if parent else None,
                "on_delete": key.on_delete,
                "parent_deletes": counted.deleted if counted else None,
                "parent_updates": counted.updated if counted else None,
                "statements": [entry.query_id for entry in used][:5],
            },
            related=(table.subject, *((parent.subject,) if parent else ())),
        )
        if rows == 0 and not any(_looks_up(entry, catalog, asked, by_value=True) for entry in reading):
            unread.append(finding)
        else:
            yield finding
    yield from as_one(
        evidence,
        unread,
        HABIT,
        lambda number, schema: f"{number} foreign keys of schema {schema} have no index; their tables are empty here",
        "Index those whose tables grow elsewhere and whose parents are deleted or joined; where the parent is a user who made a "
        "row, that is when an account is erased.",
    )
    yield Examined(len(keys), len(keys), "foreign keys", unmet=unmet)


class _Key(NamedTuple):
    """A foreign key; where partitions alone have it, `asked` is what it would be of the partitioned table, and `further` counts
    the other partitions that have it."""

    key: Constraint
    asked: Constraint
    further: int = 0


def _keys(catalog: Catalog) -> list[_Key]:
    """Foreign keys of the reviewed tables, and those that partitions without an index for it have of their own, once for all.
    Raises NotApplicable if there is none."""
    found: dict[tuple[int, tuple[str, ...], int | None], list[Constraint]] = {}
    for key in catalog.constraints:
        table = catalog.table_by_oid[key.table]
        if key.kind != "foreign_key" or key.parent is not None or not table.is_partition:
            continue
        root = root_of(catalog, table)
        if is_reviewed(root) and covering_index(catalog, key) is None:
            names = tuple(column_names(catalog, key.table, key.columns))
            found.setdefault((root.oid, names, key.referenced_table), []).append(key)
    of_partitions = []
    for (oid, names, _), keys in found.items():
        columns = [column.number for name in names if (column := catalog.column_named(oid, name))]
        asked = msgspec.structs.replace(keys[0], table=oid, columns=tuple(columns))
        of_partitions.append(_Key(keys[0], asked, len(keys) - 1))
    try:
        return [*(_Key(key, key) for key in reviewed_foreign_keys(catalog)), *of_partitions]
    except NotApplicable:
        if of_partitions:
            return of_partitions
        raise


def _is_lookup(evidence: Evidence, parent: Table | None) -> bool:
    """Whether the parent is a handful of rows that nobody was seen to delete: an index on so few values is never used."""
    rows = estimated_rows(evidence, parent) if parent else None
    usage = evidence.find(Usage)
    counted = usage.table_by_oid.get(parent.oid) if usage and parent else None
    return rows is not None and 0 < rows <= _LOOKUP_ROWS and not (counted and counted.deleted)


def _looks_up(pattern: AccessPattern, catalog: Catalog, key: Constraint, *, by_value: bool = False) -> bool:
    """Whether a statement joins or filters the child table by the foreign key's first column; `by_value`: whether it filters."""
    name = catalog.column(key.table, key.columns[0]).name
    sides = [side for entry in pattern.comparisons if entry.operator in {"=", "in"} and not entry.function
             and not entry.json_operator and not (by_value and entry.other)
             for side in (entry.column, entry.other) if side]  # fmt: skip
    return any(side.table == key.table and side.column == name for side in sides)


def _severity(evidence: Evidence, rows: float | None, parent: TableUsage | None, looked_up: bool) -> Severity:
    """High for a large child that is looked up or whose parents are deleted; low where neither was ever seen; a note where the
    child is empty."""
    if rows == 0:
        return Severity.NOTE
    deleted = bool(parent and parent.deleted)
    if deleted or looked_up:
        return Severity.HIGH if rows is not None and rows >= _LARGE_ROWS else Severity.MEDIUM
    return Severity.LOW if parent and counters_believed(evidence) else Severity.MEDIUM


def _fix(evidence: Evidence, key: Constraint, statistics: PlannerStatistics | None) -> Fix:
    catalog = evidence.get(Catalog)
    table = catalog.table_by_oid[key.table]
    if wider := _wanted_anyhow(evidence, key):
        return creation(
            catalog, wider, f"Index ({column_list(wider.columns)}): statements that ran want that index too."
        )
    name, columns = qualified_name(table.schema, table.name), column_names(catalog, key.table, key.columns)
    index = new_name(catalog, table.schema, table.name, *columns, "idx")
    dropped = qualified_name(table.schema, index)
    if table.kind == "partitioned":
        built = build(catalog, table, columns, f"({column_list(columns)})")
        return Fix("Index the referencing columns on every partition.", built.sql, lock=built.lock, undo=built.undo)
    entry = statistics.by_column.get((key.table, key.columns[0])) if statistics else None
    mostly_null = len(columns) == 1 and entry is not None and entry.null_share >= _MOSTLY_NULL
    where = f" WHERE {column_list(columns)} IS NOT NULL" if mostly_null else ""
    return Fix(
        "Index the referencing columns" + ("; most rows are null there, so leave those out." if mostly_null else "."),
        f"CREATE INDEX CONCURRENTLY {quote_identifier(index)} ON {name} ({column_list(columns)}){where};",
        lock="SHARE UPDATE EXCLUSIVE",
        undo=f"DROP INDEX CONCURRENTLY {dropped};",
    )


def _wanted_anyhow(evidence: Evidence, key: Constraint) -> Candidate | None:
    """An index that statements which ran ask for and that begins with the foreign key's columns."""
    catalog = evidence.get(Catalog)
    columns = {catalog.column(key.table, number).name for number in key.columns}
    return next(
        (
            one
            for one in candidates(evidence)
            if one.table == key.table and one.ran and one.method == "btree" and one.predicate is None
            and all(part.is_column for part in one.keys) and set(one.columns[: len(columns)]) == columns
            and unserved(evidence, one) is not None
        ),
        None,
    )  # fmt: skip
