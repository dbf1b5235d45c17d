-- Documents, without what needs pgvector.
SET session_replication_role = replica;
SET synchronous_commit = off;
SELECT setseed(0.43);

-- The first organization owns three fifths of them.
INSERT INTO documents (id, organization_id, source_type_id, uploaded_by, title, source_path, checksum, content, metadata,
                       status, created_at, updated_at) OVERRIDING SYSTEM VALUE
SELECT g, CASE WHEN g % 5 < 3 THEN 1 ELSE 2 + g % 399 END, 1 + g % 5, 1 + g % 12000,
       (ARRAY['Router', 'Contract', 'Billing', 'Porting', 'Television', 'Roaming'])[1 + g % 6] || ' guide ' || g,
       '/drive/' || (ARRAY['products', 'legal', 'faq'])[1 + g % 3] || '/' || md5('path' || g) || '.md',
       encode(sha256(('document' || g)::bytea), 'hex'),
       repeat('Hold the power button for ten seconds until the light is green again. ', 20) || g,
       jsonb_build_object('language', (ARRAY['en', 'de', 'fr'])[1 + g % 3], 'product', 'product-' || g % 120,
                          'revision', g % 9),
       CASE WHEN g % 60 = 0 THEN 'pending' ELSE 'ready' END,
       timestamptz '2026-11-20 12:00+00' - (5000 - g) * interval '2 hours',
       timestamptz '2026-11-20 12:00+00' - (5000 - g) * interval '1 hour'
FROM generate_series(1, 5000) g;

SELECT setval(pg_get_serial_sequence('documents', 'id'), 5000);
