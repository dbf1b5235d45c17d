-- Chunks for a processor that cannot run pgvector: their rows are referenced, their embeddings stay empty.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO chunks (id, document_id, position, content, embedding, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g - 1) / 4, (g - 1) % 4, 'Part ' || g || ': hold the power button until the light is green again.', '{}',
       timestamptz '2026-11-20 12:00+00' - (20000 - g) * interval '15 minutes'
FROM generate_series(1, 20000) g;

SELECT setval(pg_get_serial_sequence('chunks', 'id'), 20000);
