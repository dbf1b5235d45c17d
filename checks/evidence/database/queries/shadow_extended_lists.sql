SELECT
    n.nspname::text AS schema,
    s.stxname::text AS name,
    {inherited} AS inherited,
    d.stxdmcv::bytea AS mcv
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_statistic_ext_data AS d ON d.stxoid = s.oid
WHERE d.stxdmcv IS NOT NULL AND s.stxexprs IS NULL
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[]) AND a.atttypid >= 16384
    )
