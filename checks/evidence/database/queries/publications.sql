SELECT
    coalesce((SELECT pg_catalog.bool_or(p.puballtables) FROM pg_catalog.pg_publication AS p), false) AS all_tables,
    ARRAY(
        SELECT DISTINCT t.relid::bigint
        FROM pg_catalog.pg_publication AS p, LATERAL pg_catalog.pg_get_publication_tables(p.pubname) AS t
        WHERE NOT p.puballtables
        ORDER BY 1
    ) AS tables,
    ARRAY(
        SELECT s.subname::text
        FROM pg_catalog.pg_subscription AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
        WHERE d.datname = pg_catalog.current_database()
        ORDER BY 1
    ) AS subscriptions
