SELECT NULL::text AS system_identifier, pg_catalog.pg_database_size(pg_catalog.current_database()) AS size_bytes
