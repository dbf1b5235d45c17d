from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Archiver, Replication, Server, Settings, Standby
from checks.model import Outcome, Reason, Severity
from tests.checks.survey import conclude, examine, survey
from tests.servers import Database, PrimaryAndStandby, start_chosen, wait_until_set

NAME = "replication.archiving"


def test_off(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    (found,) = examine(database, NAME, repository({"README": "nothing"})).findings

    assert found.subject.path == ("archive_mode",)
    assert found.severity is Severity.HIGH


def test_a_receiver_archives_without_archive_mode(database: Database) -> None:
    evidence = survey(database)
    receiver = (Standby("barman_receive_wal", "streaming", "async", None, None),)
    replication = msgspec.structs.replace(evidence.get(Replication), standbys=receiver)

    assert conclude(msgspec.structs.replace(evidence, replication=replication), NAME).outcome is Outcome.PASSED


def test_a_provider_archives_by_itself(database: Database) -> None:
    evidence = survey(database)
    server = msgspec.structs.replace(evidence.get(Server), flavour="aurora")

    result = conclude(msgspec.structs.replace(evidence, server=server), NAME)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.MANAGED_SERVICE_HIDES)


def test_a_standby_does_not_archive(primary_and_standby: PrimaryAndStandby) -> None:
    assert examine(primary_and_standby.standby.dsn(), NAME).outcome is Outcome.UNKNOWN


@pytest.mark.usefixtures("server")
def test_an_archiver_that_works_and_one_that_fails(pytestconfig: pytest.Config) -> None:
    settings = {"archive_mode": "on", "archive_command": "true"}
    with start_chosen(pytestconfig, settings) as server, psycopg.connect(server.dsn(), autocommit=True) as connection:
        _switch(connection, "archived_count")
        assert examine(server.dsn(), NAME).outcome is Outcome.PASSED

        connection.execute("ALTER SYSTEM SET archive_command = 'false'")
        connection.execute("SELECT pg_reload_conf()")
        _switch(connection, "failed_count")
        (found,) = examine(server.dsn(), NAME).findings
        assert found.title.startswith("Archiving fails: ")
        assert found.severity is Severity.HIGH
        (found,) = examine(server.dsn(), NAME, limits={"archiver_failing_s": 0}).findings
        assert found.severity is Severity.CRITICAL

        connection.execute("ALTER SYSTEM SET archive_command = ''")
        connection.execute("SELECT pg_reload_conf()")
        wait_until_set(server.dsn(), "archive_command", "")
        (found,) = examine(server.dsn(), NAME).findings
        assert "neither archive_command nor archive_library" in found.title


@pytest.mark.parametrize(
    ("unarchived", "severity", "words"),
    [
        (20_000, None, ""),
        (5_000_000, Severity.MEDIUM, "archive_timeout is not set"),
        (500_000_000, Severity.HIGH, "leaves 477 MB of WAL waiting"),
    ],
)
def test_what_waits_for_the_archiver(
    database: Database, unarchived: int, severity: Severity | None, words: str
) -> None:
    evidence = survey(database)
    settings, replication = evidence.get(Settings), evidence.get(Replication)
    values = {"archive_mode": "on", "archive_command": "(set)"}
    entries = tuple(
        msgspec.structs.replace(entry, value=values.get(entry.name, entry.value)) for entry in settings.entries
    )
    archived = evidence.get(Server).observed_at - dt.timedelta(hours=3)
    evidence = msgspec.structs.replace(
        evidence,
        settings=msgspec.structs.replace(settings, entries=entries),
        replication=msgspec.structs.replace(replication, archiver=Archiver(7, 0, archived, None, unarchived)),
    )

    result = conclude(evidence, NAME)

    assert [found.severity for found in result.findings] == ([severity] if severity else [])
    assert all(words in found.title for found in result.findings)


def _switch(connection: psycopg.Connection[tuple[object, ...]], counter: str) -> None:
    """Completes a WAL segment and waits until the archiver has tried it."""
    connection.execute("CREATE TABLE IF NOT EXISTS written (id int)")
    connection.execute("INSERT INTO written VALUES (1)")
    connection.execute("SELECT pg_switch_wal()")
    for _ in range(150):
        row = connection.execute(f"SELECT {counter} FROM pg_stat_archiver".encode()).fetchone()
        if row and row[0]:
            return
        time.sleep(0.1)
    raise AssertionError(f"{counter} stayed 0")
