-- Knowledge base: uploaded documents, cut into chunks with an embedding each.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE document_source_types (
    id smallint PRIMARY KEY,
    name text NOT NULL UNIQUE
);

INSERT INTO document_source_types (id, name) VALUES
    (1, 'upload'), (2, 'website'), (3, 'notion'), (4, 'zendesk'), (5, 'google_drive');

CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    source_type_id smallint NOT NULL REFERENCES document_source_types (id),
    uploaded_by bigint REFERENCES users (id) ON DELETE SET NULL,
    title text NOT NULL,
    source_path text,
    checksum text NOT NULL,
    content text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX documents_organization_id_idx ON documents (organization_id);

CREATE TABLE chunks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id bigint NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    position integer NOT NULL,
    content text NOT NULL,
    embedding vector(384) NOT NULL,
    embedding_model text NOT NULL DEFAULT 'all-MiniLM-L6-v2',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, position)
);

CREATE TABLE canned_replies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    body text NOT NULL,
    embedding vector(384) NOT NULL
);

CREATE TABLE intents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    example text NOT NULL,
    embedding vector(384) NOT NULL
);
