-- Audit trail, and a landing place for CSV imports.

CREATE TABLE audit_log (
    occurred_at timestamptz NOT NULL DEFAULT now(),
    actor_type text NOT NULL,
    actor_id bigint,
    action text NOT NULL,
    target_type text,
    target_id bigint,
    details jsonb
);

CREATE INDEX audit_log_occurred_at_idx ON audit_log (occurred_at);

CREATE UNLOGGED TABLE import_rows (
    batch text NOT NULL,
    line integer NOT NULL,
    raw text NOT NULL,
    error text
);
