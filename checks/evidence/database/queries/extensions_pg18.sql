SELECT e.extname::text AS name, n.nspname::text AS schema, e.extversion AS version, a.default_version,
    (SELECT m.version FROM pg_catalog.pg_get_loaded_modules() AS m WHERE m.module_name = e.extname
        AND m.version <> pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) LIMIT 1) AS loaded_version
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_available_extensions() AS a ON a.name = e.extname
ORDER BY 1
