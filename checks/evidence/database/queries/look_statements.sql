SELECT s.queryid::text AS query_id, pg_catalog.sum(s.calls)::bigint AS calls, pg_catalog.sum(s.total_exec_time) AS total_ms
FROM {pg_stat_statements} AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.queryid IS NOT NULL AND s.query !~ '/[*] pgsurveyor [*]/'
    AND NOT (pg_catalog.pg_get_userbyid(s.userid) = current_user AND s.query IN ('BEGIN READ ONLY', 'COMMIT', 'ROLLBACK'))
GROUP BY s.queryid
