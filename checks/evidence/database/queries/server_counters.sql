SELECT
    w.wal_records,
    w.wal_fpi AS full_page_images,
    w.wal_bytes::bigint AS wal_bytes,
    w.wal_buffers_full,
    w.stats_reset AS wal_since,
    b.checkpoints_timed AS timed,
    b.checkpoints_req AS requested,
    NULL::bigint AS done,
    b.checkpoint_write_time AS write_ms,
    b.checkpoint_sync_time AS sync_ms,
    b.buffers_checkpoint AS buffers_written,
    b.buffers_clean AS buffers_cleaned,
    b.maxwritten_clean AS cleaning_stopped,
    b.buffers_alloc AS buffers_allocated,
    b.buffers_backend AS written_by_backends,
    b.stats_reset AS checkpoints_since,
    (
        SELECT pg_catalog.to_jsonb(c) - '{datid,datname}'::text[]
        FROM pg_catalog.pg_stat_database_conflicts AS c WHERE c.datname = pg_catalog.current_database()
    ) AS conflicts
FROM pg_catalog.pg_stat_wal AS w, pg_catalog.pg_stat_bgwriter AS b
