-- Inbox: newest first, conversations without a message at the end.
CREATE INDEX conversations_inbox_idx ON conversations (organization_id, last_message_at DESC NULLS LAST);

-- Document search: by title prefix, by title order, by path in byte order for the sync, by checksum.
CREATE INDEX documents_title_idx ON documents (title);
CREATE INDEX documents_title_prefix_idx ON documents (title text_pattern_ops);
CREATE INDEX documents_source_path_idx ON documents (source_path);
CREATE INDEX documents_source_path_bytes_idx ON documents (source_path COLLATE "C");
CREATE INDEX documents_checksum_hash_idx ON documents USING hash (checksum);
CREATE INDEX documents_checksum_org_idx ON documents (checksum, organization_id);

-- Filters on documents and on the CRM's own conversation ids.
CREATE INDEX documents_metadata_idx ON documents USING gin (metadata);
CREATE INDEX conversations_external_id_idx ON conversations ((metadata ->> 'external_id'));

-- Team page.
CREATE INDEX idx_users_organization ON users (organization_id);
