SELECT
    s.subname::text AS name,
    coalesce(o.rolname::text, '') AS owner,
    s.subenabled AS enabled,
    s.subpublications::text[] AS publications,
    s.subslotname::text AS slot_name,
    s.subsynccommit AS synchronous_commit,
    (
        SELECT pg_catalog.jsonb_object_agg(t.srsubstate, t.tables)
        FROM (
            SELECT r.srsubstate::text, pg_catalog.count(*) AS tables
            FROM pg_catalog.pg_subscription_rel AS r WHERE r.srsubid = s.oid GROUP BY 1
        ) AS t
    ) AS table_states,
    NULL::bigint AS apply_errors,
    NULL::bigint AS sync_errors,
    EXISTS (SELECT FROM pg_catalog.pg_stat_subscription AS w WHERE w.subid = s.oid AND w.pid IS NOT NULL) AS worker_running
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = s.subowner
WHERE d.datname = pg_catalog.current_database()
ORDER BY 1
