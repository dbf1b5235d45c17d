SELECT
    p.polrelid::bigint AS table_oid,
    p.polname::text AS name,
    p.polcmd::text AS command,
    p.polpermissive AS permissive,
    ARRAY(
        SELECT coalesce(r.rolname::text, '')
        FROM pg_catalog.unnest(p.polroles) AS u (id) LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = u.id
        ORDER BY 1
    ) AS roles,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using_text,
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS check_text,
    p.polqual::text AS using_tree,
    p.polwithcheck::text AS check_tree,
    (
        SELECT pg_catalog.jsonb_object_agg(
            f.oid::text, CASE WHEN n.nspname = 'pg_catalog' THEN f.proname::text ELSE n.nspname || '.' || f.proname END
        )
        FROM pg_catalog.regexp_matches(
            pg_catalog.concat(p.polqual::text, p.polwithcheck::text), ':funcid ([0-9]+)', 'g'
        ) AS m (found)
        JOIN pg_catalog.pg_proc AS f ON f.oid = m.found[1]::oid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
        WHERE f.provolatile <> 'i'
    ) AS functions
FROM pg_catalog.pg_policy AS p
