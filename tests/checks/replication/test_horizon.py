from __future__ import annotations

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Activity, HorizonHolder, PreparedTransaction
from checks.model import Outcome, Severity
from checks.shadow.server import EmbeddedServer
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database


@pytest.fixture
def prepared(publishing_server: EmbeddedServer) -> Database:
    return Database(publishing_server)


def test_a_transaction_that_nobody_ends(prepared: Database) -> None:
    prepared.execute("CREATE TABLE t (id int)")
    with psycopg.connect(prepared.dsn) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PREPARE TRANSACTION 'it''s lost'")
    try:
        evidence = survey(prepared, limits={"prepared_transaction_s": 0})
        assert examine(prepared, "replication.orphan-prepared-transaction").outcome is Outcome.PASSED

        (found,) = conclude(evidence, "replication.orphan-prepared-transaction").findings
        assert (found.subject.path, found.severity) == (("it's lost",), Severity.HIGH)
        assert found.fix.sql is not None
        old = msgspec.structs.replace(
            evidence.get(Activity), prepared=(PreparedTransaction("x", prepared.name, "postgres", 90_000),)
        )
        (found,) = conclude(
            msgspec.structs.replace(evidence, activity=old), "replication.orphan-prepared-transaction"
        ).findings
        assert found.severity is Severity.CRITICAL
    finally:
        prepared.execute("ROLLBACK PREPARED 'it''s lost'")
        prepared.drop()


def test_a_server_that_takes_no_prepared_transactions(database: Database) -> None:
    assert examine(database, "replication.orphan-prepared-transaction").outcome is Outcome.NOT_APPLICABLE


def test_a_slot_that_holds_the_system_catalogs(prepared: Database) -> None:
    slot = f"h_{prepared.name}"
    prepared.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")
    try:
        with prepared.connect() as connection:
            for _ in range(8):
                connection.execute("SELECT pg_current_xact_id()")
        healthy = survey(prepared, limits={"horizon_xids": 1_000})
        assert conclude(healthy, "replication.slot-holds-horizon").outcome is Outcome.PASSED
        evidence = survey(prepared, limits={"horizon_xids": 5})
        result = conclude(evidence, "replication.slot-holds-horizon")
        assert slot in names(result)
        assert finding(result, slot).severity is Severity.LOW
        assert finding(result, slot).observed["kind"] == "catalog slot"
    finally:
        prepared.execute(f"SELECT pg_drop_replication_slot('{slot}')")
        prepared.drop()


def test_how_far_the_horizon_is_held(database: Database) -> None:
    evidence = survey(database)
    holders = (
        HorizonHolder("slot", "cdc", 2_000_000),
        HorizonHolder("slot", "gone", 200_000_000),
        HorizonHolder("slot", "near", 1_000),
        HorizonHolder("standby", "reports", 1_500_000, 7_000.0),
        HorizonHolder("session", "api", 5_000_000),
    )
    activity = msgspec.structs.replace(evidence.get(Activity), horizon=holders)

    result = conclude(msgspec.structs.replace(evidence, activity=activity), "replication.slot-holds-horizon")

    assert {found.subject.path[0]: found.severity for found in result.findings} == {
        "cdc": Severity.MEDIUM,
        "gone": Severity.HIGH,
        "reports": Severity.MEDIUM,
    }
    assert (result.examined, result.of) == (4, 4)
    none = msgspec.structs.replace(activity, horizon=holders[-1:])
    result = conclude(msgspec.structs.replace(evidence, activity=none), "replication.slot-holds-horizon")
    assert result.outcome is Outcome.NOT_APPLICABLE
