SELECT c.relname AS name,
    coalesce(pg_catalog.bool_or(u.usable AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')), true) AS selectable,
    coalesce(pg_catalog.bool_or(u.usable AND pg_catalog.has_any_column_privilege(c.oid, 'INSERT')), true) AS insertable,
    coalesce(pg_catalog.bool_or(u.usable AND pg_catalog.has_any_column_privilege(c.oid, 'UPDATE')), true) AS updatable,
    coalesce(pg_catalog.bool_or(u.usable AND pg_catalog.has_table_privilege(c.oid, 'DELETE')), true) AS deletable
FROM pg_catalog.pg_class AS c
CROSS JOIN LATERAL (SELECT pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AS usable) AS u
WHERE c.relname = ANY (%(names)s::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
GROUP BY c.relname
