SELECT
    l.collname::text AS name,
    l.collprovider::text AS provider,
    l.collversion::text AS recorded,
    pg_catalog.pg_collation_actual_version(l.oid)::text AS actual,
    false AS is_default
FROM pg_catalog.pg_collation AS l
WHERE l.collname <> 'default' AND l.collversion IS NOT NULL
    AND l.oid IN (
        SELECT pg_catalog.unnest(i.indcollation::oid[]) FROM pg_catalog.pg_index AS i WHERE i.indrelid >= 16384
    )
UNION ALL
SELECT
    d.datcollate::text,
    d.datlocprovider::text,
    d.datcollversion::text,
    pg_catalog.pg_database_collation_actual_version(d.oid)::text,
    true
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database() AND d.datcollversion IS NOT NULL
