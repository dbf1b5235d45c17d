SELECT
    c.relname::text AS name,
    c.reltuples::float8 AS rows,
    c.relpages::bigint * pg_catalog.current_setting('block_size')::int AS heap_bytes,
    (c.relpages::bigint + coalesce(i.pages, 0)) * pg_catalog.current_setting('block_size')::int AS total_bytes,
    (SELECT pg_catalog.max(o.oid::bigint) FROM pg_catalog.pg_class AS o) AS highest_oid
FROM pg_catalog.pg_class AS c
LEFT JOIN (
    SELECT x.indrelid, pg_catalog.sum(k.relpages::bigint)::bigint AS pages
    FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
    GROUP BY x.indrelid
) AS i ON i.indrelid = c.oid
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND c.reltuples >= 0
ORDER BY c.relpages DESC, c.relname
LIMIT 10
