-- Fixes of review 3f9c1d2e4a5b: Support assistant, as of 2026-11-23
-- Target: database assistant, PostgreSQL 18.6
-- Evidence 5d856d7be0f7b9795d856d7be0f7b9795d856d7be0f7b9795d856d7be0f7b979; pgsurveyor 0.1.0
--
-- Read every step before you run it, and try it on a copy first. pgsurveyor has run nothing of this.
-- 1 step runs as it stands; 6 are comments that say why: they need a plan.
-- 7 findings that were waived or disputed are left out.
--
-- psql -X -v ON_ERROR_STOP=1 -f fixes.sql, without --single-transaction: CONCURRENTLY works only outside of one.
-- It stops at the first error. An index that fails half-way stays behind as invalid: drop it CONCURRENTLY before the
-- next try.
-- ALTER SYSTEM holds for this node alone: run those for each standby too. What changes the schema belongs into a
-- migration as well, or the next review tells of drift.

SET lock_timeout = '5s';
SET statement_timeout = 0;

-- ===================================================================================================================
-- 3. Indexes, CONCURRENTLY: outside of a transaction, one at a time; reads and writes go on
-- ===================================================================================================================

-- CONCURRENTLY waits for every older transaction, and blocks no read or write meanwhile; a timeout would leave an invalid
-- index behind. A session that is idle in its transaction makes it wait for ever: end such sessions first.
SET lock_timeout = 0;

-- 1. Index the referencing column.
--    high 6400c94cec4bed6a: Foreign key messages_account_id_fkey has no index on public.messages (account_id)
--    (migrations/0002_messages.sql:14)
--    Lock: SHARE UPDATE EXCLUSIVE
CREATE INDEX CONCURRENTLY messages_account_id_idx ON public.messages (account_id);
--   Undo: DROP INDEX CONCURRENTLY public.messages_account_id_idx;

-- ===================================================================================================================
-- 6. By hand: drops, rewrites, or locks others out. Nothing below runs unless you remove the comment
-- ===================================================================================================================

-- 2. Change it.
--    high 3756e7de14301289: Column public.messages.metadata needs attention (app/search.py:88)
--    Lock: SHARE UPDATE EXCLUSIVE
--    Not run: PostgreSQL's grammar does not read it
--   ALTER TABLE public.messages.metadata VALIDATE;
--   Undo: Nothing to undo.

-- 3. Change it.
--    high d4e3c39e5c8a8930: Statement 8123456789012345678 needs attention (app/search.py:88)
--    Lock: SHARE UPDATE EXCLUSIVE
--    Not run: PostgreSQL's grammar does not read it
--   ALTER TABLE 8123456789012345678 VALIDATE;
--   Undo: Nothing to undo.

-- 4. Add an identity column as primary key.
--    high 164380b20202f4ee: Table public.events has no primary key (migrations/0007_events.sql:3)
--    Decided: accept owner grace due 2026-12-15
--    Lock: ACCESS EXCLUSIVE; rewrites the table
--    Not run: it rewrites the table: plan it
--   ALTER TABLE public.events ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
--   Undo: ALTER TABLE public.events DROP COLUMN id;

-- 5. Change it.
--    medium e300142eeee8e685: Role app needs attention
--    Lock: SHARE UPDATE EXCLUSIVE
--    Not run: PostgreSQL's grammar does not read it
--   ALTER TABLE app VALIDATE;
--   Undo: Nothing to undo.

-- 6. Change it.
--    medium 889403480e9d3928: Setting max_slot_wal_keep_size needs attention
--    Lock: SHARE UPDATE EXCLUSIVE
--    Not run: PostgreSQL's grammar does not read it
--   ALTER TABLE max_slot_wal_keep_size VALIDATE;
--   Undo: Nothing to undo.

-- 7. Change it.
--    medium dec98a296d0dba97: Column public.events.happened_at needs attention
--    Lock: SHARE UPDATE EXCLUSIVE
--    Not run: PostgreSQL's grammar does not read it
--   ALTER TABLE public.events.happened_at VALIDATE;
--   Undo: Nothing to undo.
