SELECT x.*
FROM (SELECT NULL::timestamptz AS last_idx_scan) AS before_16, LATERAL (
    SELECT
        s.indexrelid::bigint AS index_oid,
        coalesce(s.idx_scan, 0) AS scans,
        coalesce(s.idx_tup_read, 0) AS tuples_read,
        last_idx_scan AS last_scan,
        pg_catalog.pg_stat_get_blocks_hit(s.indexrelid) AS blocks_hit,
        pg_catalog.pg_stat_get_blocks_fetched(s.indexrelid)
            - pg_catalog.pg_stat_get_blocks_hit(s.indexrelid) AS blocks_read
    FROM pg_catalog.pg_stat_user_indexes AS s
    WHERE s.schemaname !~ '^pg_'
) AS x
