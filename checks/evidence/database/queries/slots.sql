SELECT x.*
FROM (
    SELECT
        NULL::timestamptz AS inactive_since, NULL::text AS invalidation_reason,
        false AS conflicting, false AS synced, false AS failover
) AS before_17, LATERAL (
    SELECT
        s.slot_name::text AS name,
        s.slot_type AS kind,
        s.active,
        s.temporary,
        s.wal_status,
        pg_catalog.pg_wal_lsn_diff(
            CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()
                ELSE pg_catalog.pg_current_wal_lsn() END,
            s.restart_lsn
        )::bigint AS retained_bytes,
        s.plugin::text AS plugin,
        s.database::text AS database,
        inactive_since,
        invalidation_reason,
        coalesce(conflicting, false) AS conflicting,
        coalesce(synced, false) AS synced,
        coalesce(failover, false) AS failover,
        pg_catalog.age(s.xmin) AS xmin_age,
        pg_catalog.age(s.catalog_xmin) AS catalog_xmin_age
    FROM pg_catalog.pg_replication_slots AS s
) AS x
ORDER BY x.name
