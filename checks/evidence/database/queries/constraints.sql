SELECT x.*
FROM (SELECT true AS conenforced) AS before_18, LATERAL (
    SELECT
        k.oid::bigint AS oid,
        k.conrelid::bigint AS table_oid,
        k.conname::text AS name,
        k.contype::text AS kind,
        k.conkey::int[] AS columns,
        nullif(k.confrelid, 0)::bigint AS referenced_table,
        k.confkey::int[] AS referenced_columns,
        k.convalidated AS validated,
        conenforced AS enforced,
        k.condeferrable AS deferrable,
        k.confdeltype::text AS on_delete,
        k.confupdtype::text AS on_update,
        k.confmatchtype::text AS match,
        nullif(k.conparentid, 0)::bigint AS parent,
        nullif(k.conindid, 0)::bigint AS index_oid
    FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE k.contype IN ('p', 'u', 'f', 'c', 'x')
        AND c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS x
