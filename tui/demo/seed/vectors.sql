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

INSERT INTO chunks (id, document_id, position, content, embedding, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g - 1) / 4, (g - 1) % 4, 'Part ' || g || ': hold the power button until the light is green again.',
       pg_temp.embedding(g, 0), timestamptz '2026-11-20 12:00+00' - (20000 - g) * interval '15 minutes'
FROM generate_series(1, 20000) g;

INSERT INTO canned_replies (id, title, body, embedding) OVERRIDING SYSTEM VALUE
SELECT g, 'Reply ' || g, 'Thank you for your patience. (' || g || ')', pg_temp.embedding(g, 11)
FROM generate_series(1, 300) g;

INSERT INTO intents (id, name, example, embedding) OVERRIDING SYSTEM VALUE
SELECT g, 'intent-' || g % 40, 'Example ' || g, pg_temp.embedding(g, 23) FROM generate_series(1, 1500) g;

INSERT INTO memories (id, user_id, content, embedding, embedding_model, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g * 7) % 12000, 'Prefers to be called in the evening. (' || g || ')',
       subvector(pg_temp.embedding(g, 37), 1, 256), 'all-MiniLM-L6-v2/256',
       timestamptz '2026-11-20 12:00+00' - (11000 - g) * interval '20 minutes'
FROM generate_series(1, 11000) g;

INSERT INTO ticket_embeddings (ticket_id, embedding, embedding_model)
SELECT g, subvector(pg_temp.embedding(g, 51), 1, 256), 'all-MiniLM-L6-v2/256' FROM generate_series(1, 12000) g;

SELECT setval(pg_get_serial_sequence(name, 'id'), last, true)
FROM (VALUES ('chunks', 20000), ('canned_replies', 300), ('intents', 1500), ('memories', 11000)) AS sequences (name, last);
