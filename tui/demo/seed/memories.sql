-- Needs topics.sql in the same session.

INSERT INTO memories (id, user_id, content, embedding, embedding_model, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g * 7) % 12000, 'Prefers to be called in the evening. (' || g || ')',
       subvector(pg_temp.embedding(g, 37), 1, 256), 'all-MiniLM-L6-v2/256',
       timestamptz '2026-11-20 12:00+00' - (11000 - g) * interval '20 minutes'
FROM generate_series(1, 11000) g;

INSERT INTO ticket_embeddings (ticket_id, embedding, embedding_model)
SELECT g, subvector(pg_temp.embedding(g, 51), 1, 256), 'all-MiniLM-L6-v2/256' FROM generate_series(1, 12000) g;

SELECT setval(pg_get_serial_sequence('memories', 'id'), 11000);
