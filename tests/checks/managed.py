"""What managed services show of themselves: the settings that the provider chose, and what no customer's role may see."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Access, Activity, Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Reason, Unobserved

# As the documentation of each and its customers' `SELECT name, setting FROM pg_settings` show them; in each setting's own unit.
PROVIDERS: dict[str, dict[str, str]] = {
    "rds": {
        "archive_mode": "on", "archive_command": "/etc/rds/dbbin/pgscripts/rds_wal_archive %p", "archive_timeout": "300",
        "log_line_prefix": "%t:%r:%u@%d:[%p]:", "logging_collector": "on", "log_destination": "stderr",
        "shared_preload_libraries": "rdsutils,pg_stat_statements", "huge_pages": "on", "max_connections": "901",
        "shared_buffers": "494000", "effective_cache_size": "988000", "wal_keep_size": "2048", "max_wal_size": "6144",
        "min_wal_size": "192", "ssl": "on", "autovacuum_max_workers": "3", "data_checksums": "on", "hot_standby_feedback": "off",
        "log_min_duration_statement": "-1", "track_io_timing": "off", "checkpoint_timeout": "300", "wal_compression": "on",
        "password_encryption": "scram-sha-256", "log_timezone": "UTC", "maintenance_work_mem": "260000",
        "log_autovacuum_min_duration": "10000", "autovacuum_vacuum_cost_limit": "1200",
        "idle_in_transaction_session_timeout": "86400000",
    },
    "cloudsql": {
        "archive_mode": "on", "archive_command": "(disabled)", "archive_timeout": "300", "max_connections": "500",
        "shared_buffers": "1310720", "effective_cache_size": "2621440", "log_line_prefix": "%m [%p]: [%l-1] db=%d,user=%u ",
        "logging_collector": "on", "data_checksums": "on", "ssl": "on", "wal_level": "replica", "max_wal_size": "1504",
        "checkpoint_completion_target": "0.9", "log_min_duration_statement": "-1", "track_io_timing": "off",
        "shared_preload_libraries": "pg_stat_statements", "password_encryption": "md5", "huge_pages": "off",
        "restart_after_crash": "on", "synchronous_standby_names": "",
    },
    "supabase": {
        "archive_mode": "on", "archive_command": "/usr/bin/admin-mgr wal-push %p >> /var/log/wal-g/wal-push.log 2>&1",
        "archive_timeout": "120", "wal_level": "logical", "max_connections": "60", "max_slot_wal_keep_size": "4096",
        "shared_buffers": "28672", "effective_cache_size": "49152", "maintenance_work_mem": "32768",
        "statement_timeout": "120000",
        "shared_preload_libraries": "pg_stat_statements, pgaudit, plpgsql, plpgsql_check, pg_cron, pg_net, auto_explain",
        "log_line_prefix": "%h %m [%p] %q%u@%d ", "log_min_duration_statement": "-1", "data_checksums": "off", "ssl": "on",
        "max_wal_senders": "5", "max_replication_slots": "5", "track_io_timing": "off", "logging_collector": "on",
        "auto_explain.log_min_duration": "10000", "checkpoint_completion_target": "0.9", "max_wal_size": "4096",
        "hot_standby_feedback": "off", "password_encryption": "scram-sha-256", "huge_pages": "off",
    },
    "neon": {
        "archive_mode": "off", "fsync": "off", "full_page_writes": "off", "wal_log_hints": "off", "max_connections": "112",
        "synchronous_standby_names": "walproposer", "synchronous_commit": "on", "restart_after_crash": "off",
        "shared_buffers": "16384",
        "wal_level": "replica", "max_wal_senders": "10", "max_replication_slots": "10", "hot_standby": "off",
        "data_checksums": "off",
        "shared_preload_libraries": "neon,pg_stat_statements", "log_min_duration_statement": "-1", "log_line_prefix": "%m [%p] ",
        "effective_cache_size": "131072", "max_wal_size": "1024", "wal_sender_timeout": "10000",
        "password_encryption": "scram-sha-256",
        "ssl": "off", "listen_addresses": "*", "logging_collector": "off", "idle_in_transaction_session_timeout": "300000",
        "max_slot_wal_keep_size": "1024", "wal_keep_size": "0", "huge_pages": "off", "track_io_timing": "off",
        "min_wal_size": "80",
    },
}  # fmt: skip
PROVIDERS["aurora"] = {
    **PROVIDERS["rds"], "archive_mode": "off", "archive_command": "(disabled)", "full_page_writes": "off", "fsync": "on",
    "max_wal_size": "1024", "max_connections": "5000", "wal_level": "replica",
}  # fmt: skip


def as_managed(evidence: Evidence, provider: str) -> Evidence:
    """The evidence as a customer's role with pg_monitor gets it there."""
    settings, server = evidence.get(Settings), evidence.get(Server)
    # Servers of tests do without fsync.
    chosen = {"fsync": "on", **PROVIDERS[provider]}
    entries = tuple(
        msgspec.structs.replace(entry, value=chosen[entry.name], source="configuration file")
        if entry.name in chosen
        else entry
        for entry in settings.entries
    )
    replication = evidence.get(Replication)
    archiver = replication.archiver if provider in {"rds", "supabase", "cloudsql"} else None
    return msgspec.structs.replace(
        evidence,
        server=msgspec.structs.replace(server, flavour=provider, user_sees="monitor"),
        settings=msgspec.structs.replace(settings, entries=entries),
        replication=msgspec.structs.replace(replication, archiver=archiver, standbys=(), standbys_hidden=False),
        activity=evidence.get(Activity),
        access=evidence.access if isinstance(evidence.access, Access) else Unobserved(Reason.NOT_PERMITTED),
    )
