SELECT h.*
FROM (
    SELECT
        'session' AS kind,
        coalesce(nullif(a.application_name, ''), a.usename::text, a.backend_type) AS name,
        greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) AS xmin_age,
        extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age_s
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type IS DISTINCT FROM 'walsender'
    UNION ALL
    SELECT 'slot', s.slot_name::text, pg_catalog.age(s.xmin), NULL
    FROM pg_catalog.pg_replication_slots AS s
    UNION ALL
    SELECT 'catalog slot', s.slot_name::text, pg_catalog.age(s.catalog_xmin), NULL
    FROM pg_catalog.pg_replication_slots AS s
    UNION ALL
    SELECT 'prepared transaction', p.gid, pg_catalog.age(p.transaction),
        extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8
    FROM pg_catalog.pg_prepared_xacts AS p
    UNION ALL
    SELECT 'standby', coalesce(r.application_name, ''), pg_catalog.age(r.backend_xmin), NULL
    FROM pg_catalog.pg_stat_replication AS r
) AS h
WHERE h.xmin_age IS NOT NULL
ORDER BY h.xmin_age DESC, h.kind, h.name
LIMIT 20
