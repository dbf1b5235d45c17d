-- migrate: no transaction
-- One account per address and organization.

CREATE UNIQUE INDEX CONCURRENTLY users_organization_email_key ON users (organization_id, lower(email));
