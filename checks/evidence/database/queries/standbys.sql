SELECT
    coalesce(r.application_name, '') AS application_name,
    r.state,
    r.sync_state,
    pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END,
        r.replay_lsn
    )::bigint AS replay_lag_bytes,
    extract(epoch FROM r.replay_lag)::float8 AS replay_lag_s,
    EXISTS (
        SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'
    ) AS logical
FROM pg_catalog.pg_stat_replication AS r
ORDER BY 1, 4
