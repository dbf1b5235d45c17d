-- Customers, conversations, tickets, billing and traces. Everything is derived from row numbers and a seeded random(), and
-- every date from one fixed day, so that each build is the same.
SET session_replication_role = replica;
SET synchronous_commit = off;
SELECT setseed(0.42);

INSERT INTO organizations (id, name, slug, plan_id, stripe_customer_id, created_at) OVERRIDING SYSTEM VALUE
SELECT g, CASE g WHEN 1 THEN 'Northwind Telecom' ELSE 'Customer ' || g END,
       CASE g WHEN 1 THEN 'northwind' ELSE 'customer-' || g END,
       CASE WHEN g = 1 THEN 4 ELSE 1 + g % 3 END,
       'cus_' || substr(md5('customer' || g), 1, 14),
       timestamptz '2025-01-10 09:00+00' + g * interval '1 day'
FROM generate_series(1, 400) g;

-- Forty people signed up twice, once with a capital letter.
INSERT INTO users (id, organization_id, email, display_name, role, preferences, last_seen_at, created_at)
    OVERRIDING SYSTEM VALUE
SELECT g, 1 + n % 400,
       CASE WHEN g > 11960 THEN 'User' ELSE 'user' END || n || '@example.com',
       'User ' || n,
       CASE WHEN g % 20 = 0 THEN 'admin' ELSE 'agent' END,
       jsonb_build_object('locale', (ARRAY['en', 'de', 'fr', 'es'])[1 + g % 4], 'theme', 'light'),
       timestamptz '2026-11-20 12:00+00' - random() * interval '90 days',
       timestamptz '2025-02-01 00:00+00' + g * interval '1 hour'
FROM (SELECT g, CASE WHEN g > 11960 THEN g - 11960 ELSE g END AS n FROM generate_series(1, 12000) g) numbered;

INSERT INTO conversations (id, organization_id, user_id, assigned_user_id, channel, status, subject, metadata, trace_id,
                           last_message_at, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + u % 400, u, CASE WHEN g % 5 = 0 THEN 1 + (g * 31) % 600 END,
       (ARRAY['widget', 'email', 'api'])[1 + g % 3],
       CASE WHEN g % 7 = 0 THEN 'open' ELSE 'closed' END,
       (ARRAY['Invoice question', 'Cannot sign in', 'Router keeps restarting', 'Change of address', 'Slow connection',
              'Cancel my contract', 'Refund', 'Number porting'])[1 + g % 8],
       jsonb_build_object('external_id', 'crm-' || g, 'source', 'campaign-' || g % 250, 'locale', 'en',
                          'page', '/help/' || g % 90),
       md5('trace' || g),
       CASE WHEN g % 50 <> 0 THEN timestamptz '2026-11-20 12:00+00' - (30000 - g) * interval '11 minutes' END,
       timestamptz '2026-11-20 11:00+00' - (30000 - g) * interval '11 minutes'
FROM (SELECT g, 1 + floor(12000 * power(random(), 2))::integer AS u FROM generate_series(1, 30000) g) drawn;

-- Numbers are burnt by the upserts of the widget: ids run far ahead of rows.
INSERT INTO messages (id, conversation_id, role, content, model, openai_request_id, tokens_in, tokens_out, metadata,
                      created_at)
SELECT g * 9187, 1 + (g - 1) / 6, CASE WHEN assistant THEN 'assistant' ELSE 'user' END,
       (ARRAY['My router restarts every few minutes since the last update, what can I do about it?',
              'Where do I find the invoice of last month? The link in the mail does not work any more.',
              'Please hold the power button for ten seconds, then wait until the light is green again.',
              'You find your invoices under Account, Billing. I have sent you a new link as well.',
              'I want to move my number to another contract, how long does that take?',
              'Porting a number takes up to three working days; we confirm the date by mail.'])[1 + g % 6]
           || ' (' || g || ')',
       CASE WHEN assistant THEN CASE WHEN g % 10 = 0 THEN 'gpt-4o' ELSE 'gpt-4o-mini' END END,
       CASE WHEN assistant THEN 'chatcmpl-' || md5('request' || g) END,
       CASE WHEN assistant THEN 200 + (random() * 3000)::integer END,
       CASE WHEN NOT assistant THEN NULL WHEN g < 1200 THEN -1 ELSE 20 + (random() * 600)::integer END,
       CASE WHEN g % 331 = 0 THEN jsonb_build_object('flagged', true, 'reason', 'tone')
            WHEN g % 9 = 0 THEN jsonb_build_object('stream', true, 'latency_ms', g % 4000) END,
       timestamp '2026-11-20 12:00' - (180000 - g) * interval '110 seconds'
FROM (SELECT g, g % 2 = 0 AS assistant FROM generate_series(1, 180000) g) numbered;

INSERT INTO tickets (id, organization_id, conversation_id, reference, title, body, priority, state, opened_at, closed_at)
    OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g * 7) % 400, CASE WHEN g % 3 <> 0 THEN 1 + (g * 2) % 30000 END, 1000 + g % 9000,
       'Ticket ' || g, 'Handed over by the assistant: the sources had no answer to question ' || g || '.',
       1 + g % 5, CASE WHEN g % 6 = 0 THEN 'new' ELSE 'closed' END,
       timestamp '2026-11-20 12:00' - (12000 - g) * interval '25 minutes',
       CASE WHEN g % 6 <> 0 THEN timestamptz '2026-11-20 12:00+00' - (12000 - g) * interval '20 minutes' END
FROM generate_series(1, 12000) g;

INSERT INTO ticket_comments (id, organization_id, ticket_id, author_id, body, created_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (t * 7) % 400, t, CASE WHEN g % 10 <> 0 THEN 1 + g % 12000 END,
       'Comment ' || g || ': called the customer, waiting for an answer.',
       timestamptz '2026-11-20 12:00+00' - (20000 - g) * interval '13 minutes'
FROM (SELECT g, 1 + g % 12000 AS t FROM generate_series(1, 20000) g) numbered;

-- Labels are made and removed all the time.
INSERT INTO labels (id, organization_id, name)
SELECT g * 19, 1 + g % 400, (ARRAY['bug', 'billing', 'urgent'])[1 + g / 400] FROM generate_series(1, 900) g;

INSERT INTO ticket_labels (ticket_id, label_id)
SELECT g, (1 + (g * 13) % 900) * 19 FROM generate_series(1, 9000) g;

-- Due also where the clock is behind that day.
INSERT INTO jobs (id, kind, payload, status, attempts, run_at, last_error, created_at)
SELECT g, (ARRAY['ingest', 'embed_ticket', 'webhook', 'consolidate_memories'])[1 + g % 4],
       jsonb_build_object('document_id', 1 + g % 5000, 'ticket_id', 1 + g % 12000),
       CASE WHEN g > 19700 THEN 'queued' WHEN g % 50 = 0 THEN 'failed' ELSE 'done' END,
       CASE WHEN g % 50 = 0 THEN 5 ELSE 1 END,
       least(timestamp '2026-11-20 12:00', localtimestamp) - (20000 - g) * interval '3 minutes',
       CASE WHEN g % 50 = 0 AND g <= 19700 THEN 'timeout' END,
       timestamptz '2026-11-20 12:00+00' - (20000 - g) * interval '3 minutes'
FROM generate_series(1, 20000) g;

INSERT INTO webhook_deliveries (external_id, endpoint, payload, status_code, created_at)
SELECT CASE WHEN g % 4 <> 0 THEN 'evt_' || md5('event' || g) END, 'https://hooks.example.com/' || g % 60,
       json_build_object('event', 'message.created', 'sequence', g), CASE WHEN g % 25 = 0 THEN 500 ELSE 200 END,
       timestamptz '2026-11-20 12:00+00' - (5000 - g) * interval '1 hour'
FROM generate_series(1, 5000) g;

INSERT INTO api_keys (id, organization_id, key_hash, label, revoked_at) OVERRIDING SYSTEM VALUE
SELECT g, 1 + g % 400, encode(sha256(('key' || g)::bytea), 'hex'), 'Key ' || g,
       CASE WHEN g % 9 = 0 THEN timestamptz '2026-10-01 00:00+00' END
FROM generate_series(1, 800) g;

INSERT INTO billing.invoices (id, organization_id, stripe_invoice_id, period, amount_cents, status, issued_at)
    OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g - 1) / 12, 'in_' || substr(md5('invoice' || g), 1, 14),
       (date '2025-12-01' + ((g - 1) % 12) * interval '1 month')::date, 1000 + (random() * 90000)::integer,
       CASE WHEN (g - 1) % 12 = 11 THEN 'open' ELSE 'paid' END,
       timestamptz '2025-12-02 00:00+00' + ((g - 1) % 12) * interval '1 month'
FROM generate_series(1, 4800) g;

INSERT INTO billing.invoice_lines (id, invoice_id, description, quantity, unit_price_micros) OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g - 1) / 3, (ARRAY['chat', 'embedding', 'tools'])[1 + g % 3], 1000 + g, 1 + g % 10
FROM generate_series(1, 14400) g;

-- Some keys were deleted since.
INSERT INTO billing.usage_records (id, organization_id, api_key_id, kind, model, tokens, cost_micros, created_at)
    OVERRIDING SYSTEM VALUE
SELECT g, 1 + (g * 11) % 400, CASE WHEN g % 3 = 0 THEN 1 + g % 900 END,
       (ARRAY['chat', 'embedding', 'tools'])[1 + g % 3], 'gpt-4o-mini', 100 + g % 3000, 60 + g % 1800,
       timestamptz '2026-11-20 12:00+00' - (60000 - g) * interval '2 minutes'
FROM generate_series(1, 60000) g;

INSERT INTO events (organization_id, name, properties, created_at)
SELECT 1 + (g * 17) % 400,
       (ARRAY['widget_opened', 'question_asked', 'source_clicked', 'rated', 'handed_over'])[1 + g % 5],
       jsonb_build_object('session', md5('session' || g / 8), 'page', '/help/' || g % 90),
       timestamptz '2026-11-20 12:00+00' - (60000 - g) * interval '150 seconds'
FROM generate_series(1, 60000) g;

INSERT INTO tool_calls (id, message_id, name, arguments, duration_ms, created_at) OVERRIDING SYSTEM VALUE
SELECT g, (g * 6) * 9187, (ARRAY['lookup_order', 'restart_router', 'send_invoice'])[1 + g % 3],
       json_build_object('order_id', 'ord-' || g, 'dry_run', CASE WHEN g % 2 = 0 THEN 'true' ELSE 'false' END),
       20 + g % 900, timestamptz '2026-11-20 12:00+00' - (25000 - g) * interval '12 minutes'
FROM generate_series(1, 25000) g;

INSERT INTO citations (id, message_id, chunk_id, score) OVERRIDING SYSTEM VALUE
SELECT g, (2 * (1 + g % 90000)) * 9187, 1 + (g * 37) % 20000, random()::real FROM generate_series(1, 40000) g;

INSERT INTO message_feedback (message_id, user_id, rating, created_at)
SELECT (g * 40) * 9187, 1 + g % 12000, 1 + g % 5, timestamptz '2026-11-20 12:00+00' - (4000 - g) * interval '1 hour'
FROM generate_series(1, 4000) g;

INSERT INTO attachments (id, owner_type, owner_id, file_name, storage_key, size_bytes) OVERRIDING SYSTEM VALUE
SELECT g, CASE WHEN g % 2 = 0 THEN 'ticket' ELSE 'conversation' END, 1 + g % 12000, 'photo-' || g || '.jpg',
       'uploads/' || md5('file' || g), 10000 + g
FROM generate_series(1, 8000) g;

INSERT INTO audit_log (occurred_at, actor_type, actor_id, action, target_type, target_id)
SELECT timestamptz '2026-11-20 12:00+00' - (25000 - g) * interval '10 minutes',
       CASE WHEN g % 3 = 0 THEN 'api_key' ELSE 'user' END, 1 + g % 800, 'conversation.closed', 'conversation', 1 + g % 30000
FROM generate_series(1, 25000) g;

INSERT INTO import_rows (batch, line, raw, error)
SELECT 'customers-2026-11', g, 'Customer ' || g || ';user' || g || '@example.com', CASE WHEN g % 40 = 0 THEN 'no name' END
FROM generate_series(1, 3000) g;

SELECT setval(pg_get_serial_sequence(name, 'id'), last, true)
FROM (VALUES ('organizations', 400), ('users', 12000), ('conversations', 30000), ('messages', 180000 * 9187),
             ('tickets', 12000), ('ticket_comments', 20000), ('labels', 900 * 19), ('jobs', 20000), ('api_keys', 800),
             ('billing.invoices', 4800), ('billing.invoice_lines', 14400), ('billing.usage_records', 60000),
             ('tool_calls', 25000), ('citations', 40000), ('attachments', 8000)) AS sequences (name, last);
SELECT setval('ticket_reference_seq', 9600);
