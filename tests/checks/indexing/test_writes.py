from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, Statements, Usage
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

YOUNG = {"window_days": 0, "unused_window_days": 0}


def counted(evidence: Evidence, *, scans: dict[str, int], **tables: dict[str, int]) -> Evidence:
    """The evidence with other counters, by the names of indexes and tables."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    index_names = {index.oid: index.name for index in catalog.indexes}
    indexes = tuple(
        msgspec.structs.replace(entry, scans=scans.get(index_names[entry.index], entry.scans))
        for entry in usage.indexes
    )
    changed = tuple(
        msgspec.structs.replace(entry, **tables.get(catalog.table_by_oid[entry.table].name, {}))
        for entry in usage.tables
    )
    return msgspec.structs.replace(evidence, usage=msgspec.structs.replace(usage, indexes=indexes, tables=changed))


def test_indexes_written_far_more_than_read(database: Database) -> None:
    database.execute(
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, d int UNIQUE, e int REFERENCES parents)",
        "INSERT INTO t SELECT n, n, n, n, n FROM generate_series(1, 2000) n",
        *(f"CREATE INDEX t_{name} ON t ({name})" for name in "abce"),
    )
    young = examine(database, "indexing.rarely-used-index")
    evidence = survey(database, limits={**YOUNG, "large_index_bytes": 1})
    scans = {"t_a": 5, "t_b": 0, "t_c": 9_000, "t_d_key": 5, "t_e": 5, "t_pkey": 5}
    busy = counted(evidence, scans=scans, t={"inserted": 900_000, "updated": 200_000, "hot_updated": 100_000})

    result = conclude(busy, "indexing.rarely-used-index")

    # One that nothing read is unused, and those of keys are needed.
    assert names(result) == {"public.t_a"}
    assert finding(result, "public.t_a").observed["table_writes"] == 1_000_000
    assert (young.outcome, young.reason) == (Outcome.UNKNOWN, Reason.WINDOW_TOO_SHORT)


def test_indexes_over_columns_that_updates_set(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE t (id int PRIMARY KEY, seen timestamptz, name text, n int)",
        "CREATE TABLE calm (id int PRIMARY KEY, seen timestamptz)",
        "INSERT INTO t SELECT n FROM generate_series(1, 50) n",
        "INSERT INTO calm SELECT n FROM generate_series(1, 50) n",
        "CREATE INDEX t_seen ON t (seen)",
        "CREATE INDEX t_brin ON t USING brin (seen)",
        "CREATE INDEX t_name ON t (name)",
        "CREATE INDEX calm_seen ON calm (seen)",
        "SELECT pg_stat_statements_reset()",
        "UPDATE t SET seen = now(), n = 1",
        "UPDATE calm SET seen = now()",
    )
    evidence = survey(database, limits=YOUNG)
    updates = {"updated": 120_000, "hot_updated": 1_000}
    statements = evidence.get(Statements)
    entries = tuple(msgspec.structs.replace(entry, rows=120_000) for entry in statements.entries)
    more = msgspec.structs.replace(statements, entries=entries)
    busy = counted(
        msgspec.structs.replace(evidence, statements=more),
        scans={},
        t=updates,
        calm={**updates, "hot_updated": 119_000},
    )

    assert names(conclude(busy, "indexing.index-blocks-hot")) == {"public.t_seen"}


def test_tables_read_as_a_whole(database: Database) -> None:
    database.execute(
        *(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)" for name in ("read", "stopped", "looked_up", "small")),
        "CREATE TABLE bare (v int)",
        "CREATE TABLE log (v int)",
        "CREATE TABLE parted (v int) PARTITION BY RANGE (v)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (200000)",
        "INSERT INTO parted SELECT generate_series(1, 12000)",
        *(f"INSERT INTO {name} SELECT generate_series(1, 12000)" for name in ("bare", "log", "small")),
        "ANALYZE",
    )
    evidence = survey(database, limits=YOUNG)
    catalog = evidence.get(Catalog)
    large = {"read", "stopped", "looked_up"}
    tables = tuple(
        msgspec.structs.replace(table, rows=200_000.0) if table.name in large else table for table in catalog.tables
    )
    scanned = {"sequential_scans": 1_000, "sequential_tuples": 200_000_000, "index_scans": 5}
    busy = counted(
        msgspec.structs.replace(evidence, catalog=msgspec.structs.replace(catalog, tables=tables)),
        scans={},
        read=scanned,
        stopped={**scanned, "sequential_tuples": 9_000_000},
        looked_up={**scanned, "index_scans": 1_000_000},
        small=scanned,
        bare={"sequential_scans": 3},
        log={"sequential_scans": 0},
        parted_1={"sequential_scans": 3},
    )

    assert names(conclude(busy, "indexing.sequentially-scanned-table")) == {"public.read"}
    assert names(conclude(busy, "indexing.table-without-index")) == {"public.bare", "public.parted"}
