-- What the agent did for an answer: tools, sources, feedback, memory.

CREATE TABLE tool_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id integer NOT NULL,
    name text NOT NULL,
    arguments json NOT NULL,
    duration_ms integer,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX tool_calls_message_id_idx ON tool_calls (message_id);

CREATE TABLE citations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id bigint NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    chunk_id bigint NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
    score real NOT NULL
);

CREATE INDEX citations_message_id_idx ON citations (message_id);

CREATE TABLE message_feedback (
    message_id integer PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    rating smallint NOT NULL,
    comment text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX message_feedback_user_id_idx ON message_feedback (user_id);

CREATE TABLE memories (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    content text NOT NULL,
    embedding vector(256) NOT NULL,
    embedding_model text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX memories_user_id_idx ON memories (user_id);

CREATE TABLE attachments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_type text NOT NULL,
    owner_id bigint NOT NULL,
    file_name text NOT NULL,
    storage_key text NOT NULL UNIQUE,
    size_bytes bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX attachments_owner_idx ON attachments (owner_type, owner_id);
