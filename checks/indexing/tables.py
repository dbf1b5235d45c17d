"""Are whole tables read where a part would do?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.candidates import candidates
from checks.indexing.needs import needs, planned_as_scan
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check
from checks.relations import counters_believed, estimated_rows, leaves, reviewed_tables

_SCANS_PER_DAY = 24
_MANY_ROWS = 100_000
_WHOLE = 0.5


class _Scans(msgspec.Struct, frozen=True):
    sequential: int
    rows_read: int
    by_index: int


def _scans(evidence: Evidence, table: Table) -> _Scans | None:
    usage = evidence.find(Usage)
    parts = [
        entry for leaf in leaves(evidence.get(Catalog), table) if usage and (entry := usage.table_by_oid.get(leaf.oid))
    ]
    if not parts:
        return None
    return _Scans(
        sum(part.sequential_scans for part in parts),
        sum(part.sequential_tuples for part in parts),
        sum(part.index_scans for part in parts),
    )


@check("indexing.sequentially-scanned-table", catalogue="I18", severity=Severity.LOW, needs=[Catalog, Usage, Server],
       window="window_days")  # fmt: skip
@once_per_family
def sequentially_scanned_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large table is read from end to end many times a day.

    Counters tell that it is, not why: reports, exports and a queue that is always empty read so for good reasons. It is worth
    asking which statement it is; where that is known to want an index, the finding is that index and not this.

    Fix: Find the statement, in pg_stat_statements by the blocks it reads or with auto_explain, and see what it compares.

    Example: sessions, of 2 million rows, was read from end to end 5,000 times a day.

    Source: PostgreSQL manual, "The Cumulative Statistics System", pg_stat_all_tables

    Observed: rows, sequential_scans, rows_read, index_scans, scans_per_day, statements.
    """
    days = max(1.0, evidence.require_window("window_days"))
    catalog = evidence.get(Catalog)
    tables = [table for table in reviewed_tables(catalog) if (estimated_rows(evidence, table) or 0) >= _MANY_ROWS]
    explained = {one.table for one in candidates(evidence)}
    for table in tables:
        rows, found = estimated_rows(evidence, table) or 0.0, _scans(evidence, table)
        if found is None or table.oid in explained:
            continue
        whole = found.rows_read / (found.sequential or 1)
        if found.sequential < _SCANS_PER_DAY * days or found.sequential < found.by_index or whole < _WHOLE * rows:
            continue
        readers = [need for need in needs(evidence) if need.table.oid == table.oid and planned_as_scan(evidence, need)]
        yield Finding(
            table.subject,
            f"Table {table.subject.name} of {rows:,.0f} rows was read as a whole {found.sequential:,} times",
            Fix("Find the statement that reads it so, and see what it compares and whether it needs all rows."),
            severity=Severity.MEDIUM if found.sequential >= 24 * _SCANS_PER_DAY * days else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "rows": round(rows),
                "sequential_scans": found.sequential,
                "rows_read": found.rows_read,
                "index_scans": found.by_index,
                "scans_per_day": round(found.sequential / days, 1),
                "statements": [need.name for need in readers][:5],
            },
        )
    yield Examined(len(tables), len(tables), "large tables")


@check("indexing.table-without-index", catalogue="I23", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def table_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table with many rows has no index at all.

    Whatever is looked for in it, all of it is read. A log that is only written, or a table that is loaded, read once and emptied,
    is well off so; one that nobody was seen to read in the time that the counters cover is no finding, and where statements say
    which index they want, that is the finding.

    Fix: A primary key, and an index for what statements look for.

    Example: an import table of a million rows, with neither key nor index, that a job looks through.

    Source: PostgreSQL manual, "Indexes", introduction

    Observed: rows, sequential_scans, total_bytes.
    """
    catalog = evidence.get(Catalog)
    tables = [table for table in reviewed_tables(catalog) if (estimated_rows(evidence, table) or 0) > 0]
    explained = {one.table for one in candidates(evidence)}
    for table in tables:
        rows, found = estimated_rows(evidence, table) or 0.0, _scans(evidence, table)
        indexed = any(catalog.indexes_of(part.oid) for part in (table, *leaves(catalog, table)))
        if indexed or rows < evidence.limit("seq_scan_rows") or table.oid in explained:
            continue
        if found is not None and not found.sequential and counters_believed(evidence):
            continue
        yield Finding(
            table.subject,
            f"Table {table.subject.name} of {rows:,.0f} rows has no index",
            Fix("Give it a primary key, and index what statements look for."),
            severity=Severity.MEDIUM if rows >= _MANY_ROWS else Severity.LOW,
            observed={
                "rows": round(rows),
                "sequential_scans": found.sequential if found else None,
                "total_bytes": sum(leaf.total_bytes or 0 for leaf in leaves(catalog, table)),
            },
        )
    yield Examined(len(tables), len(tables), "tables with rows")
