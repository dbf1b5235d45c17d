WITH own_constraint (index_oid, oid) AS (
    SELECT k.conindid, pg_catalog.min(k.oid::bigint) FROM pg_catalog.pg_constraint AS k
    WHERE k.contype IN ('p', 'u', 'x') GROUP BY k.conindid
),
building (oid) AS (
    SELECT DISTINCT p.index_relid FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid <> 0
)
SELECT x.*
FROM (SELECT false AS indnullsnotdistinct) AS before_15, LATERAL (
    SELECT
        i.indexrelid::bigint AS oid,
        i.indrelid::bigint AS table_oid,
        n.nspname::text AS schema,
        c.relname::text AS name,
        m.amname::text AS method,
        i.indnkeyatts AS key_count,
        i.indkey::int2[]::int[] AS columns,
        i.indclass::oid[]::bigint[] AS operator_classes,
        i.indcollation::oid[]::bigint[] AS collations,
        i.indoption::int2[]::int[] AS key_options,
        i.indisunique AS is_unique,
        indnullsnotdistinct AS nulls_not_distinct,
        i.indisprimary AS is_primary,
        i.indisexclusion AS is_exclusion,
        i.indisreplident AS is_replica_identity,
        i.indisvalid AS valid,
        i.indisready AS ready,
        building.oid IS NOT NULL AS being_built,
        CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(
            SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, false)
            FROM pg_catalog.generate_series(1, i.indnkeyatts) AS g
        ) END AS key_texts,
        i.indexprs::text AS expression_tree,
        pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
        c.reloptions::text[] AS options,
        c.relkind::text AS kind,
        c.relpages AS pages,
        pg_catalog.current_setting('block_size')::int AS block_bytes,
        c.reltuples::float8 AS rows,
        h.inhparent::bigint AS parent,
        own_constraint.oid AS constraint_oid,
        e.extname::text AS extension
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    LEFT JOIN own_constraint ON own_constraint.index_oid = i.indexrelid
    LEFT JOIN building ON building.oid = i.indexrelid
    LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = i.indexrelid
    LEFT JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indrelid AND d.objsubid = 0 AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass
    LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS x
