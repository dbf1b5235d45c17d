"""SQL that a shadow's superuser runs in the shadow. It only reads and writes catalogs, and names everything with its schema."""

from __future__ import annotations

RELATION_FILES = """
    SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, coalesce(m.amname, '')::text AS method,
        pg_catalog.pg_relation_filepath(c.oid) AS path,
        (
            SELECT pg_catalog.sum(
                CASE WHEN a.attlen > 0 THEN a.attlen
                ELSE coalesce((
                    SELECT pg_catalog.max(s.stawidth) FROM pg_catalog.pg_statistic AS s
                    WHERE (s.starelid = i.indrelid AND s.staattnum = (i.indkey::int2[])[a.attnum - 1])
                        OR (s.starelid = c.oid AND s.staattnum = a.attnum)
                ), 16) END
            )
            FROM pg_catalog.pg_attribute AS a
            WHERE i.indexrelid IS NOT NULL AND a.attrelid = c.oid AND a.attnum BETWEEN 1 AND i.indnkeyatts
        )::int AS key_width
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
    WHERE c.relkind IN ('r', 'm', 'i', 'p', 'I', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""

RANGE_COLUMNS = """
    SELECT n.nspname::text, c.relname::text, a.attname::text
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid AND t.typtype IN ('r', 'm')
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""

HEAPS_BELOW = """
    WITH RECURSIVE below (oid) AS (
        SELECT c.oid
        FROM unnest(%s::text[], %s::text[]) AS v (schema, name)
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.name
        UNION
        SELECT i.inhrelid FROM below AS b JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid
    )
    SELECT n.nspname::text, c.relname::text, pg_catalog.pg_relation_filepath(c.oid)
    FROM below AS b
    JOIN pg_catalog.pg_class AS c ON c.oid = b.oid AND c.relkind IN ('r', 'm')
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
"""

# Every index with itself and those of partitions below it.
INDEXES_BELOW = """
    WITH RECURSIVE below (root, oid) AS (
        SELECT i.indexrelid, i.indexrelid FROM pg_catalog.pg_index AS i WHERE i.indexrelid >= 16384
        UNION ALL
        SELECT b.root, h.inhrelid FROM below AS b JOIN pg_catalog.pg_inherits AS h ON h.inhparent = b.oid
    )
    SELECT r.relname::text, rn.nspname::text, n.nspname::text, c.relname::text, tn.nspname::text, t.relname::text
    FROM below AS b
    JOIN pg_catalog.pg_class AS r ON r.oid = b.root
    JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
    JOIN pg_catalog.pg_class AS c ON c.oid = b.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
"""

INDEX_DETAILS = """
    SELECT n.nspname::text, c.relname::text, tn.nspname::text, t.relname::text, m.amname::text, c.reloptions::text[],
        (
            SELECT pg_catalog.array_agg(
                ARRAY[a.attlen, CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END] ORDER BY a.attnum
            )
            FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0
        ),
        ARRAY(
            SELECT '(' || pg_catalog.pg_get_indexdef(c.oid, g, false) || ')'
            FROM pg_catalog.generate_series(1, i.indnatts) AS g ORDER BY g
        ),
        pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_relation_filepath(c.oid), c.relkind::text,
        EXISTS (
            SELECT FROM pg_catalog.pg_index AS u
            WHERE u.indrelid = i.indrelid AND u.indisunique AND u.indpred IS NULL AND u.indexprs IS NULL
                AND (i.indkey::int2[])[:i.indnkeyatts - 1] @> (u.indkey::int2[])[:u.indnkeyatts - 1]
        ),
        EXISTS (
            SELECT FROM pg_catalog.pg_statistic_ext AS s
            WHERE s.stxrelid = i.indrelid AND 'd' = ANY (s.stxkind)
                AND pg_catalog.cardinality(ARRAY(
                    SELECT pg_catalog.unnest(s.stxkeys::int2[])
                    INTERSECT SELECT pg_catalog.unnest((i.indkey::int2[])[:i.indnkeyatts - 1])
                )) > 1
        ),
        ARRAY(
            SELECT pg_catalog.jsonb_build_object(
                'schema', pn.nspname, 'table', p.relname,
                'keys', ARRAY(
                    SELECT pg_catalog.array_position(i.indkey::int2[], k) + 1 FROM pg_catalog.unnest(f.conkey) AS k
                )
            )
            FROM pg_catalog.pg_constraint AS f
            JOIN pg_catalog.pg_class AS p ON p.oid = f.confrelid
            JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
            WHERE f.conrelid = i.indrelid AND f.contype = 'f' AND pg_catalog.cardinality(f.conkey) > 1
                AND (i.indkey::int2[])[:i.indnkeyatts - 1] @> f.conkey
        ),
        i.indnkeyatts::int
    FROM unnest(%s::text[], %s::text[]) AS v (schema, name)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.name
    JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
    JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
"""

# How well each index's first key follows the order of its table, from what ANALYZE found for the column.
INDEX_CORRELATIONS = """
    SELECT n.nspname::text, c.relname::text, m.amname::text,
        (
            SELECT CASE 3
                WHEN s.stakind1 THEN s.stanumbers1[1] WHEN s.stakind2 THEN s.stanumbers2[1]
                WHEN s.stakind3 THEN s.stanumbers3[1] WHEN s.stakind4 THEN s.stanumbers4[1]
                WHEN s.stakind5 THEN s.stanumbers5[1] END
            FROM pg_catalog.pg_statistic AS s
            WHERE s.starelid = i.indrelid AND s.staattnum = (i.indkey::int2[])[0] AND NOT s.stainherit
        )
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""

EXTENDED_STATISTICS = """
    SELECT s.oid, tn.nspname::text, t.relname::text, columns.names, columns.types
    FROM pg_catalog.pg_statistic_ext AS s
    JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
    JOIN pg_catalog.pg_class AS t ON t.oid = s.stxrelid
    JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace,
    LATERAL (
        SELECT pg_catalog.jsonb_object_agg(a.attnum, a.attname) AS names,
            pg_catalog.jsonb_agg(
                pg_catalog.jsonb_build_array(y.oid::bigint, y.typlen, y.typbyval) ORDER BY a.attnum
            ) AS types
        FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
        WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])
    ) AS columns
    WHERE n.nspname = %s AND s.stxname = %s
"""

EXTENSIONS_ON_PATH = """
    SELECT pg_catalog.set_config(
        'search_path',
        coalesce(pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(n.nspname::text), ', '), 'pg_catalog'), false
    )
    FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
"""
