SELECT x.*
FROM (
    SELECT NULL::text AS range_length_histogram, NULL::float4 AS range_empty_frac, NULL::text AS range_bounds_histogram
) AS before_17, LATERAL (
    SELECT
        s.schemaname::text AS schema,
        s.tablename::text AS relation,
        s.attname::text AS column,
        s.inherited,
        s.null_frac::float8 AS null_frac,
        s.avg_width,
        s.n_distinct::float8 AS n_distinct,
        s.most_common_vals::text AS most_common_vals,
        s.most_common_freqs::text AS most_common_freqs,
        s.histogram_bounds::text AS histogram_bounds,
        s.correlation::float8 AS correlation,
        s.most_common_elems::text AS most_common_elems,
        s.most_common_elem_freqs::text AS most_common_elem_freqs,
        s.elem_count_histogram::text AS elem_count_histogram,
        range_length_histogram::text AS range_length_histogram,
        range_empty_frac::float8 AS range_empty_frac,
        range_bounds_histogram::text AS range_bounds_histogram
    FROM pg_catalog.pg_stats AS s
    WHERE s.schemaname !~ '^pg_' AND s.schemaname <> 'information_schema'
) AS x
