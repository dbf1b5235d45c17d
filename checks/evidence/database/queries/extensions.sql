SELECT e.extname::text AS name, n.nspname::text AS schema, e.extversion AS version, a.default_version,
    NULL::text AS loaded_version
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_available_extensions() AS a ON a.name = e.extname
ORDER BY 1
