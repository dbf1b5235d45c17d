-- The last message of a conversation, for the inbox.

CREATE INDEX messages_conversation_created_idx ON messages (conversation_id, created_at);

-- For the token report.
CREATE INDEX idx_messages_role_tokens ON messages (role, tokens_out);
