SELECT
    g.queryid,
    (pg_catalog.array_agg(pg_catalog.left(g.query, 65536) ORDER BY g.calls DESC))[1] AS text,
    pg_catalog.sum(g.calls)::bigint AS calls,
    pg_catalog.sum(g.total_exec_time) AS total_ms,
    pg_catalog.sum(g.rows)::bigint AS rows,
    pg_catalog.sqrt(greatest(
        pg_catalog.sum((g.stddev_exec_time * g.stddev_exec_time + g.mean_exec_time * g.mean_exec_time) * g.calls)
            / nullif(pg_catalog.sum(g.calls), 0)::float8
        - pg_catalog.power(pg_catalog.sum(g.total_exec_time) / nullif(pg_catalog.sum(g.calls), 0)::float8, 2),
        0
    )) AS stddev_ms,
    pg_catalog.max(g.max_exec_time) AS max_ms,
    pg_catalog.sum(g.shared_blks_hit)::bigint AS shared_blocks_hit,
    pg_catalog.sum(g.shared_blks_read)::bigint AS shared_blocks_read,
    pg_catalog.sum(g.temp_blks_written)::bigint AS temp_blocks_written,
    pg_catalog.sum(g.wal_bytes)::bigint AS wal_bytes,
    pg_catalog.sum(g.total_plan_time) AS planning_ms,
    pg_catalog.sum(g.read_time) AS read_ms,
    pg_catalog.sum(g.write_time) AS write_ms,
    pg_catalog.sum(g.jit_time) AS jit_ms,
    ARRAY(
        SELECT DISTINCT pg_catalog.pg_get_userbyid(u.id)::text
        FROM pg_catalog.unnest(pg_catalog.array_agg(g.userid)) AS u (id) ORDER BY 1
    ) AS users,
    pg_catalog.bool_or(g.toplevel) AS toplevel,
    g.own
FROM (SELECT true AS toplevel) AS before_1_9,
(
    SELECT
        NULL::float8 AS jit_generation_time, NULL::float8 AS jit_inlining_time,
        NULL::float8 AS jit_optimization_time, NULL::float8 AS jit_emission_time
) AS before_1_10,
(SELECT NULL::float8 AS shared_blk_read_time, NULL::float8 AS shared_blk_write_time) AS before_1_11,
(SELECT NULL::float8 AS blk_read_time, NULL::float8 AS blk_write_time) AS since_1_11,
LATERAL (
    SELECT s.queryid, s.query, s.calls, s.rows, s.total_exec_time, s.mean_exec_time, s.stddev_exec_time, s.max_exec_time,
        s.shared_blks_hit, s.shared_blks_read, s.temp_blks_written, s.wal_bytes, s.total_plan_time, s.userid, toplevel,
        coalesce(shared_blk_read_time, blk_read_time) AS read_time,
        coalesce(shared_blk_write_time, blk_write_time) AS write_time,
        jit_generation_time + jit_inlining_time + jit_optimization_time + jit_emission_time AS jit_time,
        s.query ~ '/[*] pgsurveyor [*]/' AS own
    FROM {pg_stat_statements} AS s
    JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
    WHERE d.datname = pg_catalog.current_database() AND s.calls > 0
        AND s.queryid IS NOT NULL AND s.query <> '<insufficient privilege>'
) AS g
WHERE NOT g.own OR g.query ~ '^EXPLAIN ' OR g.query ~ '^SELECT /[*] pgsurveyor [*]/ [(]SELECT e[.]'
GROUP BY g.queryid, g.own
ORDER BY g.own DESC, total_ms DESC, g.queryid
LIMIT 25000
