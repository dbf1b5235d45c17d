SELECT
    s.seqrelid::bigint AS oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    pg_catalog.format_type(s.seqtypid, NULL) AS type,
    s.seqmin AS minimum,
    s.seqmax AS maximum,
    s.seqincrement AS increment,
    s.seqcycle AS cycle,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
        AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()) AS readable,
    w.refobjid::bigint AS owned_by_table,
    w.refobjsubid AS owned_by_column,
    e.extname::text AS extension
FROM pg_catalog.pg_sequence AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend AS w
    ON w.classid = 'pg_catalog.pg_class'::regclass AND w.objid = c.oid AND w.objsubid = 0 AND w.deptype IN ('a', 'i')
    AND w.refclassid = 'pg_catalog.pg_class'::regclass AND w.refobjsubid > 0
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass
LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 2, 3
