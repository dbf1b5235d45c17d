SELECT
    (s.most_common_vals::text::text[])[1:20] AS commons,
    s.most_common_freqs[1]::float8 AS common_share,
    s.histogram_bounds::text::text[] AS bounds
FROM pg_catalog.pg_stats AS s
WHERE s.schemaname = %(schema)s AND s.tablename = %(table)s AND s.attname = %(column)s
ORDER BY s.inherited
LIMIT 1
