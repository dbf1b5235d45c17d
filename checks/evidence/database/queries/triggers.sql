SELECT
    t.oid::bigint AS oid,
    t.tgrelid::bigint AS table_oid,
    t.tgname::text AS name,
    n.nspname::text AS function_schema,
    p.proname::text AS function_name,
    t.tgenabled::text AS enabled,
    t.tgtype::int AS type,
    nullif(t.tgparentid, 0)::bigint AS parent,
    e.extname::text AS extension
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass
LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
WHERE NOT t.tgisinternal OR t.tgparentid <> 0 AND t.tgconstraint = 0
