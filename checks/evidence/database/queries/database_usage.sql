SELECT pg_catalog.to_jsonb(s) - '{datid,datname}'::text[] AS counters
FROM pg_catalog.pg_stat_database AS s
WHERE s.datname = pg_catalog.current_database()
