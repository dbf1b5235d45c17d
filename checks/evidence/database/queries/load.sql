SELECT
    pg_catalog.count(*) FILTER (WHERE a.state = 'active') AS active,
    pg_catalog.count(*) FILTER (
        WHERE a.wait_event_type = 'Lock' AND a.query_start < pg_catalog.clock_timestamp() - interval '1 second'
    ) AS waiting,
    pg_catalog.count(*) FILTER (WHERE a.state IS NULL) AS hidden
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid()
    AND (a.backend_type = 'client backend' OR a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL)
    AND coalesce(a.application_name, '') <> 'pgsurveyor'
