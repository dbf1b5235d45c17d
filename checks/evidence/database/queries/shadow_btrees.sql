SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    t.relname::text AS table_name,
    tn.nspname::text AS table_schema,
    c.reltuples::float8 AS reltuples,
    (
        SELECT pg_catalog.json_agg(
            pg_catalog.json_build_array(a.attname, pg_catalog.format_type(a.atttypid, -1), a.attlen) ORDER BY k.place
        )
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE k.place <= i.indnkeyatts
    ) AS columns
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i' AND c.relpages > 2
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid AND t.relkind = 'r'
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND pg_catalog.has_table_privilege(t.oid, 'SELECT')
    AND NOT (t.relrowsecurity AND pg_catalog.row_security_active(t.oid))
ORDER BY 1, 2
