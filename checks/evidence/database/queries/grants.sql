WITH object (kind, oid, owner, acl) AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END, c.oid, c.relowner, c.relacl
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'column', c.oid, c.relowner, a.attacl
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'function', p.oid, p.proowner, p.proacl
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.proacl IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'schema', n.oid, n.nspowner, n.nspacl
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspacl IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'database', d.oid, d.datdba, coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))
    FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
),
granted (kind, oid, grantee, privileges) AS (
    SELECT o.kind, o.oid, x.grantee,
        pg_catalog.string_agg(
            DISTINCT x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ','
            ORDER BY x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END
        )
    FROM object AS o, LATERAL pg_catalog.aclexplode(o.acl) AS x
    WHERE x.grantee <> o.owner
    GROUP BY o.kind, o.oid, x.grantee
)
SELECT
    g.kind,
    coalesce(r.rolname::text, '') AS grantee,
    g.privileges,
    pg_catalog.array_agg(g.oid::bigint ORDER BY g.oid) AS objects
FROM granted AS g
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee = 0 OR r.oid IS NOT NULL
GROUP BY g.kind, r.rolname, g.privileges
ORDER BY 1, 2, 3
