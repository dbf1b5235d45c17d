-- Embeddings: one of some topics plus one of many small deviations, so that they have the clusters that real ones have.
SET session_replication_role = replica;
SET synchronous_commit = off;
SELECT setseed(0.44);

CREATE TEMPORARY TABLE topics AS
SELECT t AS number, array_agg((random() - 0.5)::real)::vector AS embedding
FROM generate_series(0, 96) t, generate_series(1, 384) GROUP BY t ORDER BY t;

CREATE TEMPORARY TABLE deviations AS
SELECT d AS number, array_agg(((random() - 0.5) * 0.6)::real)::vector AS embedding
FROM generate_series(0, 1998) d, generate_series(1, 384) GROUP BY d ORDER BY d;

CREATE FUNCTION pg_temp.embedding(g integer, salt integer) RETURNS vector LANGUAGE sql STABLE AS
$$ SELECT l2_normalize(t.embedding + d.embedding) FROM topics t, deviations d
   WHERE t.number = (g + salt) % 97 AND d.number = (g * 7 + salt) % 1999 $$;

CREATE UNIQUE INDEX ON topics (number);
CREATE UNIQUE INDEX ON deviations (number);
ANALYZE topics, deviations;
