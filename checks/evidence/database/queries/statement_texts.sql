SELECT s.queryid::text AS query_id, pg_catalog.max(pg_catalog.left(s.query, 2000)) AS text
FROM {pg_stat_statements} AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.queryid::text = ANY (%(ids)s)
GROUP BY s.queryid
