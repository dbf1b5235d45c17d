"""Servers set up as managed services show theirs: roles, settings, what is revoked. The customer's role is `customer`.

By what the services document: Amazon RDS, "Understanding the rds_superuser role"; Cloud SQL, "About PostgreSQL users and roles";
Neon, "Manage roles" and "Compatibility"; Supabase, "Postgres Roles" and "Timeouts".
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_HIDDEN = (
    "REVOKE EXECUTE ON FUNCTION pg_ls_waldir(), pg_ls_logdir() FROM pg_monitor",
    "REVOKE ALL ON pg_file_settings, pg_hba_file_rules FROM PUBLIC",
    "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
)


class ManagedServer(msgspec.Struct, frozen=True):
    """`settings` to start with, `statements` of the provider, those that `hide` something in one database, and `last` what would
    make its own commits wait."""

    settings: Mapping[str, str]
    statements: tuple[str, ...]
    hide: tuple[str, ...] = _HIDDEN
    last: tuple[str, ...] = ()


_LOG = {"fsync": "on", "logging_collector": "on", "log_directory": "log"}

MANAGED_SERVERS: Mapping[str, ManagedServer] = {
    "rds": ManagedServer(
        {
            **_LOG, "archive_mode": "on", "archive_command": "true", "archive_timeout": "300", "wal_level": "replica",
            "log_line_prefix": "%t:%r:%u@%d:[%p]:", "log_autovacuum_min_duration": "10s", "wal_compression": "on",
            "autovacuum_vacuum_cost_limit": "1200", "idle_in_transaction_session_timeout": "86400000",
            "max_connections": "901", "rds.force_ssl": "1", "rds.logical_replication": "0",
        },
        (
            "CREATE ROLE rdsadmin SUPERUSER LOGIN", "CREATE ROLE rds_superuser", "CREATE ROLE rds_replication",
            "CREATE ROLE rds_password", "CREATE ROLE rds_iam",
            "GRANT pg_monitor, pg_signal_backend TO rds_superuser WITH ADMIN OPTION",
            "CREATE ROLE customer LOGIN CREATEDB CREATEROLE VALID UNTIL 'infinity' IN ROLE rds_superuser",
            "ALTER ROLE rdsadmin SET log_statement = 'all'",
        ),
        hide=_HIDDEN[1:],
    ),
    "cloudsql": ManagedServer(
        {
            **_LOG, "archive_mode": "on", "archive_command": "true", "archive_timeout": "300", "max_connections": "500",
            "log_line_prefix": "%m [%p]: [%l-1] db=%d,user=%u ", "wal_level": "replica", "password_encryption": "md5",
            "cloudsql.iam_authentication": "off", "cloudsql.enable_pgaudit": "off",
        },
        (
            "CREATE ROLE cloudsqladmin SUPERUSER LOGIN", "CREATE ROLE cloudsqlsuperuser CREATEROLE CREATEDB",
            "CREATE ROLE cloudsqlimportexport LOGIN CREATEROLE CREATEDB", "CREATE ROLE cloudsqlreplica LOGIN REPLICATION",
            "CREATE ROLE cloudsqlagent LOGIN CREATEROLE CREATEDB", "GRANT pg_monitor TO cloudsqlsuperuser",
            "CREATE ROLE customer LOGIN CREATEROLE CREATEDB IN ROLE cloudsqlsuperuser",
        ),
    ),
    "supabase": ManagedServer(
        {
            "fsync": "on", "archive_mode": "on", "archive_command": "true", "archive_timeout": "120", "wal_level": "logical",
            "max_slot_wal_keep_size": "4096", "statement_timeout": "120000", "max_connections": "60", "max_wal_senders": "5",
            "max_replication_slots": "5", "log_line_prefix": "%h %m [%p] %q%u@%d ",
        },
        (
            "CREATE ROLE supabase_admin SUPERUSER LOGIN REPLICATION", "CREATE ROLE supabase_replication_admin LOGIN REPLICATION",
            "CREATE ROLE anon NOLOGIN", "CREATE ROLE authenticated NOLOGIN", "CREATE ROLE service_role NOLOGIN BYPASSRLS",
            "CREATE ROLE authenticator LOGIN NOINHERIT IN ROLE anon, authenticated, service_role",
            "CREATE ROLE supabase_auth_admin LOGIN NOINHERIT CREATEROLE",
            "CREATE ROLE supabase_storage_admin LOGIN NOINHERIT CREATEROLE",
            "ALTER ROLE anon SET statement_timeout = '3s'", "ALTER ROLE authenticated SET statement_timeout = '8s'",
            "ALTER ROLE authenticator SET statement_timeout = '8s'", "ALTER ROLE authenticator SET lock_timeout = '8s'",
            "ALTER ROLE supabase_auth_admin SET idle_in_transaction_session_timeout = 60000",
            "CREATE PUBLICATION supabase_realtime",
            "CREATE ROLE customer LOGIN CREATEDB CREATEROLE BYPASSRLS IN ROLE pg_monitor, pg_read_all_data",
        ),
    ),
    "neon": ManagedServer(
        {
            "archive_mode": "off", "fsync": "off", "full_page_writes": "off", "restart_after_crash": "off",
            "max_connections": "112", "wal_level": "replica", "wal_sender_timeout": "10000", "listen_addresses": "",
            "idle_in_transaction_session_timeout": "300000", "max_slot_wal_keep_size": "1024", "wal_keep_size": "0",
            "neon.safekeepers": "none", "neon.max_cluster_size": "8589934592kB",
        },
        (
            "CREATE ROLE cloud_admin SUPERUSER LOGIN", "CREATE ROLE neon_superuser CREATEDB CREATEROLE REPLICATION BYPASSRLS",
            "GRANT pg_monitor, pg_read_all_data, pg_write_all_data TO neon_superuser",
            "CREATE ROLE customer LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS IN ROLE neon_superuser",
        ),
        last=("ALTER SYSTEM SET synchronous_standby_names = 'walproposer'",),
    ),
}  # fmt: skip
