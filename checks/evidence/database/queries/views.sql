SELECT
    c.oid::bigint AS table_oid,
    c.relispopulated AS populated,
    c.reloptions::text[] AS options,
    pg_catalog.array_agg(DISTINCT d.refobjid::bigint) FILTER (WHERE d.refobjid IS NOT NULL) AS depends_on
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> c.oid
WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
GROUP BY c.oid
