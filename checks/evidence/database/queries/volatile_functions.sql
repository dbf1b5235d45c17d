SELECT DISTINCT p.proname::text AS name
FROM pg_catalog.pg_proc AS p
WHERE p.provolatile = 'v' AND p.prokind IN ('f', 'p')
