SELECT x.*
FROM (SELECT 'c' AS datlocprovider) AS before_15, LATERAL (
    SELECT
        d.datname::text AS database,
        pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
        d.datcollate::text AS collate,
        d.datctype::text AS ctype,
        datlocprovider::text AS provider,
        pg_catalog.current_setting('block_size')::int AS block_bytes,
        pg_catalog.has_function_privilege(
            'pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE'
        ) AS reads_files,
        pg_catalog.has_table_privilege('pg_catalog.pg_statistic_ext_data', 'SELECT') AS reads_lists
    FROM pg_catalog.pg_database AS d
    WHERE d.datname = pg_catalog.current_database()
) AS x
