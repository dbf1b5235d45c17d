SELECT DISTINCT a.attrelid::bigint AS table_oid, pg_catalog.quote_ident(a.attname) AS name, a.attnum AS number
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped
WHERE i.indpred IS NOT NULL
