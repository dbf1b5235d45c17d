from __future__ import annotations

from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Replication, Slot
from checks.model import Outcome, Severity
from checks.shadow.server import EmbeddedServer
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database, PrimaryAndStandby

MB = 1024**2


@pytest.fixture
def left_behind(primary_and_standby: PrimaryAndStandby) -> Iterator[str]:
    """The primary's DSN, with a slot that nobody reads beside the standby's own and a temporary one."""
    dsn = primary_and_standby.primary.dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('gone', true)")
        connection.execute("SELECT pg_create_physical_replication_slot('passing', true, true)")
        yield dsn
        connection.execute("SELECT pg_drop_replication_slot('gone')")


def test_a_slot_that_nobody_reads(left_behind: str) -> None:
    result = examine(left_behind, "replication.inactive-slot")

    (found,) = result.findings
    assert found.subject.path == ("gone",)
    assert found.fix.sql == "SELECT pg_drop_replication_slot('gone');"
    assert found.observed["retained_bytes"] is not None
    assert found.observed["retention_limit_bytes"] is None


def test_a_slot_that_really_holds_wal(left_behind: str) -> None:
    """The primary's files of WAL are 4 MB each, and it was asked to keep 64 MB of them at most."""
    limits = {"slot_retained_bytes": 8 * MB, "wal_files_bytes": 8 * MB, "wal_files_factor": 0.1}
    with psycopg.connect(left_behind, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '64MB'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            for _ in range(6):
                connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
                connection.execute("SELECT pg_switch_wal()")
            evidence = survey(left_behind, limits=limits)
        finally:
            connection.execute("ALTER SYSTEM RESET max_wal_size")
            connection.execute("SELECT pg_reload_conf()")

    (found,) = conclude(evidence, "replication.inactive-slot").findings
    assert (found.subject.path, found.severity) == (("gone",), Severity.HIGH)
    assert found.observed["retained_bytes"] > 16 * MB
    (files,) = conclude(evidence, "replication.wal-size").findings
    assert files.observed["wal_bytes"] >= found.observed["retained_bytes"]
    assert files.observed["slot"] == "gone"


def test_retention_without_limit(left_behind: str) -> None:
    evidence = survey(left_behind)

    (found,) = conclude(evidence, "replication.unlimited-slot-retention").findings
    assert found.severity is Severity.HIGH
    assert found.observed["inactive_slots"] == ["gone"]

    with psycopg.connect(left_behind, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            evidence = survey(left_behind)
        finally:
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")
    assert conclude(evidence, "replication.unlimited-slot-retention").outcome is Outcome.PASSED
    (found,) = conclude(evidence, "replication.inactive-slot").findings
    assert found.severity is Severity.LOW
    assert found.observed["retention_limit_bytes"] == 1024**3


def test_how_bad_a_slot_is(database: Database) -> None:
    def slot(name: str, size: int, **other: object) -> Slot:
        return msgspec.structs.replace(
            Slot(name, "logical", False, False, "reserved", size, plugin="pgoutput"), **other
        )

    evidence = survey(database)
    slots = (
        slot("full", 20 * 1024**3),
        slot("large", 2 * 1024**3),
        slot("small", 1024),
        slot("lost", 1024, wal_status="lost"),
        slot("copied", 20 * 1024**3, synced=True),
        slot("read", 20 * 1024**3, active=True),
    )
    replication = msgspec.structs.replace(evidence.get(Replication), slots=slots)

    result = conclude(msgspec.structs.replace(evidence, replication=replication), "replication.inactive-slot")

    assert {found.subject.path[0]: found.severity for found in result.findings} == {
        "full": Severity.CRITICAL,
        "large": Severity.HIGH,
        "small": Severity.HIGH,
    }
    assert all("a logical subscriber" in found.title for found in result.findings)


def test_no_slots(database: Database) -> None:
    for name in ("replication.inactive-slot", "replication.unlimited-slot-retention"):
        result = examine(database, name)
        assert (result.outcome, result.fact) == (Outcome.NOT_APPLICABLE, "no replication slots")
        assert names(result) == set()


def test_a_slot_whose_wal_was_removed(publishing_server: EmbeddedServer) -> None:
    dsn = publishing_server.dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('left', true)")
        connection.execute("SELECT pg_create_physical_replication_slot('fresh', false)")
        try:
            for _ in range(6):
                connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))")
                connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
            evidence = survey(dsn)
        finally:
            connection.execute("SELECT pg_drop_replication_slot('left'), pg_drop_replication_slot('fresh')")

    (found,) = conclude(evidence, "replication.slot-losing-wal").findings
    assert (found.subject.path, found.severity) == (("left",), Severity.HIGH)
    assert "is lost" in found.title
    assert "left" not in names(conclude(evidence, "replication.inactive-slot"))


def test_a_slot_that_is_about_to_lose_its_wal(database: Database) -> None:
    evidence = survey(database)
    slots = (
        Slot("behind", "logical", True, False, "unreserved", 5 * 1024**3),
        Slot("well", "logical", True, False, "extended", 5 * 1024**3),
        Slot("conflicted", "logical", False, False, "reserved", 0, conflicting=True),
        Slot("given up", "physical", False, False, None, None, invalidation_reason="idle_timeout"),
    )
    replication = msgspec.structs.replace(evidence.get(Replication), slots=slots)

    result = conclude(msgspec.structs.replace(evidence, replication=replication), "replication.slot-losing-wal")

    assert names(result) == {"behind", "conflicted", '"given up"'}
