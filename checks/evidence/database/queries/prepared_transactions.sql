SELECT
    p.gid AS name,
    p.database::text AS database,
    p.owner::text AS owner,
    extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8 AS age_s
FROM pg_catalog.pg_prepared_xacts AS p
ORDER BY 4 DESC
