SELECT
    s.name::text AS name,
    s.setting::text AS value,
    s.source::text AS source
FROM pg_catalog.pg_settings AS s
WHERE s.name ~ '^(hnsw|ivfflat)[.]'
ORDER BY 1
