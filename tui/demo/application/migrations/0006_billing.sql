-- Billing lives in its own schema.

CREATE SCHEMA billing;

CREATE TABLE billing.invoices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id),
    stripe_invoice_id text UNIQUE,
    period date NOT NULL,
    amount_cents bigint NOT NULL,
    currency text NOT NULL DEFAULT 'EUR',
    status text NOT NULL DEFAULT 'draft',
    issued_at timestamptz
);

CREATE INDEX invoices_organization_period_idx ON billing.invoices (organization_id, period);

CREATE TABLE billing.invoice_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id bigint NOT NULL REFERENCES billing.invoices (id) ON DELETE CASCADE,
    description text NOT NULL,
    quantity bigint NOT NULL,
    unit_price_micros bigint NOT NULL
);

CREATE INDEX invoice_lines_invoice_id_idx ON billing.invoice_lines (invoice_id);

CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    key_hash text NOT NULL UNIQUE,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE INDEX api_keys_organization_id_idx ON api_keys (organization_id);

CREATE TABLE billing.usage_records (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL,
    api_key_id bigint,
    kind text NOT NULL,
    model text NOT NULL,
    tokens integer NOT NULL,
    cost_micros bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_enabled = false);  -- autovacuum was slowing down the nightly import

CREATE INDEX usage_records_org_created_idx ON billing.usage_records (organization_id, created_at);
