SELECT
    'setting' AS kind,
    coalesce(r.rolname::text, '') AS role,
    coalesce(d.datname::text, '') AS database,
    pg_catalog.split_part(c.entry, '=', 1) AS name,
    pg_catalog.substr(c.entry, pg_catalog.strpos(c.entry, '=') + 1) AS value,
    false AS privileged
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (entry)
WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL)
UNION ALL
SELECT 'login', r.rolname::text, '', '', '',
    r.rolsuper OR r.rolreplication OR pg_catalog.pg_has_role(r.oid, 'pg_monitor', 'MEMBER')
FROM pg_catalog.pg_roles AS r
WHERE r.rolcanlogin
ORDER BY 1, 2, 3, 4
