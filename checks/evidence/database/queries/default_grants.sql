SELECT
    o.rolname::text AS owner,
    coalesce(n.nspname::text, '') AS schema,
    a.defaclobjtype::text AS kind,
    coalesce(r.rolname::text, '') AS grantee,
    pg_catalog.array_agg(
        x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END ORDER BY x.privilege_type
    ) AS privileges
FROM pg_catalog.pg_default_acl AS a
JOIN pg_catalog.pg_roles AS o ON o.oid = a.defaclrole
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = a.defaclnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(a.defaclacl) AS x
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = x.grantee
WHERE x.grantee <> a.defaclrole AND (x.grantee = 0 OR r.oid IS NOT NULL)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
