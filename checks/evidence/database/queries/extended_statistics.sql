SELECT
    s.oid::bigint AS oid,
    s.stxrelid::bigint AS table_oid,
    n.nspname::text AS schema,
    s.stxname::text AS name,
    s.stxkind::text[] AS kinds,
    s.stxkeys::int2[] AS columns,
    pg_catalog.pg_get_statisticsobjdef_expressions(s.oid) AS expressions,
    nullif(s.stxstattarget, -1)::int AS target
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
