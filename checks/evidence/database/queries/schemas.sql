SELECT n.oid::bigint AS oid, n.nspname::text AS name, coalesce(o.rolname::text, '') AS owner, e.extname::text AS extension
FROM pg_catalog.pg_namespace AS n
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass
LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 2
