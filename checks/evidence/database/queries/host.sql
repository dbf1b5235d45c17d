SELECT
    {rules} AS rules,
    {wal} AS wal,
    {log} AS log,
    NULL::jsonb AS io,
    (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM pg_catalog.pg_stat_slru AS s WHERE s.blks_hit + s.blks_read > 0)
        AS slru
