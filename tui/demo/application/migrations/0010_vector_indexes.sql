-- Retrieval got slow: approximate search.

CREATE INDEX chunks_embedding_hnsw_idx ON chunks USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX intents_embedding_hnsw_idx ON intents USING hnsw (embedding vector_cosine_ops);
