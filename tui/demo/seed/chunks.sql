-- Needs topics.sql in the same session.

INSERT INTO chunks (id, document_id, position, content, embedding, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g - 1) / 4, (g - 1) % 4, 'Part ' || g || ': hold the power button until the light is green again.',
       pg_temp.embedding(g, 0), timestamptz '2026-11-20 12:00+00' - (20000 - g) * interval '15 minutes'
FROM generate_series(1, 20000) g;

INSERT INTO canned_replies (id, title, body, embedding) OVERRIDING SYSTEM VALUE
SELECT g, 'Reply ' || g, 'Thank you for your patience. (' || g || ')', pg_temp.embedding(g, 11)
FROM generate_series(1, 300) g;

INSERT INTO intents (id, name, example, embedding) OVERRIDING SYSTEM VALUE
SELECT g, 'intent-' || g % 40, 'Example ' || g, pg_temp.embedding(g, 23) FROM generate_series(1, 1500) g;

SELECT setval(pg_get_serial_sequence(name, 'id'), last, true)
FROM (VALUES ('chunks', 20000), ('canned_replies', 300), ('intents', 1500)) AS sequences (name, last);
