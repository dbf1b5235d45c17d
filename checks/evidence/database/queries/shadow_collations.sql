SELECT DISTINCT c.collname::text AS name, c.collprovider::text AS provider
FROM pg_catalog.pg_collation AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
WHERE n.nspname = 'pg_catalog' AND c.collprovider <> 'd' AND c.collname NOT IN ('C', 'POSIX')
    AND (
        EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid >= 16384 AND a.attcollation = c.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid >= 16384 AND t.typcollation = c.oid)
        OR EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid >= 16384 AND c.oid = ANY (i.indcollation::oid[]))
    )
