SELECT DISTINCT
    n.nspname::text AS schema,
    t.relname::text AS table_name,
    a.attname::text AS column_name
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_opclass AS o ON o.oid = (i.indclass::oid[])[0] AND o.opcdefault AND o.oid < 16384
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't'
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = (i.indkey::int2[])[0]
JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid AND (y.oid < 16384 OR y.typtype = 'e')
WHERE i.indisvalid AND i.indisready AND i.indpred IS NULL AND c.relpages > 1
    AND (i.indcollation::oid[])[0] = a.attcollation
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND pg_catalog.has_column_privilege(t.oid, a.attnum, 'SELECT')
    AND NOT (t.relrowsecurity AND pg_catalog.row_security_active(t.oid))
ORDER BY 1, 2, 3
