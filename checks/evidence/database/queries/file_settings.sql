SELECT DISTINCT ON (f.name) f.name, f.setting AS value
FROM pg_catalog.pg_file_settings AS f
WHERE f.applied
ORDER BY f.name, f.seqno DESC
