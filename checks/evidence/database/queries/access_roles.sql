SELECT
    r.rolname::text AS name,
    r.rolsuper AS superuser,
    r.rolinherit AS inherits,
    r.rolcreaterole AS creates_roles,
    r.rolcreatedb AS creates_databases,
    r.rolcanlogin AS can_login,
    r.rolreplication AS replicates,
    r.rolbypassrls AS bypasses_row_security,
    nullif(r.rolconnlimit, -1) AS connection_limit,
    CASE WHEN pg_catalog.isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
    ARRAY(
        SELECT g.rolname::text
        FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
        WHERE m.member = r.oid
        GROUP BY g.rolname ORDER BY 1
    ) AS member_of
FROM pg_catalog.pg_roles AS r
WHERE r.rolname !~ '^pg_'
ORDER BY 1
