WITH waiting (pid, blockers) AS MATERIALIZED (
    SELECT w.pid, pg_catalog.pg_blocking_pids(w.pid)
    FROM pg_catalog.pg_stat_activity AS w WHERE w.wait_event_type = 'Lock'
    ORDER BY w.query_start LIMIT 50
)
SELECT
    coalesce(a.application_name, '') AS application_name,
    coalesce(a.usename::text, '') AS user_name,
    coalesce(a.datname::text, '') AS database,
    a.state,
    extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS transaction_age_s,
    extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8 AS state_age_s,
    a.wait_event_type,
    a.wait_event,
    coalesce(a.backend_type, 'client backend') AS backend_type,
    pg_catalog.age(a.backend_xmin) AS xmin_age,
    a.query = '<insufficient privilege>' AS hidden,
    coalesce(a.wait_event_type = 'Lock', false) AS blocked,
    (SELECT pg_catalog.count(*) FROM waiting AS w WHERE a.pid = ANY (w.blockers)) AS blocks,
    CASE WHEN a.client_addr IS NULL OR a.client_addr <<= '127.0.0.0/8' OR a.client_addr = '::1' THEN NULL ELSE s.ssl END
        AS encrypted
FROM pg_catalog.pg_stat_activity AS a
LEFT JOIN pg_catalog.pg_stat_ssl AS s ON s.pid = a.pid
WHERE a.pid <> pg_catalog.pg_backend_pid()
    AND (a.backend_type = 'client backend' OR a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL)
ORDER BY 2, 1, 5
