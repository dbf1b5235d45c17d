WITH RECURSIVE partition (oid, root) AS (
    SELECT c.oid, c.oid FROM pg_catalog.pg_class AS c WHERE c.relkind = 'p' AND NOT c.relispartition
    UNION ALL
    SELECT i.inhrelid, p.root FROM partition AS p JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
),
parents (oid, parents) AS (
    SELECT i.inhrelid, pg_catalog.array_agg(i.inhparent::bigint ORDER BY i.inhseqno)
    FROM pg_catalog.pg_inherits AS i GROUP BY i.inhrelid
),
index_pages (oid, pages, known) AS (
    SELECT i.indrelid, pg_catalog.sum(c.relpages::bigint), pg_catalog.bool_and(c.reltuples >= 0 OR c.relpages > 0)
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relkind = 'i' GROUP BY i.indrelid
)
SELECT
    c.oid::bigint AS oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    c.relkind::text AS kind,
    o.rolname::text AS owner,
    c.relpersistence::text AS persistence,
    c.relispartition AS is_partition,
    parents.parents,
    partition.root::bigint AS root,
    c.reltuples::float8 AS rows,
    c.relpages AS pages,
    pg_catalog.current_setting('block_size')::int AS block_bytes,
    t.relpages AS toast_pages,
    coalesce(toast_index.pages, 0)::bigint AS toast_index_pages,
    coalesce(index_pages.pages, 0)::bigint AS index_pages,
    coalesce(index_pages.known, true) AS index_pages_known,
    c.reloptions::text[] AS options,
    c.relreplident::text AS replica_identity,
    c.relrowsecurity AS row_security,
    c.relforcerowsecurity AS row_security_forced,
    g.partstrat::text AS partition_strategy,
    nullif(g.partdefid, 0)::bigint AS default_partition,
    g.partattrs::int2[] AS partition_columns,
    pg_catalog.pg_get_expr(c.relpartbound, 0) AS bound,
    nullif(c.relfilenode, 0)::bigint AS filenode,
    e.extname::text AS extension,
    m.objoid IS NOT NULL AS has_comment
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
LEFT JOIN index_pages AS toast_index ON toast_index.oid = c.reltoastrelid
LEFT JOIN index_pages ON index_pages.oid = c.oid
LEFT JOIN parents ON parents.oid = c.oid
LEFT JOIN partition ON partition.oid = c.oid AND c.relispartition
LEFT JOIN pg_catalog.pg_partitioned_table AS g ON g.partrelid = c.oid
LEFT JOIN pg_catalog.pg_depend AS d
    ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass
LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
LEFT JOIN pg_catalog.pg_description AS m
    ON m.classoid = 'pg_catalog.pg_class'::regclass AND m.objoid = c.oid AND m.objsubid = 0
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 2, 3
