from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.evidence.database.facts import RoleSetting, Server, Setting, Settings
from checks.figures import bytes_in_words, seconds_in_words
from checks.settings import is_on, milliseconds, server_locations, setting_fix, size_in_bytes
from tests.checks.altered import of_flavour
from tests.checks.survey import survey
from tests.servers import Database


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("0", "ms", 0),
        ("-1", "ms", -1),
        ("250", "ms", 250),
        ("5", "min", 300_000),
        ("5s", "ms", 5_000),
        ("1.5min", "ms", 90_000),
        (" 2 h ", "ms", 7_200_000),
        ("500us", "ms", 0.5),
        ("300", "s", 300_000),
        ("5MB", "ms", None),
        ("soon", "ms", None),
        ("", "ms", None),
    ],
)
def test_durations(value: str, unit: str, expected: float | None) -> None:
    settings = Settings(entries=(Setting("statement_timeout", value, unit),))

    assert milliseconds(settings, "statement_timeout") == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("16384", "8kB", 128 * 1024**2),
        ("-1", "MB", -1),
        ("50", "MB", 50 * 1024**2),
        ("1GB", "8kB", 1024**3),
        ("7", "B", 7),
    ],
)
def test_sizes(value: str, unit: str, expected: float) -> None:
    assert size_in_bytes(Settings(entries=(Setting("shared_buffers", value, unit),)), "shared_buffers") == expected


def test_the_most_specific_value_counts() -> None:
    name = "statement_timeout"
    settings = Settings(
        entries=(Setting(name, "0", "ms"),),
        role_settings=(
            RoleSetting("", "app", name, "1s"),
            RoleSetting("api", "", name, "2s"),
            RoleSetting("api", "app", name, "3000"),
        ),
    )

    found = [
        milliseconds(settings, name, *who) for who in (("api", "app"), ("api", "other"), ("x", "app"), ("x", "other"))
    ]

    assert found == [3_000, 2_000, 1_000, 0]
    assert milliseconds(settings, "no_such_setting") is None


def test_words() -> None:
    assert [bytes_in_words(size) for size in (0, 900, 1536, 10 * 1024**2, 3 * 1024**4)] == [
        "0 bytes", "900 bytes", "1.5 kB", "10 MB", "3.0 TB",
    ]  # fmt: skip
    assert [seconds_in_words(age) for age in (5.2, 600, 9_000, 864_000)] == ["5 s", "10 min", "2.5 h", "10 days"]
    assert [is_on(value) for value in ("on", "TRUE", "off", None)] == [True, True, False, False]


def test_a_fix_runs_and_can_be_undone(database: Database) -> None:
    server = survey(database).get(Server)

    fix = setting_fix(server, "A second.", {"log_min_duration_statement": "1s", "log_line_prefix": "it's \\ %m "})

    for statement in (fix.sql, fix.undo):
        for part in (statement or "").split("; "):
            database.execute(part)


def test_no_container_tells_where_a_providers_server_is_described(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    compose = "services:\n  db:\n    image: postgres:18\n"
    evidence = survey(database, repository({"docker-compose.yml": compose, ".devcontainer/compose.yml": compose}))

    assert [place.path for place in server_locations(evidence)] == ["docker-compose.yml", ".devcontainer/compose.yml"]
    assert server_locations(of_flavour(evidence, "rds")) == ()
