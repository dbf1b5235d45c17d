WITH RECURSIVE
known_extension_function (oid) AS (
    SELECT p.oid
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass
    JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE e.extname = ANY (%(extensions)s) AND (
        l.lanname IN ('c', 'internal')
        -- One expression of PostgreSQL's own IMMUTABLE functions, named as such, of parameters and constants, without an operator.
        OR l.lanname = 'sql' AND p.proconfig IS NULL AND p.prosqlbody IS NULL
            AND p.prosrc ~ $re$^\s*SELECT\s+(pg_catalog\.[a-z_0-9]+|\$[0-9]+|::|[][(),;[:space:]]|E?'([^'\\]|\\.|'')*')+$$re$
            AND NOT EXISTS (
                SELECT FROM pg_catalog.regexp_matches(p.prosrc, 'pg_catalog\.([a-z_0-9]+)', 'g') AS m (found)
                JOIN pg_catalog.pg_proc AS f ON f.proname = m.found[1]
                WHERE f.pronamespace = 'pg_catalog'::regnamespace AND f.provolatile <> 'i'
            )
        -- The same of a body that is stored parsed.
        OR l.lanname = 'sql' AND p.proconfig IS NULL
            AND p.prosqlbody::text !~ '[{](RTE|RANGETBLENTRY|COERCEVIAIO|COERCETODOMAIN|SQLVALUEFUNCTION|NEXTVALUEEXPR|MINMAX|ROWCOMPARE)'
            AND NOT EXISTS (
                SELECT FROM pg_catalog.regexp_matches(
                    p.prosqlbody::text, ':(funcid|opno|aggfnoid|winfnoid) ([0-9]+)', 'g'
                ) AS m (found)
                LEFT JOIN pg_catalog.pg_operator AS o ON m.found[1] = 'opno' AND o.oid = m.found[2]::oid
                LEFT JOIN pg_catalog.pg_proc AS f
                    ON f.oid = CASE WHEN m.found[1] = 'opno' THEN o.oprcode::oid ELSE m.found[2]::oid END
                WHERE m.found[2]::oid >= 16384 OR f.oid >= 16384 OR f.provolatile IS DISTINCT FROM 'i'
            )
    )
),
user_function (oid, name, takes_row) AS (
    SELECT p.oid, p.proname, p.pronargs > 0 AND t.typtype IN ('c', 'd', 'p')
    FROM pg_catalog.pg_proc AS p
    LEFT JOIN pg_catalog.pg_type AS t ON t.oid = p.proargtypes[0]
    WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM known_extension_function AS k WHERE k.oid = p.oid)
),
-- Functions of PostgreSQL itself that do more than compute, while they count as STABLE.
detour (pattern) AS (
    SELECT ':funcid (' || pg_catalog.string_agg(p.oid::text, '|') || ') '
    FROM pg_catalog.pg_proc AS p WHERE p.oid < 16384 AND p.proname = ANY (%(detours)s)
),
-- (class, id) is touched by (ref_class, ref_id): what runs for the second runs for the first.
touches (class, id, ref_class, ref_id) AS MATERIALIZED (
    SELECT d.classid, d.objid, d.refclassid, d.refobjid
    FROM pg_catalog.pg_depend AS d
    LEFT JOIN pg_catalog.pg_constraint AS k
        ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
    WHERE d.deptype IN ('n', 'a', 'i') AND d.refobjid >= 16384
        AND d.classid IN (
            'pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_constraint'::regclass,
            'pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_statistic_ext'::regclass,
            'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass, 'pg_catalog.pg_opclass'::regclass,
            'pg_catalog.pg_amproc'::regclass, 'pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_cast'::regclass
        )
        AND d.refclassid IN (
            'pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass,
            'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_opclass'::regclass
        )
        AND (k.oid IS NULL OR k.contype = 'c')
        AND NOT (
            d.classid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_type'::regclass)
            AND d.refclassid = 'pg_catalog.pg_class'::regclass
        )
        AND NOT (d.classid = 'pg_catalog.pg_amproc'::regclass AND d.refclassid = 'pg_catalog.pg_opclass'::regclass)
        AND NOT (d.classid = 'pg_catalog.pg_amop'::regclass AND d.refclassid = 'pg_catalog.pg_opclass'::regclass)
        AND NOT (d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass)
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, r.ev_class, 'pg_catalog.pg_rewrite'::regclass, r.oid
    FROM pg_catalog.pg_rewrite AS r WHERE r.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, p.polrelid, 'pg_catalog.pg_policy'::regclass, p.oid
    FROM pg_catalog.pg_policy AS p
    UNION ALL
    SELECT
        CASE WHEN k.conrelid <> 0 THEN 'pg_catalog.pg_class'::regclass ELSE 'pg_catalog.pg_type'::regclass END,
        CASE WHEN k.conrelid <> 0 THEN k.conrelid ELSE k.contypid END,
        'pg_catalog.pg_constraint'::regclass, k.oid
    FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'c' AND k.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, f.adrelid, 'pg_catalog.pg_attrdef'::regclass, f.oid FROM pg_catalog.pg_attrdef AS f
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, i.indrelid, 'pg_catalog.pg_class'::regclass, i.indexrelid
    FROM pg_catalog.pg_index AS i WHERE i.indexrelid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, s.stxrelid, 'pg_catalog.pg_statistic_ext'::regclass, s.oid
    FROM pg_catalog.pg_statistic_ext AS s
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, h.inhparent, 'pg_catalog.pg_class'::regclass, h.inhrelid
    FROM pg_catalog.pg_inherits AS h
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::regclass, o.oid, 'pg_catalog.pg_amproc'::regclass, a.oid
    FROM pg_catalog.pg_opclass AS o JOIN pg_catalog.pg_amproc AS a ON a.amprocfamily = o.opcfamily WHERE a.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::regclass, o.oid, 'pg_catalog.pg_amop'::regclass, a.oid
    FROM pg_catalog.pg_opclass AS o JOIN pg_catalog.pg_amop AS a ON a.amopfamily = o.opcfamily WHERE a.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_type'::regclass, o.opcintype, 'pg_catalog.pg_opclass'::regclass, o.oid
    FROM pg_catalog.pg_opclass AS o WHERE o.oid >= 16384 AND o.opcintype >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_type'::regclass, t.oid, 'pg_catalog.pg_cast'::regclass, c.oid
    FROM pg_catalog.pg_cast AS c JOIN pg_catalog.pg_type AS t ON t.oid IN (c.castsource, c.casttarget)
    WHERE c.oid >= 16384 AND t.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_type'::regclass, t.oid, 'pg_catalog.pg_operator'::regclass, o.oid
    FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_type AS t ON t.oid IN (o.oprleft, o.oprright)
    WHERE o.oid >= 16384 AND t.oid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_type'::regclass, c.reltype, 'pg_catalog.pg_type'::regclass, a.atttypid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.reltype >= 16384 AND a.atttypid >= 16384
    UNION ALL
    SELECT 'pg_catalog.pg_type'::regclass, r.rngtypid, 'pg_catalog.pg_type'::regclass, r.rngsubtype
    FROM pg_catalog.pg_range AS r WHERE r.rngtypid >= 16384 AND r.rngsubtype >= 16384
),
-- How a relation is touched: always, by its policies, or by the defaults of its columns.
touched (class, id, how) AS (
    SELECT 'pg_catalog.pg_proc'::regclass::oid, f.oid, 'always' FROM user_function AS f
    UNION
    SELECT 'pg_catalog.pg_class'::regclass::oid, c.oid, 'always' FROM pg_catalog.pg_class AS c WHERE c.relkind = 'f'
    UNION
    SELECT 'pg_catalog.pg_rewrite'::regclass::oid, r.oid, 'always'
    FROM pg_catalog.pg_rewrite AS r, detour WHERE r.oid >= 16384 AND r.ev_action::text ~ detour.pattern
    UNION
    SELECT 'pg_catalog.pg_policy'::regclass::oid, p.oid, 'always'
    FROM pg_catalog.pg_policy AS p, detour
    WHERE pg_catalog.concat(p.polqual::text, p.polwithcheck::text) ~ detour.pattern
    UNION
    SELECT
        t.class, t.id,
        CASE
            WHEN t.ref_class = 'pg_catalog.pg_policy'::regclass THEN 'policy'
            WHEN t.ref_class = 'pg_catalog.pg_attrdef'::regclass AND a.attgenerated = '' THEN 'default'
            WHEN t.class = 'pg_catalog.pg_rewrite'::regclass AND u.how = 'policy' THEN 'always'
            ELSE u.how
        END
    FROM touched AS u
    JOIN touches AS t ON t.ref_class = u.class AND t.ref_id = u.id
    LEFT JOIN pg_catalog.pg_attrdef AS f ON t.ref_class = 'pg_catalog.pg_attrdef'::regclass AND f.oid = t.ref_id
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
)
SELECT 'function' AS kind, f.name::text AS name, pg_catalog.bool_or(f.takes_row) AS everywhere, false AS defaults_only
FROM user_function AS f GROUP BY f.name
UNION ALL
SELECT 'operator', o.oprname::text,
    pg_catalog.bool_or(coalesce(o.oprleft, 0) < 16384 AND coalesce(o.oprright, 0) < 16384), false
FROM touched AS u
JOIN pg_catalog.pg_operator AS o ON u.class = 'pg_catalog.pg_operator'::regclass AND o.oid = u.id
GROUP BY o.oprname
UNION ALL
SELECT 'cast', pg_catalog.format_type(c.castsource, NULL) || ' as ' || pg_catalog.format_type(c.casttarget, NULL), true, false
FROM touched AS u
JOIN pg_catalog.pg_cast AS c ON u.class = 'pg_catalog.pg_cast'::regclass AND c.oid = u.id
WHERE c.castsource < 16384 AND c.casttarget < 16384
UNION ALL
SELECT DISTINCT 'type', t.typname::text, false, false
FROM touched AS u
JOIN pg_catalog.pg_type AS t ON u.class = 'pg_catalog.pg_type'::regclass AND t.oid = u.id
UNION ALL
SELECT 'relation', c.relname::text, false, pg_catalog.bool_and(u.how = 'default')
FROM touched AS u
JOIN pg_catalog.pg_class AS c ON u.class = 'pg_catalog.pg_class'::regclass AND c.oid = u.id
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (u.how <> 'policy' OR pg_catalog.row_security_active(c.oid))
GROUP BY c.oid, c.relname
