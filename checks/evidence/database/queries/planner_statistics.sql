SELECT
    s.schemaname::text AS schema,
    s.tablename::text AS table_name,
    s.attname::text AS column_name,
    s.inherited,
    s.null_frac::float8 AS null_share,
    s.avg_width AS average_width,
    s.n_distinct::float8 AS distinct_values,
    s.correlation::float8 AS correlation,
    s.most_common_freqs[1]::float8 AS common_share
FROM pg_catalog.pg_stats AS s
WHERE s.schemaname !~ '^pg_' AND s.schemaname <> 'information_schema'
