SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    pg_catalog.pg_read_binary_file(pg_catalog.pg_relation_filepath(c.oid), 0, 8192, true) AS block
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE c.relkind = 'i' AND m.amname = 'gin' AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
