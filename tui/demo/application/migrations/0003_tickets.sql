-- Tickets that the assistant hands over to people.

-- Four digits are enough for a customer to read out on the phone; they come round again.
CREATE SEQUENCE ticket_reference_seq AS integer MINVALUE 1000 MAXVALUE 9999 START 1000 CYCLE;

CREATE TABLE tickets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    conversation_id bigint REFERENCES conversations (id) ON DELETE SET NULL,
    reference integer NOT NULL DEFAULT nextval('ticket_reference_seq'),
    title text NOT NULL,
    body text NOT NULL,
    priority smallint NOT NULL DEFAULT 3,
    state text NOT NULL DEFAULT 'new',
    opened_at timestamp NOT NULL DEFAULT now(),
    closed_at timestamptz,
    UNIQUE (organization_id, id)
);

CREATE INDEX tickets_conversation_id_idx ON tickets (conversation_id) WHERE conversation_id IS NOT NULL;

CREATE TABLE ticket_comments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id bigint NOT NULL,
    ticket_id bigint NOT NULL,
    author_id bigint REFERENCES users (id) ON DELETE SET NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (organization_id, ticket_id) REFERENCES tickets (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX ticket_comments_ticket_idx ON ticket_comments (ticket_id, organization_id);
CREATE INDEX ticket_comments_author_id_idx ON ticket_comments (author_id);

CREATE TABLE labels (
    id smallserial PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    color text NOT NULL DEFAULT '#888888',
    UNIQUE (organization_id, name)
);

CREATE TABLE ticket_labels (
    ticket_id bigint NOT NULL REFERENCES tickets (id) ON DELETE CASCADE,
    label_id smallint NOT NULL REFERENCES labels (id) ON DELETE CASCADE,
    PRIMARY KEY (ticket_id, label_id)
);

CREATE INDEX ticket_labels_label_id_idx ON ticket_labels (label_id);
