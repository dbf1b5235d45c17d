SELECT
    n.nspname::text AS schema,
    s.stxname::text AS name,
    coalesce({inherited}, false) AS inherited,
    (
        SELECT pg_catalog.json_object_agg(a.attnum, a.attname)
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])
    ) AS columns,
    e.n_distinct::bytea AS ndistinct,
    e.dependencies::bytea AS dependencies,
    e.statistics_name IS NOT NULL AS seen,
    e.most_common_vals IS NOT NULL AS has_mcv,
    'e' = ANY (s.stxkind::text[]) AS has_expressions,
    tn.nspname::text AS table_schema,
    t.relname::text AS table_name
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = s.stxrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_stats_ext AS e ON e.statistics_schemaname = n.nspname AND e.statistics_name = s.stxname
