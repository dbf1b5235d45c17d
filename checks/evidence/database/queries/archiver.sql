SELECT
    a.archived_count AS archived,
    a.failed_count AS failed,
    a.last_archived_time AS last_archived,
    a.last_failed_time AS last_failed,
    a.last_archived_wal,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) AS segment_bytes,
    CASE WHEN NOT pg_catalog.pg_is_in_recovery()
        THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint END AS written_bytes
FROM pg_catalog.pg_stat_archiver AS a
