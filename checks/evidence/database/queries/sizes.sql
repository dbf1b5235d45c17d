WITH unvacuumed AS (
    SELECT c.oid, c.reltoastrelid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
    WHERE c.relkind IN ('r', 'm') AND (c.reltuples < 0 OR t.reltuples < 0)
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY c.relpages DESC, c.oid
    LIMIT 1000
)
SELECT
    u.oid::bigint AS oid,
    pg_catalog.pg_relation_size(u.oid) AS bytes,
    CASE WHEN u.reltoastrelid <> 0 THEN pg_catalog.pg_total_relation_size(u.reltoastrelid) END AS toast_bytes,
    pg_catalog.pg_indexes_size(u.oid) AS index_bytes
FROM unvacuumed AS u
UNION ALL
SELECT i.indexrelid::bigint, pg_catalog.pg_relation_size(i.indexrelid), NULL, NULL
FROM unvacuumed AS u
JOIN pg_catalog.pg_index AS i ON i.indrelid = u.oid
