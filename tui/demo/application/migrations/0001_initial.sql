-- Organizations, users, conversations and messages.

CREATE TABLE plans (
    id smallint PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    monthly_price_cents integer NOT NULL,
    included_tokens bigint NOT NULL
);

CREATE TABLE plan_features (
    plan_id smallint NOT NULL REFERENCES plans (id),
    feature text NOT NULL,
    PRIMARY KEY (plan_id, feature)
);

INSERT INTO plans (id, code, name, monthly_price_cents, included_tokens) VALUES
    (1, 'free', 'Free', 0, 200000),
    (2, 'team', 'Team', 4900, 5000000),
    (3, 'business', 'Business', 19900, 40000000),
    (4, 'enterprise', 'Enterprise', 99000, 400000000);

INSERT INTO plan_features (plan_id, feature) VALUES
    (2, 'email'), (2, 'widget'), (3, 'email'), (3, 'widget'), (3, 'sso'),
    (4, 'email'), (4, 'widget'), (4, 'sso'), (4, 'audit_log');

CREATE TABLE organizations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL UNIQUE,
    plan_id smallint NOT NULL REFERENCES plans (id),
    stripe_customer_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    email text NOT NULL,
    display_name text,
    role text NOT NULL DEFAULT 'agent',
    preferences jsonb NOT NULL DEFAULT '{}',
    last_seen_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX users_organization_id_idx ON users (organization_id);

CREATE TABLE conversations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    assigned_user_id bigint REFERENCES users (id) ON DELETE SET NULL,
    channel text NOT NULL DEFAULT 'widget',
    status text NOT NULL DEFAULT 'open',
    subject text,
    metadata jsonb NOT NULL DEFAULT '{}',
    trace_id text,
    last_message_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX conversations_org_last_message_idx ON conversations (organization_id, last_message_at);
CREATE INDEX conversations_user_id_idx ON conversations (user_id);
CREATE INDEX conversations_assigned_user_id_idx ON conversations (assigned_user_id)
    WHERE assigned_user_id IS NOT NULL;

CREATE TABLE messages (
    id serial PRIMARY KEY,
    conversation_id bigint NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    content text NOT NULL,
    model text,
    openai_request_id text,
    tokens_in integer,
    tokens_out integer,
    metadata jsonb,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE INDEX messages_conversation_id_idx ON messages (conversation_id);

CREATE TABLE feature_flags (
    name text PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT false,
    rollout_percent smallint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO feature_flags (name, enabled, rollout_percent) VALUES
    ('streaming', true, 100), ('agent_tools', true, 50), ('memory', true, 25), ('auto_close', false, 0);
