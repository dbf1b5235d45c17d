SELECT pg_catalog.left(s.query, 65536) AS text, pg_catalog.sum(s.calls)::bigint AS calls
FROM {pg_stat_statements} AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.calls > 0 AND s.query ~ '/[*] pgsurveyor [*]/'
    AND (s.query ~ '^EXPLAIN ' OR s.query ~ '^SELECT /[*] pgsurveyor [*]/ [(]SELECT e[.]')
GROUP BY s.query
ORDER BY calls DESC, text
LIMIT 5000
