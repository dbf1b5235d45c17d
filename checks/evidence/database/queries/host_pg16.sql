SELECT
    {rules} AS rules,
    {wal} AS wal,
    {log} AS log,
    (
        SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i)) FROM pg_catalog.pg_stat_io AS i
        WHERE coalesce(i.reads, 0) + coalesce(i.writes, 0) + coalesce(i.extends, 0) + coalesce(i.hits, 0) > 0
    ) AS io,
    (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM pg_catalog.pg_stat_slru AS s WHERE s.blks_hit + s.blks_read > 0)
        AS slru
