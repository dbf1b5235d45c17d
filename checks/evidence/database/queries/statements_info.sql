SELECT
    (
        SELECT pg_catalog.count(*)::int
        FROM {pg_stat_statements} AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
        WHERE d.datname = pg_catalog.current_database() AND (s.queryid IS NULL OR s.query = '<insufficient privilege>')
    ) AS hidden,
    i.dealloc AS evicted,
    i.stats_reset AS since
FROM {pg_stat_statements_info} AS i
