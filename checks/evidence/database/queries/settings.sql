SELECT
    s.name,
    s.vartype AS kind,
    s.unit,
    s.source,
    s.boot_val AS boot_value,
    s.reset_val AS reset_value,
    s.pending_restart
FROM pg_catalog.pg_settings AS s
ORDER BY 1
