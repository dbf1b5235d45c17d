SELECT p.command, p.database, p.table_oid::bigint AS table_oid, p.phase, p.done, p.total
FROM (
    SELECT 'VACUUM' AS command, v.datname::text AS database, v.relid AS table_oid, v.phase, v.heap_blks_scanned AS done,
        v.heap_blks_total AS total
    FROM pg_catalog.pg_stat_progress_vacuum AS v
    UNION ALL
    SELECT 'ANALYZE', a.datname::text, a.relid, a.phase, a.sample_blks_scanned, a.sample_blks_total
    FROM pg_catalog.pg_stat_progress_analyze AS a
    UNION ALL
    SELECT i.command, i.datname::text, i.relid, i.phase, i.blocks_done, i.blocks_total
    FROM pg_catalog.pg_stat_progress_create_index AS i
    UNION ALL
    SELECT c.command, c.datname::text, c.relid, c.phase, c.heap_blks_scanned, c.heap_blks_total
    FROM pg_catalog.pg_stat_progress_cluster AS c
    UNION ALL
    SELECT 'COPY', c.datname::text, c.relid, NULL, c.bytes_processed, nullif(c.bytes_total, 0)
    FROM pg_catalog.pg_stat_progress_copy AS c
    UNION ALL
    SELECT 'BASE_BACKUP', NULL, NULL, b.phase, b.backup_streamed, b.backup_total
    FROM pg_catalog.pg_stat_progress_basebackup AS b
) AS p
WHERE p.command IS NOT NULL
ORDER BY 1, 2, 3
LIMIT 200
