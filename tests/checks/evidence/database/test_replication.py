from __future__ import annotations

import time

import psycopg
import pytest

from checks.evidence.database.facts import Access, Catalog, Rates, Replication, Server, Usage
from checks.evidence.database.node import Manner
from checks.evidence.database.observe import observe_database
from checks.evidence.database.replication import _unarchived_bytes
from tests.servers import Database, PrimaryAndStandby


def test_a_primary_tells_of_its_standby(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    with psycopg.connect(primary.dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        deadline = time.monotonic() + 20
        while connection.execute("SELECT replay_lsn FROM pg_stat_replication").fetchone() in (None, (None,)):
            assert time.monotonic() < deadline, "the standby has not told yet where it is"
            time.sleep(0.05)
        major = connection.info.server_version // 10000
    try:
        evidence = observe_database(primary.dsn(), [standby.dsn()])
        replication = evidence.replication
        assert isinstance(replication, Replication)
        [seen] = replication.standbys
        assert (seen.state, seen.sync_state, seen.logical) == ("streaming", "async", False)
        assert seen.replay_lag_bytes is not None
        assert not replication.standbys_hidden
        slots = {slot.name: slot for slot in replication.slots}
        assert slots["standby1"].active
        assert (slots["left_behind"].active, slots["left_behind"].kind) == (False, "physical")
        assert slots["left_behind"].retained_bytes is not None
        assert (slots["left_behind"].inactive_since is not None) == (major >= 17)
        assert replication.archiver is not None
        assert replication.archiver.archived == 0
        assert replication.receiver_state is None
        [replica] = evidence.replicas
        assert replica.server.role == "standby"
        assert isinstance(evidence.server, Server)
        assert replica.server.system_identifier == evidence.server.system_identifier
        assert replica.replication.receiver_state == "streaming"
        assert "dbname" not in replica.name
        assert isinstance(replica.usage, Usage)
        assert replica.settings.value("hot_standby") == "on"
        assert evidence.unreached_replicas == ()
    finally:
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot('left_behind')")


def test_a_standby_as_the_target(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    with psycopg.connect(primary.dsn(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS seen_there; CREATE TABLE seen_there (id serial PRIMARY KEY)")
        connection.execute("INSERT INTO seen_there DEFAULT VALUES")
        written = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert written is not None
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        deadline = time.monotonic() + 10
        while connection.execute("SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", written).fetchone() == (True,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    evidence = observe_database(standby.dsn(), manner=Manner(watch_s=0.2))
    assert isinstance(evidence.rates, Rates)
    assert (evidence.rates.write_transactions_per_s, evidence.rates.wal_bytes_per_s is None) == (None, False)
    assert isinstance(evidence.access, Access)
    assert isinstance(evidence.usage, Usage)
    assert evidence.usage.conflicts is not None
    assert isinstance(evidence.server, Server)
    assert (evidence.server.role, evidence.server.is_standby) == ("standby", True)
    assert isinstance(evidence.catalog, Catalog)
    [sequence] = [sequence for sequence in evidence.catalog.sequences if sequence.name == "seen_there_id_seq"]
    # WAL carries a sequence up to 32 values ahead.
    assert sequence.last_value in range(1, 34)
    assert isinstance(evidence.replication, Replication)
    assert evidence.replication.receiver_state == "streaming"
    assert evidence.replication.replay_paused is False
    assert evidence.replication.replay_lag_bytes == 0
    assert evidence.replication.replay_lag_s is None


def test_publications_and_logical_slots(database: Database) -> None:
    database.execute(
        """CREATE TABLE told (id int PRIMARY KEY); CREATE TABLE untold (id int); CREATE SCHEMA s; CREATE TABLE s.t (id int);
        CREATE PUBLICATION p FOR TABLE told, s.t"""
    )
    evidence = observe_database(database.dsn)
    assert isinstance(evidence.replication, Replication)
    assert isinstance(evidence.catalog, Catalog)
    names = {evidence.catalog.table_by_oid[oid].name for oid in evidence.replication.published_tables}
    assert names == {"told", "t"}
    assert not evidence.replication.publishes_all_tables
    [publication] = evidence.replication.publications
    assert (publication.schemas, len(publication.tables), publication.via_root) == ((), 2, False)
    database.execute(
        "CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root)"
    )
    replication = observe_database(database.dsn).replication
    assert isinstance(replication, Replication)
    assert replication.publishes_all_tables
    everything = replication.publications[0]
    assert (everything.all_tables, everything.publishes, everything.via_root) == (True, ("insert",), True)


@pytest.mark.since(15)
def test_a_schema_that_is_published(database: Database) -> None:
    database.execute(
        """CREATE TABLE told (id int PRIMARY KEY); CREATE TABLE untold (id int); CREATE SCHEMA s; CREATE TABLE s.t (id int);
        CREATE PUBLICATION p FOR TABLE told, TABLES IN SCHEMA s"""
    )
    evidence = observe_database(database.dsn)
    assert isinstance(evidence.replication, Replication)
    assert isinstance(evidence.catalog, Catalog)
    names = {evidence.catalog.table_by_oid[oid].name for oid in evidence.replication.published_tables}
    assert names == {"told", "t"}
    [publication] = evidence.replication.publications
    assert (publication.schemas, len(publication.tables)) == (("s",), 1)


def test_nodes_that_do_not_belong(database: Database, primary_and_standby: PrimaryAndStandby) -> None:
    foreign = primary_and_standby.standby.dsn()
    nowhere = "postgresql://u:s3cret@no-such-host.invalid/db"
    evidence = observe_database(database.dsn, [foreign, nowhere, database.dsn])
    assert evidence.replicas == ()
    assert len(evidence.unreached_replicas) == 3
    assert any("is another cluster" in notice for notice in evidence.notices)
    assert any("host name is not known" in notice for notice in evidence.notices)
    assert any("is the same node again" in notice for notice in evidence.notices)
    assert "s3cret" not in repr(evidence.notices) + repr(evidence.unreached_replicas)


def test_wal_since_the_last_archived_segment() -> None:
    segment = 16 * 1024 * 1024
    assert _unarchived_bytes("000000010000000000000001", segment, 2 * segment) == 0
    assert _unarchived_bytes("000000010000000200000003", segment, (2 << 32) + 10 * segment) == 6 * segment
    assert _unarchived_bytes("00000002.history", segment, segment) is None
    assert _unarchived_bytes(None, segment, segment) is None
    assert _unarchived_bytes("000000010000000000000001", segment, None) is None
