"""Which settings have their value kept. Free texts may hold secrets, so that only a closed list of them is."""

from __future__ import annotations

from collections.abc import Iterable

SET, EMPTY, DEFAULT, DISABLED = "(set)", "(empty)", "(default)", "(disabled)"

_TEXTS = frozenset(
    """
    DateStyle TimeZone createrole_self_grant debug_io_direct default_table_access_method default_tablespace
    default_text_search_config lc_messages lc_monetary lc_numeric lc_time local_preload_libraries log_connections log_destination
    log_line_prefix log_timezone primary_slot_name recovery_target_timeline restrict_nonsystem_relation_kind role
    search_path server_encoding server_version session_preload_libraries shared_preload_libraries
    synchronous_standby_names synchronized_standby_slots temp_tablespaces timezone_abbreviations wal_consistency_checking
    hnsw.iterative_scan ivfflat.iterative_scan pgrst.db_schemas pgrst.db_anon_role
    """.lower().split()
)
_COMMANDS = frozenset(
    {"archive_command", "archive_library", "restore_command", "archive_cleanup_command", "recovery_end_command"}
)
_LIBRARIES = ("hnsw.", "ivfflat.", "auto_explain.", "pg_stat_statements.", "pg_trgm.", "vchordrq.", "diskann.")


def keeps_value(name: str, kind: str | None) -> bool:
    """`kind` is pg_settings.vartype, None where the server does not know the name."""
    if kind in {"bool", "integer", "real", "enum"}:
        return True
    return name.lower() in _TEXTS or (kind is None and name.lower().startswith(_LIBRARIES))


def is_command(name: str) -> bool:
    return name.lower() in _COMMANDS


def hidden_value(value: str | None, boot_value: str | None) -> str:
    """What stands for a text that is not kept."""
    if not value:
        return EMPTY
    return DEFAULT if value == boot_value else SET


def shown_settings(settings: Iterable[str]) -> tuple[str, ...]:
    """`name=value` entries, as in pg_proc.proconfig, with the values that may be kept."""
    pairs = [entry.partition("=") for entry in settings]
    return tuple(f"{name}={value if keeps_value(name, None) else SET}" for name, _, value in pairs)
