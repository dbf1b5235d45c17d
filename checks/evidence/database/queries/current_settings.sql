SELECT s.name, s.setting AS value FROM pg_catalog.pg_settings AS s WHERE s.name = ANY (%(names)s)
