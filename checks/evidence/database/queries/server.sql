SELECT
    pg_catalog.current_database()::text AS database,
    pg_catalog.current_setting('server_version') AS version,
    pg_catalog.current_setting('server_version_num')::int AS version_num,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    CURRENT_USER::text AS user_name,
    r.rolsuper AS superuser,
    r.rolsuper OR pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS monitor,
    r.rolsuper OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE') AS reads_all_data,
    r.rolsuper OR pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AS reads_all_settings,
    r.rolsuper OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all_stats,
    pg_catalog.clock_timestamp() AS observed_at,
    pg_catalog.pg_postmaster_start_time() AS started_at,
    (SELECT s.stats_reset FROM pg_catalog.pg_stat_database AS s WHERE s.datid = d.oid) AS statistics_since,
    pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pg_catalog.pg_hba_file_rules()'), 'EXECUTE') AS reads_rules,
    pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pg_catalog.pg_ls_waldir()'), 'EXECUTE') AS lists_wal,
    pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pg_catalog.pg_ls_logdir()'), 'EXECUTE')
        AND pg_catalog.current_setting('logging_collector')::boolean AS lists_log,
    pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
    pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.current_setting('max_connections')::int AS max_connections,
    pg_catalog.current_setting('superuser_reserved_connections')::int
        + coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) AS reserved_connections,
    ARRAY(
        SELECT o.rolname::text FROM pg_catalog.pg_roles AS o
        WHERE o.rolname IN (
            'rds_superuser', 'rdsadmin', 'cloudsqlsuperuser', 'cloudsqladmin', 'alloydbsuperuser', 'alloydbadmin',
            'azure_pg_admin', 'azuresu', 'supabase_admin', 'neon_superuser', 'cloud_admin', 'crunchy_superuser', 'tsdbadmin'
        )
    ) AS telling_roles,
    ARRAY(
        SELECT DISTINCT pg_catalog.split_part(g.name, '.', 1) FROM pg_catalog.pg_settings AS g WHERE g.name ~ '[.]'
    ) AS setting_prefixes,
    ARRAY(
        SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc AS p
        WHERE p.proname IN ('aurora_version', 'alloydb_version')
    ) AS telling_functions
FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
WHERE r.rolname = CURRENT_USER AND d.datname = pg_catalog.current_database()
