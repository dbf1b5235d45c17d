WITH RECURSIVE used (oid) AS MATERIALIZED (
    SELECT DISTINCT a.atttypid FROM pg_catalog.pg_attribute AS a
    WHERE a.attnum > 0
),
-- Domains over domains, down to the type that holds the value.
typed (oid, held, modifier) AS (
    SELECT u.oid, u.oid, -1 FROM used AS u
    UNION ALL
    SELECT d.oid, t.typbasetype, CASE WHEN d.modifier <> -1 THEN d.modifier ELSE t.typtypmod END
    FROM typed AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.held AND t.typtype = 'd'
),
base (oid, name, category, modifier, labels) AS MATERIALIZED (
    SELECT d.oid, t.typname, t.typcategory, d.modifier, CASE WHEN t.typtype = 'e' THEN ARRAY(
        SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 200
    ) END
    FROM typed AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.held AND t.typtype <> 'd'
),
feeding (oid, sequence) AS (
    SELECT d.objid, pg_catalog.min(s.oid::bigint)
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjsubid = 0
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
    b.category::text AS type_category,
    CASE WHEN c.relkind IN ('r', 'p') THEN b.labels END AS labels
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN base AS b ON b.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
LEFT JOIN feeding ON feeding.oid = f.oid
LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
WHERE a.attnum > 0 AND NOT a.attisdropped
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
