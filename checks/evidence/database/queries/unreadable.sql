SELECT c.oid::bigint AS oid
FROM pg_catalog.pg_class AS c
WHERE c.relkind IN ('r', 'p', 'm') AND NOT (
    coalesce(pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), false)
    AND coalesce(pg_catalog.has_any_column_privilege(c.oid, 'SELECT'), false)
    AND NOT pg_catalog.row_security_active(c.oid)
)
