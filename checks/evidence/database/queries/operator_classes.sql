SELECT 'operator class' AS kind, o.oid::bigint AS oid, o.opcname::text AS name, f.opfname::text AS family
FROM pg_catalog.pg_opclass AS o
JOIN pg_catalog.pg_opfamily AS f ON f.oid = o.opcfamily
UNION ALL
SELECT 'collation', l.oid::bigint, l.collname::text, ''
FROM pg_catalog.pg_collation AS l
WHERE l.collname <> 'default'
    AND l.oid IN (SELECT pg_catalog.unnest(i.indcollation::oid[]) FROM pg_catalog.pg_index AS i)
