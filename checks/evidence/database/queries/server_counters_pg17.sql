SELECT x.*
FROM (SELECT NULL::bigint AS num_done) AS before_18, LATERAL (
    SELECT
        w.wal_records,
        w.wal_fpi AS full_page_images,
        w.wal_bytes::bigint AS wal_bytes,
        w.wal_buffers_full,
        w.stats_reset AS wal_since,
        k.num_timed AS timed,
        k.num_requested AS requested,
        num_done AS done,
        k.write_time AS write_ms,
        k.sync_time AS sync_ms,
        k.buffers_written,
        b.buffers_clean AS buffers_cleaned,
        b.maxwritten_clean AS cleaning_stopped,
        b.buffers_alloc AS buffers_allocated,
        NULL::bigint AS written_by_backends,
        k.stats_reset AS checkpoints_since,
        (
            SELECT pg_catalog.to_jsonb(c) - '{datid,datname}'::text[]
            FROM pg_catalog.pg_stat_database_conflicts AS c WHERE c.datname = pg_catalog.current_database()
        ) AS conflicts
    FROM pg_catalog.pg_stat_wal AS w, pg_catalog.pg_stat_checkpointer AS k, pg_catalog.pg_stat_bgwriter AS b
) AS x
