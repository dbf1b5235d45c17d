SELECT x.*
FROM (SELECT 0 AS relallfrozen) AS before_18, LATERAL (
    SELECT
        n.nspname::text AS schema,
        c.relname::text AS name,
        c.relkind::text AS kind,
        {pages} AS pages,
        c.relpages AS relpages,
        c.reltuples::float8 AS reltuples,
        c.relallvisible AS all_visible,
        relallfrozen AS all_frozen,
        CASE WHEN c.relkind IN ('i', 'I') THEN m.amname::text ELSE '' END AS method,
        tn.nspname::text AS table_schema,
        t.relname::text AS table_name,
        c.relkind NOT IN ('r', 'p', 'm', 'f', 'v', 'S') OR (
            pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
        ) AS readable,
        c.relkind NOT IN ('r', 'p', 'm', 'f', 'v', 'S') OR pg_catalog.has_table_privilege(c.oid, 'SELECT') AS lockable,
        c.relrowsecurity AND pg_catalog.row_security_active(c.oid) AS row_security
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
    LEFT JOIN (SELECT oid, relname, relnamespace FROM pg_catalog.pg_class) AS t ON t.oid = i.indrelid
    LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S', 'i', 'I') AND c.relpersistence <> 't'
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS x
ORDER BY 1, 2
