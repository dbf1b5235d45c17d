SELECT
    s.relid::bigint AS oid,
    coalesce(s.n_tup_ins, 0) AS inserted,
    coalesce(s.n_tup_upd, 0) AS updated,
    coalesce(s.n_tup_del, 0) AS deleted,
    coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0) AS read
FROM pg_catalog.pg_stat_user_tables AS s
WHERE s.schemaname !~ '^pg_'
    AND coalesce(s.n_tup_ins, 0) + coalesce(s.n_tup_upd, 0) + coalesce(s.n_tup_del, 0)
        + coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0) > 0
