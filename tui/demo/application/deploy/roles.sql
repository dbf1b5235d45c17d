-- Run once by an administrator in the new database, before the first migration.

CREATE EXTENSION vector;
CREATE EXTENSION pg_stat_statements;

CREATE ROLE assistant_owner LOGIN;
CREATE ROLE assistant_api LOGIN;
CREATE ROLE assistant_worker LOGIN;

ALTER DATABASE deskhand OWNER TO assistant_owner;

-- A stuck job must not hold up the queue.
ALTER ROLE assistant_worker SET statement_timeout = '60s';
ALTER ROLE assistant_worker SET lock_timeout = '5s';
ALTER ROLE assistant_worker SET idle_in_transaction_session_timeout = '60s';

ALTER ROLE assistant_owner SET lock_timeout = '5s';
