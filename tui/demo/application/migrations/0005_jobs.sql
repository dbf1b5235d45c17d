-- Background jobs and outgoing webhooks.

CREATE SEQUENCE jobs_id_seq;

CREATE TABLE jobs (
    id integer PRIMARY KEY DEFAULT nextval('jobs_id_seq'),
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'queued',
    attempts integer NOT NULL DEFAULT 0,
    run_at timestamp NOT NULL DEFAULT now(),
    locked_at timestamptz,
    locked_by text,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER SEQUENCE jobs_id_seq OWNED BY jobs.id;

CREATE INDEX jobs_queued_idx ON jobs (run_at) WHERE status = 'queued';
CREATE INDEX jobs_failed_idx ON jobs (run_at) WHERE status = 'failed';

CREATE TABLE webhook_deliveries (
    external_id text UNIQUE,
    endpoint text NOT NULL,
    payload json NOT NULL,
    status_code integer,
    created_at timestamptz NOT NULL DEFAULT now()
);
