SELECT
    p.pubname::text AS name,
    coalesce(o.rolname::text, '') AS owner,
    p.puballtables AS all_tables,
    p.pubinsert AS inserts,
    p.pubupdate AS updates,
    p.pubdelete AS deletes,
    p.pubtruncate AS truncates,
    p.pubviaroot AS via_root,
    CASE WHEN NOT p.puballtables THEN ARRAY(
        SELECT DISTINCT g.relid::bigint FROM pg_catalog.pg_get_publication_tables(p.pubname) AS g
    ) END AS published,
    t.tables,
    ARRAY(
        SELECT n.nspname::text
        FROM pg_catalog.pg_publication_namespace AS s JOIN pg_catalog.pg_namespace AS n ON n.oid = s.pnnspid
        WHERE s.pnpubid = p.oid
        ORDER BY 1
    ) AS schemas,
    t.filtered AS filtered,
    t.column_lists AS column_lists
FROM pg_catalog.pg_publication AS p
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = p.pubowner
LEFT JOIN (
    SELECT
        r.prpubid AS id,
        pg_catalog.array_agg(r.prrelid::bigint ORDER BY r.prrelid) AS tables,
        pg_catalog.array_agg(r.prrelid::bigint ORDER BY r.prrelid) FILTER (WHERE r.prqual IS NOT NULL) AS filtered,
        pg_catalog.array_agg(r.prrelid::bigint ORDER BY r.prrelid) FILTER (WHERE r.prattrs IS NOT NULL) AS column_lists
    FROM pg_catalog.pg_publication_rel AS r
    GROUP BY r.prpubid
) AS t ON t.id = p.oid
ORDER BY 1
