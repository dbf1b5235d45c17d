WITH RECURSIVE base (oid, name, category, modifier) AS (
    SELECT t.oid, t.typname, t.typcategory, -1 FROM pg_catalog.pg_type AS t WHERE t.typtype <> 'd'
    UNION ALL
    SELECT t.oid, b.name, b.category, CASE WHEN t.typtypmod <> -1 THEN t.typtypmod ELSE b.modifier END
    FROM base AS b JOIN pg_catalog.pg_type AS t ON t.typbasetype = b.oid AND t.typtype = 'd'
),
feeding (oid, sequence) AS (
    SELECT d.objid, pg_catalog.min(s.oid::bigint)
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    GROUP BY d.objid
)
SELECT
    a.attrelid::bigint AS table_oid,
    a.attnum AS number,
    a.attname::text AS name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    b.name::text AS base_type,
    CASE WHEN a.atttypmod <> -1 THEN a.atttypmod ELSE b.modifier END AS type_modifier,
    a.attnotnull AS not_null,
    pg_catalog.pg_get_expr(f.adbin, f.adrelid) AS default_text,
    feeding.sequence AS default_sequence,
    a.attidentity::text AS identity,
    a.attgenerated::text AS generated,
    CASE WHEN a.attcollation <> 'pg_catalog."default"'::regcollation THEN l.collname::text END AS collation,
    a.attstorage::text AS storage,
    b.category::text AS type_category
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN base AS b ON b.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN feeding ON feeding.oid = f.oid
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
WHERE a.attnum > 0 AND NOT a.attisdropped
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
