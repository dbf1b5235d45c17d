-- Run by assistant_owner, before the first migration.

ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO assistant_api, assistant_worker;
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO assistant_api, assistant_worker;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO assistant_api, assistant_worker;
