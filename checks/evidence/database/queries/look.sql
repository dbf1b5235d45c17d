SELECT
    (SELECT d.xact_commit FROM pg_catalog.pg_stat_database AS d WHERE d.datname = pg_catalog.current_database()) AS commits,
    CASE WHEN NOT pg_catalog.pg_is_in_recovery()
        THEN pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint END AS next_transaction,
    pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END,
        '0/0'
    )::bigint AS wal_bytes
