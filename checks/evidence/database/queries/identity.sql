SELECT
    c.system_identifier::text AS system_identifier,
    pg_catalog.pg_database_size(pg_catalog.current_database()) AS size_bytes
FROM pg_catalog.pg_control_system() AS c
