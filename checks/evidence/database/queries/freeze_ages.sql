(
    SELECT NULL::text AS schema, d.datname::text AS name,
        pg_catalog.age(d.datfrozenxid) AS xid_age, pg_catalog.mxid_age(d.datminmxid) AS multixact_age
    FROM pg_catalog.pg_database AS d
    ORDER BY 3 DESC, 2
)
UNION ALL
(
    SELECT n.nspname::text, c.relname::text, x.xid_age, x.multixact_age
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
    CROSS JOIN LATERAL (
        SELECT
            greatest(
                pg_catalog.age(c.relfrozenxid),
                CASE WHEN t.relfrozenxid <> '0'::pg_catalog.xid THEN pg_catalog.age(t.relfrozenxid) END
            ) AS xid_age,
            greatest(
                CASE WHEN c.relminmxid <> '0'::pg_catalog.xid THEN pg_catalog.mxid_age(c.relminmxid) ELSE 0 END,
                CASE WHEN t.relminmxid <> '0'::pg_catalog.xid THEN pg_catalog.mxid_age(t.relminmxid) ELSE 0 END
            ) AS multixact_age
    ) AS x
    WHERE c.relkind IN ('r', 'm') AND c.relfrozenxid <> '0'::pg_catalog.xid
    ORDER BY greatest(x.xid_age, x.multixact_age) DESC, 1, 2
    LIMIT 20
)
