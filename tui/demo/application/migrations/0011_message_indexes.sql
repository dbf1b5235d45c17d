-- The last message of a conversation, for the inbox.

CREATE INDEX messages_conversation_created_idx ON messages (conversation_id, created_at);

-- For the report on what each model costs.
CREATE INDEX idx_messages_model_created ON messages (model, created_at);
