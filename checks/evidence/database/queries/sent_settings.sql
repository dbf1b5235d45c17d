SELECT
    s.query AS text,
    pg_catalog.sum(s.calls)::bigint AS calls
FROM {pg_stat_statements} AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.query ~* '^[[:space:]]*set[[:space:]]+((local|session)[[:space:]]+)?(hnsw|ivfflat)[.]'
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 200
