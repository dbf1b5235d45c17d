from __future__ import annotations

import pytest

from checks.evidence.database.facts import Settings
from checks.evidence.database.observe import observe_database
from checks.evidence.database.shown import hidden_value, keeps_value
from tests.servers import Database


def _settings(database: Database, user: str = "postgres") -> tuple[Settings, tuple[str, ...]]:
    evidence = observe_database(database.server.dsn(database.name, user))
    assert isinstance(evidence.settings, Settings)
    return evidence.settings, evidence.notices


def test_our_own_settings_do_not_appear(database: Database) -> None:
    settings, notices = _settings(database)
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert settings.by_name[name].value == "0"
        assert settings.by_name[name].source == "default"
    assert settings.by_name["search_path"].value == '"$user", public'
    assert settings.by_name["max_parallel_workers_per_gather"].value == "2"
    assert settings.by_name["track_io_timing"].value == "on"
    assert settings.by_name["shared_buffers"].unit == "8kB"
    assert settings.by_name["shared_preload_libraries"].value == "pg_stat_statements"
    assert "transaction_read_only" not in settings.by_name
    assert notices == ()


def test_settings_of_roles_and_databases_stand_apart(database: Database) -> None:
    database.execute(
        "DROP ROLE IF EXISTS r_app, r_admin; CREATE ROLE r_app LOGIN; CREATE ROLE r_admin LOGIN REPLICATION",
        f"ALTER DATABASE \"{database.name}\" SET statement_timeout = '30s'",
        "ALTER ROLE r_app SET statement_timeout = '5s'; ALTER ROLE r_app SET hnsw.ef_search = 100",
        f"ALTER ROLE r_app IN DATABASE \"{database.name}\" SET lock_timeout = '2s'",
    )
    try:
        settings, notices = _settings(database)
        assert settings.value("statement_timeout", "r_app", database.name) == "5s"
        assert settings.value("statement_timeout", "postgres", database.name) == "30s"
        assert settings.value("lock_timeout", "r_app", database.name) == "2s"
        assert settings.value("hnsw.ef_search", "r_app") == "100"
        assert settings.value("lock_timeout", "postgres", database.name) == "0"
        assert {"r_app", "r_admin", "postgres"} <= set(settings.login_roles)
        assert {"r_admin", "postgres"} <= set(settings.privileged_roles)
        assert "r_app" not in settings.privileged_roles
        assert "statement_timeout" not in settings.by_name
        assert any("statement_timeout" in notice for notice in notices)
        as_app, notices = _settings(database, "r_app")
        assert {"statement_timeout", "lock_timeout"}.isdisjoint(as_app.by_name)
        assert any("lock_timeout, statement_timeout" in notice for notice in notices)
    finally:
        database.execute("DROP OWNED BY r_app; DROP ROLE r_app, r_admin")


def test_a_superuser_reads_the_server_wide_value_from_the_files(database: Database) -> None:
    database.execute(
        f"ALTER DATABASE \"{database.name}\" SET statement_timeout = '30s'",
        "ALTER SYSTEM SET statement_timeout = '7min'",
        "SELECT pg_reload_conf()",
    )
    try:
        settings, notices = _settings(database)
        assert settings.by_name["statement_timeout"].value == "420000"
        assert settings.value("statement_timeout", "", database.name) == "30s"
        assert notices == ()
    finally:
        database.execute("ALTER SYSTEM RESET statement_timeout", "SELECT pg_reload_conf()")


def test_archiving_is_told_without_the_command(database: Database) -> None:
    settings, _ = _settings(database)
    assert settings.by_name["archive_command"].value == "(disabled)"
    database.execute("ALTER SYSTEM SET restore_command = 'S3CRET %f'", "SELECT pg_reload_conf()")
    try:
        settings, _ = _settings(database)
        assert settings.by_name["restore_command"].value == "(set)"
        assert settings.by_name["restore_command"].boot_value is None
        assert "S3CRET" not in repr(settings)
    finally:
        database.execute("ALTER SYSTEM RESET restore_command", "SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("work_mem", "integer", True),
        ("wal_level", "enum", True),
        ("search_path", "string", True),
        ("primary_conninfo", "string", False),
        ("ssl_passphrase_command", "string", False),
        ("app.jwt_secret", "string", False),
        ("app.jwt_secret", None, False),
        ("hnsw.ef_search", None, True),
        ("krb_server_keyfile", "string", False),
    ],
)
def test_which_values_are_kept(name: str, kind: str | None, kept: bool) -> None:
    assert keeps_value(name, kind) is kept


def test_what_stands_for_a_hidden_value() -> None:
    assert [hidden_value(*pair) for pair in (("", "x"), ("x", "x"), ("y", "x"), (None, None))] == [
        "(empty)", "(default)", "(set)", "(empty)"
    ]  # fmt: skip
