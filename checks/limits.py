"""Every threshold a check or criterion uses, in one place. `pgsurveyor.toml` may override each under `[limits]`."""

from __future__ import annotations

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """`stricter` says which way is stricter: 'lower' or 'higher'. An override the other way is a lowered threshold."""

    default: float
    unit: str
    about: str
    stricter: str = "lower"


LIMITS: dict[str, Limit] = {
    "window_days": Limit(7, "days", "statistics must cover this long before a counter is believed", "higher"),
    "unused_window_days": Limit(
        30, "days", "statistics must cover this long before an index is called unused", "higher"
    ),
    "table_rows_min": Limit(1_000, "rows", "tables with fewer rows need no key to be scored"),
    "seq_scan_rows": Limit(10_000, "rows", "a sequential scan of fewer rows is no finding"),
    "seq_scan_selectivity": Limit(
        0.10, "ratio", "a sequential scan that returns a larger share is no finding", "higher"
    ),
    "breaks_within_factor": Limit(
        10, "ratio", "a statement that breaks when its tables are this many times as large is a finding", "higher"
    ),
    "dominant_share": Limit(0.25, "ratio", "a statement with this share of all execution time dominates"),
    "chatty_calls_per_s": Limit(20, "calls/s", "a statement called more often is looked at as chatty"),
    "chatty_calls_share": Limit(0.20, "ratio", "a statement with this share of all calls is looked at as chatty"),
    "chatty_calls_min": Limit(1_000, "calls", "a statement called less often is never chatty"),
    "sampled_values": Limit(100, "values", "a column with fewer values in a sample of its table is not judged by them"),
    "key_used_note": Limit(0.45, "ratio", "an integer key is reported from this used share on"),
    "key_used_high": Limit(0.70, "ratio", "an integer key this used is a high finding"),
    "key_used_red": Limit(0.90, "ratio", "an integer key this used is a red flag"),
    "connections_used": Limit(0.90, "ratio", "share of max_connections in use that counts as saturated"),
    "idle_in_transaction_s": Limit(60, "s", "a session idle in its transaction this long is a finding"),
    "xid_age": Limit(1_000_000_000, "transactions", "a transaction-id age that is reported"),
    "xid_age_red": Limit(1_600_000_000, "transactions", "the default failsafe age: a red flag"),
    "lag_bytes": Limit(64 * 1024 * 1024, "bytes", "WAL a standby may be behind"),
    "lag_seconds": Limit(30, "s", "time a standby may be behind while it is behind in bytes too"),
    "slot_retained_bytes": Limit(1024**3, "bytes", "WAL an inactive slot may hold"),
    "slow_log_ms": Limit(1_000, "ms", "slow statements must be logged from this duration on"),
    "exact_rows": Limit(
        2_000, "rows", "a filter that leaves fewer rows, and has an index, makes a vector search exact", "higher"
    ),
    "key_statements": Limit(3, "statements", "so many statements that compare one key of a document make it a column"),
    "document_update_bytes": Limit(8_192, "bytes", "WAL for each row of an update that changes a document"),
    "misestimate_factor": Limit(
        10, "ratio", "how far the planner's guess for a document may be from the rows that came"
    ),
    "toast_table_bytes": Limit(1024**3, "bytes", "a table whose values out of line take less is no finding"),
    "toast_heavy_factor": Limit(5, "ratio", "how many times its rows the values out of line of a table take"),
    "toast_dead_share": Limit(0.3, "ratio", "dead share of the values out of line from which they are bloat"),
    "history_share": Limit(0.10, "ratio", "share of the database that a history may take without pruning"),
    "halfvec_saved_bytes": Limit(
        256 * 1024**2, "bytes", "half-precision vectors that would save less are not proposed", "lower"
    ),
    "vector_headroom": Limit(
        10, "ratio", "how often a vector index should fit into memory before it is worth a note", "higher"
    ),
    "null_vectors_share": Limit(0.05, "ratio", "rows without a vector beside an index that cannot find them"),
    "vector_churn": Limit(1.0, "ratio", "changes per live row in the window from which a graph wears out"),
    "recall_target": Limit(0.95, "ratio", "share of the nearest rows that a vector index must find", "higher"),
    "vector_rows": Limit(10_000, "rows", "a vector column with fewer rows may be searched exactly"),
    "unused_index_bytes": Limit(1024 * 1024, "bytes", "a smaller unused index is only a note"),
    "parent_rows_min": Limit(1_000, "rows", "foreign keys of smaller child tables need no index"),
    "analyze_share": Limit(0.20, "ratio", "share of a table changed since its last analyze"),
    "active_sessions": Limit(16, "sessions", "with --max-load, more active sessions stop the observation"),
    "archiver_failing_s": Limit(3_600, "s", "an archiver failing this long is a red flag"),
    "dominant_total_ms": Limit(1_000, "ms", "statements that took less all together have nothing to dominate", "lower"),
    "dominant_load": Limit(0.01, "cores", "a dominant statement that keeps less of a core busy is only a low finding"),
    "n_plus_one_calls": Limit(5, "calls", "lookups for each call of the statement that lists their keys"),
    "wide_column_bytes": Limit(200, "bytes", "average width from which on a text column makes SELECT * costly"),
    "analyze_rows_min": Limit(50, "rows", "tables with fewer rows need no planner statistics"),
    "slot_retained_red": Limit(10 * 1024**3, "bytes", "WAL held by an inactive slot without a limit: a red flag"),
    "unarchived_bytes": Limit(256 * 1024**2, "bytes", "WAL that may wait for the archiver"),
    "idle_in_transaction_red_s": Limit(3_600, "s", "a session idle in its transaction this long is a red flag"),
    "lineage_share": Limit(
        0.5, "ratio", "migrations of whose tables a smaller share exists belong to another database", "higher"
    ),
    "migration_commits": Limit(
        20, "commits", "migrations that the last so many commits brought are looked at", "higher"
    ),
    "migration_rows": Limit(10_000, "rows", "a migration that locks a smaller table is a low finding"),
    "migration_rows_high": Limit(1_000_000, "rows", "a migration that locks so large a table is a high finding"),
    "ivfflat_lists_factor": Limit(4, "ratio", "how far an IVFFlat index's lists may be from the recommended number"),
    "random_key_rows": Limit(10_000_000, "rows", "a random uuid is no finding as the key of a smaller table"),
    "file_column_bytes": Limit(1024**3, "bytes", "a bytea column's table with so many bytes out of line holds files"),
    "always_null_rows": Limit(1_000, "rows", "a column that is always null is no finding in a smaller table"),
    "busy_trigger_rows_per_day": Limit(
        1_000_000, "rows", "rows a day from which a trigger for each row is worth a note"
    ),
    "table_columns": Limit(100, "columns", "a table with more columns is very wide"),
    "padding_bytes": Limit(1024**3, "bytes", "space lost to the order of columns that is worth a note"),
    "table_bytes": Limit(100 * 1024**3, "bytes", "a larger table should be partitioned"),
    "deleted_rows_per_day": Limit(1_000_000, "rows", "rows a day that a queue or log may lose by DELETE"),
    "partitions": Limit(1_000, "partitions", "a table with more of them takes long to plan"),
    "partition_skew_bytes": Limit(1024**3, "bytes", "hash partitions of smaller tables may differ in size"),
    "partitions_ahead_days": Limit(7, "days", "partitions by time must be ready so long before", "higher"),
    "published_vector_bytes": Limit(1024**3, "bytes", "tables with vectors that a publication of all tables may carry"),
    "horizon_xids": Limit(
        1_000_000, "transactions", "how far a slot, standby or session may hold back what vacuum removes"
    ),
    "conflicts_per_day": Limit(10, "statements/day", "statements that recovery may cancel on a standby"),
    "forced_checkpoint_share": Limit(0.5, "ratio", "share of checkpoints that the volume of WAL forces"),
    "forced_checkpoints_per_hour": Limit(2, "checkpoints/hour", "forced checkpoints below that rate are no finding"),
    "evictions_per_day": Limit(24, "evictions/day", "how often pg_stat_statements may make room a day"),
    "sessions_per_s": Limit(2, "sessions/s", "new connections a second from which on a pooler is missing"),
    "slow_mean_ms": Limit(1_000, "ms", "a statement that takes longer on average is slow"),
    "slow_calls_per_day": Limit(10, "calls/day", "a statement that runs less often is a report"),
    "variable_factor": Limit(5, "ratio", "standard deviation of a statement's time, in multiples of its mean"),
    "heavy_share": Limit(0.10, "ratio", "share of blocks, or of time, from which one statement is heavy"),
    "blocks_per_call": Limit(1_000, "blocks", "a statement that touches fewer blocks a call is no finding"),
    "blocks_per_row": Limit(100, "blocks", "blocks that a statement may touch for each row it returns"),
    "rows_per_call": Limit(5_000, "rows", "rows that a statement may return each time"),
    "temp_bytes_per_call": Limit(1024**2, "bytes", "temporary files that a statement may write each time"),
    "partitions_read": Limit(8, "partitions", "a statement may read so many partitions without naming their key"),
    "nested_loops": Limit(
        100_000, "loops", "rows for each of which a nested loop or a sub-plan may run its inner side"
    ),
    "regressed_factor": Limit(3, "ratio", "how many times slower than before a statement has become slower"),
    "regressed_calls": Limit(50, "calls", "of a statement that ran less often since, no new mean is known"),
    "plan_ms": Limit(50, "ms", "of a plan that ran for less time nothing is a finding"),
    "row_misestimate": Limit(
        100, "ratio", "how far the planner may be from the rows of a node that is larger than seq_scan_rows"
    ),
    "joined_relations": Limit(8, "relations", "a statement that joins so many is hard to plan"),
    "long_statement_s": Limit(300, "s", "a statement that runs longer is reported"),
    "lock_wait_s": Limit(10, "s", "a session that waits longer for a lock is reported"),
    "idle_session_s": Limit(3_600, "s", "a session idle this long is counted as idle for long"),
    "idle_sessions": Limit(50, "sessions", "sessions that may be idle for long"),
    "max_connections": Limit(500, "connections", "a larger max_connections is a finding"),
    "broken_session_share": Limit(0.05, "ratio", "share of sessions that may end by a lost client or an error"),
    "deadlocks_per_day": Limit(5, "deadlocks/day", "deadlocks a day that are no finding"),
    "rollbacks_per_day": Limit(1_000, "transactions/day", "fewer rollbacks are no finding, whatever their share"),
    "rollback_share": Limit(0.10, "ratio", "share of transactions that may be rolled back"),
    "dead_share": Limit(0.30, "ratio", "share of a table's row versions that may be dead"),
    "dead_rows_min": Limit(10_000, "rows", "fewer dead rows are no finding"),
    "large_table_rows": Limit(10_000_000, "rows", "a larger table needs autovacuum thresholds of its own"),
    "temp_bytes_per_day": Limit(10 * 1024**3, "bytes/day", "temporary files a day that are no finding"),
    "cache_hit": Limit(
        0.95, "ratio", "share of block reads served from shared_buffers below which a note is made", "higher"
    ),
    "hot_share": Limit(0.5, "ratio", "share of updates that should be heap-only", "higher"),
    "wal_bytes_per_day": Limit(100 * 1024**3, "bytes/day", "WAL a day from which its volume is worth a note"),
    "prepared_transaction_s": Limit(300, "s", "a prepared transaction this old is forgotten"),
    "tables": Limit(10_000, "tables", "a database with more tables has very many"),
    "catalog_bytes": Limit(100 * 1024**2, "bytes", "a smaller system catalog is never bloated"),
    "view_depth": Limit(4, "views", "views that stand on each other, from which on it is a finding"),
    "superusers": Limit(2, "roles", "more superusers that may log in are too many"),
    "indexes_per_table": Limit(15, "indexes", "a table may have so many before each write is looked at"),
    "index_to_heap": Limit(2, "ratio", "indexes that are larger than so many times their table are looked at"),
    "large_index_bytes": Limit(
        100 * 1024**2, "bytes", "an index whose waste or use is worth a finding is at least so large"
    ),
    "index_bloat_share": Limit(0.5, "ratio", "share of an index that may be empty space"),
    "rare_scans_share": Limit(
        0.001, "ratio", "scans for each row written below which an index is rarely used", "higher"
    ),
    "one_value_share": Limit(0.9, "ratio", "share of rows with one value, or null, that an index might leave out"),
    "index_columns": Limit(3, "columns", "an index with more key columns is wide"),
    "index_key_bytes": Limit(200, "bytes", "average width from which on the keys of an index are wide"),
    "slru_reads_per_day": Limit(
        100_000, "blocks/day", "reads a day from which the cache of transaction states is too small"
    ),
    "session_writes_per_day": Limit(1_000_000, "blocks/day", "fewer changed pages that sessions write are no finding"),
    "session_writes_share": Limit(0.5, "ratio", "share of changed pages that sessions may write themselves"),
    "memory_overcommit": Limit(1.5, "ratio", "what sessions may take at worst, in multiples of the server's memory"),
    "growth_bytes_per_day": Limit(1024**3, "bytes/day", "a table that grows less is no finding"),
    "doubles_in_days": Limit(180, "days", "a table that takes longer to double is no finding", "higher"),
    "large_database_bytes": Limit(10 * 1024**3, "bytes", "of a smaller database no table is too large a part"),
    "one_table_share": Limit(0.5, "ratio", "share of all tables from which on one of them is most of the database"),
    "vacuums_per_day": Limit(480, "vacuums/day", "how often a large table may be vacuumed a day"),
    "vacuumed_bytes": Limit(1024**3, "bytes", "a smaller table may be vacuumed as often as it likes"),
    "busy_workload": Limit(0.5, "cores", "what kind of work a server does that is less busy is no finding"),
    "one_sided_share": Limit(
        0.9, "ratio", "share of the time of all statements that makes a workload one of reads or writes"
    ),
    "log_bytes_per_day": Limit(5 * 1024**3, "bytes/day", "log a day that is no finding"),
    "log_events_per_day": Limit(10, "entries/day", "entries of one kind in a server's log that are no finding"),
    "unique_violations_per_day": Limit(
        1_000, "entries/day", "clashes of unique keys in a server's log that are no finding"
    ),
    "pooler_wait_s": Limit(1, "s", "a client that waits longer for the pooler is reported"),
    "pooler_mean_wait_ms": Limit(10, "ms", "mean wait for the pooler's connections from which on it is a finding"),
    "vacuum_passes": Limit(
        4, "passes", "how often one vacuum may go through all indexes of a table before it is medium"
    ),
    "wal_files_bytes": Limit(2 * 1024**3, "bytes", "a smaller pg_wal is no finding, whatever was asked for"),
    "wal_files_factor": Limit(2, "ratio", "how many times max_wal_size, and what is kept by settings, pg_wal may take"),
    "proven_gain": Limit(
        0.10,
        "ratio",
        "share of a statement's cost that a fix has to save by both counts to be proven: below, run times differ either way",
        "higher",
    ),
    "visited_rows": Limit(
        20,
        "rows",
        "rows lying side by side that one row at a random place of a table is worth with every page in memory: measured "
        "3.8 us against 0.2 us where shared_buffers hold a third of the pages and the system the others",
        "higher",
    ),
    "extensions": Limit(20, "extensions", "a database with more of them is hard to upgrade"),
}
