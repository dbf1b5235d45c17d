SELECT x.*
FROM (SELECT NULL::timestamptz AS last_seq_scan, NULL::timestamptz AS last_idx_scan) AS before_16, LATERAL (
    SELECT
        s.relid::bigint AS table_oid,
        coalesce(s.seq_scan, 0) AS sequential_scans,
        coalesce(s.seq_tup_read, 0) AS sequential_tuples,
        coalesce(s.idx_scan, 0)::bigint AS index_scans,
        coalesce(s.n_tup_ins, 0) AS inserted,
        coalesce(s.n_tup_upd, 0) AS updated,
        coalesce(s.n_tup_del, 0) AS deleted,
        coalesce(s.n_tup_hot_upd, 0) AS hot_updated,
        coalesce(s.n_live_tup, 0) AS live_tuples,
        coalesce(s.n_dead_tup, 0) AS dead_tuples,
        coalesce(s.n_mod_since_analyze, 0) AS modified_since_analyze,
        greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
        greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze,
        last_seq_scan AS last_sequential_scan,
        last_idx_scan AS last_index_scan,
        CASE WHEN c.relfrozenxid <> '0'::pg_catalog.xid THEN greatest(
            pg_catalog.age(c.relfrozenxid),
            CASE WHEN t.relfrozenxid <> '0'::pg_catalog.xid THEN pg_catalog.age(t.relfrozenxid) END
        ) END AS xid_age,
        coalesce(pg_catalog.pg_stat_get_live_tuples(c.reltoastrelid), 0) AS toast_live_tuples,
        coalesce(pg_catalog.pg_stat_get_dead_tuples(c.reltoastrelid), 0) AS toast_dead_tuples,
        coalesce(s.vacuum_count, 0) + coalesce(s.autovacuum_count, 0) AS vacuums
    FROM pg_catalog.pg_stat_user_tables AS s
    JOIN pg_catalog.pg_class AS c ON c.oid = s.relid
    LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
    WHERE s.schemaname !~ '^pg_'
) AS x
