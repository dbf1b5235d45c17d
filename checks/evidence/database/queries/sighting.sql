WITH clients AS MATERIALIZED (
    SELECT a.state, a.wait_event_type, a.wait_event
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.pid <> pg_catalog.pg_backend_pid()
        AND (a.backend_type = 'client backend' OR a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL)
)
SELECT
    pg_catalog.count(*) AS connections,
    pg_catalog.count(*) FILTER (WHERE c.state = 'active') AS active,
    pg_catalog.count(*) FILTER (WHERE c.state LIKE 'idle in transaction%') AS idle_in_transaction,
    pg_catalog.count(*) FILTER (WHERE c.wait_event_type = 'Lock') AS blocked,
    pg_catalog.count(*) FILTER (WHERE c.state IS NULL) AS hidden,
    (
        SELECT pg_catalog.max(greatest(0, pg_catalog.pg_wal_lsn_diff(
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
                ELSE pg_catalog.pg_current_wal_lsn() END,
            r.replay_lsn
        )))::bigint
        FROM pg_catalog.pg_stat_replication AS r
    ) AS lag_bytes,
    (
        SELECT pg_catalog.jsonb_object_agg(w.name, w.sessions)
        FROM (
            SELECT coalesce(x.wait_event_type || ':' || x.wait_event, '') AS name, pg_catalog.count(*) AS sessions
            FROM clients AS x WHERE x.state = 'active' GROUP BY 1
        ) AS w
    ) AS waits
FROM clients AS c
