SELECT
    n.nspname::text AS schema,
    p.proname::text AS name,
    pg_catalog.pg_get_function_identity_arguments(p.oid) AS arguments,
    pg_catalog.pg_get_function_arguments(p.oid) AS defaults,
    l.lanname::text AS language,
    CASE
        WHEN p.prosqlbody IS NOT NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid)
        WHEN pg_catalog.octet_length(p.prosrc) <= 60000 THEN p.prosrc
    END AS body
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND l.lanname IN ('sql', 'plpgsql') AND p.prokind IN ('f', 'p')
    AND (p.prosqlbody IS NOT NULL OR p.prosrc ~ '<->|<#>|<=>|<[+]>|<~>|<%>|_distance|inner_product|->|@>')
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY 1, 2, 3
LIMIT 500
