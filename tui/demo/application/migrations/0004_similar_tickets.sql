-- "Has anyone asked this before?": an embedding per ticket.

CREATE TABLE ticket_embeddings (
    ticket_id bigint PRIMARY KEY REFERENCES tickets (id) ON DELETE CASCADE,
    embedding vector(256) NOT NULL,
    embedding_model text NOT NULL
);

CREATE INDEX ticket_embeddings_ivfflat_idx ON ticket_embeddings
    USING ivfflat (embedding vector_cosine_ops) WITH (lists = 1000);
