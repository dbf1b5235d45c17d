SELECT
    e.statistics_schemaname::text AS schema,
    e.statistics_name::text AS name,
    {inherited} AS inherited,
    (
        SELECT pg_catalog.json_object_agg(a.attnum, a.attname)
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])
    ) AS columns,
    e.n_distinct::bytea AS ndistinct,
    e.dependencies::bytea AS dependencies,
    e.most_common_vals IS NOT NULL AS has_mcv,
    'e' = ANY (s.stxkind::text[]) AS has_expressions,
    e.schemaname::text AS table_schema,
    e.tablename::text AS table_name
FROM pg_catalog.pg_stats_ext AS e
JOIN pg_catalog.pg_namespace AS n ON n.nspname = e.statistics_schemaname
JOIN pg_catalog.pg_statistic_ext AS s ON s.stxnamespace = n.oid AND s.stxname = e.statistics_name
