-- Old rows have negative counts from the token estimator; new ones must not.

ALTER TABLE messages ADD CONSTRAINT messages_tokens_out_check CHECK (tokens_out >= 0) NOT VALID;

ALTER TABLE billing.usage_records
    ADD CONSTRAINT usage_records_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES api_keys (id) NOT VALID;

CREATE INDEX usage_records_api_key_id_idx ON billing.usage_records (api_key_id) WHERE api_key_id IS NOT NULL;
