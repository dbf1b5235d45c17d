SELECT
    r.pid IS NOT NULL AS running,
    r.status,
    pg_catalog.pg_wal_lsn_diff(
        pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()
    )::bigint AS replay_lag_bytes,
    extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS last_replay_s,
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused() END AS replay_paused
FROM (SELECT) AS one
LEFT JOIN pg_catalog.pg_stat_wal_receiver AS r ON true
