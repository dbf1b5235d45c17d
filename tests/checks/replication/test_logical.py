from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Replication, Server, Slot, Standby
from checks.model import Outcome, Severity
from checks.shadow.server import EmbeddedServer
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

IDENTITY = "replication.no-replica-identity"

PUBLISHED = """
    CREATE TABLE keyed (id bigint PRIMARY KEY);
    CREATE TABLE bare (id bigint);
    CREATE TABLE unique_only (id bigint NOT NULL UNIQUE);
    CREATE TABLE chosen (id bigint NOT NULL, CONSTRAINT chosen_id UNIQUE (id));
    ALTER TABLE chosen REPLICA IDENTITY USING INDEX chosen_id;
    CREATE TABLE nothing (id bigint PRIMARY KEY);
    ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE whole (id bigint);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE TABLE parted (id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
    CREATE TABLE keyed_parts (id bigint, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE keyed_parts_1 PARTITION OF keyed_parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE kept (id bigint);
    CREATE UNLOGGED TABLE passing (id bigint);
    CREATE PUBLICATION changes FOR TABLE keyed, bare, unique_only, chosen, nothing, whole, parted, keyed_parts;
    CREATE PUBLICATION added FOR TABLE kept WITH (publish = 'insert');
"""


def test_published_tables_whose_changes_fail(database: Database) -> None:
    database.execute(PUBLISHED)

    result = examine(database, IDENTITY)

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.bare": Severity.HIGH,
        "public.unique_only": Severity.HIGH,
        "public.nothing": Severity.HIGH,
        "public.parted": Severity.HIGH,
        "public.whole": Severity.LOW,
    }
    assert result.examined == 8
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        database.execute("INSERT INTO bare VALUES (1); UPDATE bare SET id = 2")
    fix = finding(result, "public.unique_only").fix.sql
    assert fix == "ALTER TABLE public.unique_only REPLICA IDENTITY USING INDEX unique_only_id_key;"
    database.execute(fix, "INSERT INTO unique_only VALUES (1); UPDATE unique_only SET id = 2")


def test_all_tables_and_none(database: Database) -> None:
    assert examine(database, IDENTITY).outcome is Outcome.NOT_APPLICABLE
    database.execute("CREATE TABLE bare (id int); CREATE UNLOGGED TABLE passing (id int)")
    database.execute("CREATE PUBLICATION everything FOR ALL TABLES")

    assert names(examine(database, IDENTITY)) == {"public.bare"}


@pytest.fixture
def publisher(publishing_server: EmbeddedServer) -> Iterator[Database]:
    database = Database(publishing_server)
    try:
        yield database
    finally:
        database.drop()


@pytest.fixture
def subscriber(publisher: Database) -> Iterator[Database]:
    """A database that subscribes to two tables of `publisher`, on the same server."""
    database, other = publisher, Database(publisher.server)
    tables = "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE quiet (id int PRIMARY KEY);"
    other.execute(tables)
    database.execute(tables, "CREATE PUBLICATION told FOR TABLE users, quiet")
    slot = f"s_{database.name}"
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    source = f"host={database.server.socket_folder} port={database.server.port} user=postgres dbname={database.name}"
    other.execute(
        f"CREATE SUBSCRIPTION mirror CONNECTION '{source}' PUBLICATION told "
        f"WITH (create_slot = false, slot_name = '{slot}', copy_data = false)"
    )
    try:
        yield other
    finally:
        other.execute("ALTER SUBSCRIPTION mirror DISABLE", "ALTER SUBSCRIPTION mirror SET (slot_name = NONE)")
        other.execute("DROP SUBSCRIPTION mirror")
        _until(database, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = %s", slot)
        database.execute(f"SELECT pg_drop_replication_slot('{slot}')")
        other.drop()


def _until(database: Database, question: str, *values: object) -> None:
    deadline = time.monotonic() + 20
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        while connection.execute(question.encode(), values).fetchone() != (True,):
            assert time.monotonic() < deadline, question
            time.sleep(0.05)


@pytest.mark.since(15)
def test_a_subscription_that_meets_an_error(publisher: Database, subscriber: Database) -> None:
    _until(subscriber, "SELECT pid IS NOT NULL FROM pg_stat_subscription WHERE subname = 'mirror'")
    assert examine(subscriber, "replication.subscription-broken").outcome is Outcome.PASSED

    subscriber.execute("INSERT INTO users VALUES (1)")
    publisher.execute("INSERT INTO users VALUES (1)")
    _until(subscriber, "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'mirror'")

    (found,) = examine(subscriber, "replication.subscription-broken").findings
    assert found.subject.path == ("mirror",)
    assert found.observed["apply_errors"] >= 1


def test_a_subscription_that_is_off(publisher: Database, subscriber: Database) -> None:
    subscriber.execute("ALTER SUBSCRIPTION mirror DISABLE")

    (found,) = examine(subscriber, "replication.subscription-broken").findings

    assert found.severity is Severity.MEDIUM
    assert found.fix.sql == "ALTER SUBSCRIPTION mirror ENABLE;"
    assert examine(publisher, "replication.subscription-broken").outcome is Outcome.NOT_APPLICABLE


def test_slots_that_a_failover_forgets(database: Database) -> None:
    evidence = survey(database)
    standby = Standby("standby1", "streaming", "async", 0, 0.0)
    slots = (
        Slot("cdc", "logical", True, False, "reserved", 0, plugin="pgoutput"),
        Slot("kept", "logical", True, False, "reserved", 0, plugin="pgoutput", failover=True),
        Slot("standby1", "physical", True, False, "reserved", 0),
    )
    replication = msgspec.structs.replace(evidence.get(Replication), slots=slots, standbys=(standby,))
    eighteen = msgspec.structs.replace(evidence.get(Server), version_num=180000)
    evidence = msgspec.structs.replace(evidence, replication=replication, server=eighteen)

    assert names(conclude(evidence, "replication.slot-lost-at-failover")) == {"cdc"}

    sixteen = msgspec.structs.replace(eighteen, version_num=160000)
    older = msgspec.structs.replace(evidence, server=sixteen)
    assert conclude(older, "replication.slot-lost-at-failover").outcome is Outcome.NOT_APPLICABLE
    alone = msgspec.structs.replace(evidence, replication=msgspec.structs.replace(replication, standbys=()))
    assert conclude(alone, "replication.slot-lost-at-failover").outcome is Outcome.NOT_APPLICABLE


def test_what_logical_replication_leaves_out(database: Database) -> None:
    database.execute(
        "CREATE TABLE counted (id bigserial PRIMARY KEY); CREATE TABLE keyed (id uuid PRIMARY KEY);"
        "CREATE PUBLICATION told FOR TABLE counted, keyed; CREATE PUBLICATION uncounted FOR TABLE keyed"
    )

    result = examine(database, "replication.unreplicated-parts")

    assert names(result) == {"told"}
    assert finding(result, "told").severity is Severity.NOTE


@pytest.mark.vector
def test_vectors_that_every_subscriber_gets(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION vector; CREATE TABLE chunks (id uuid PRIMARY KEY, v vector(256));"
        "INSERT INTO chunks SELECT gen_random_uuid(), array_fill(0.5, ARRAY[256])::vector FROM generate_series(1, 500);"
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "ANALYZE",
    )

    evidence = survey(database, limits={"published_vector_bytes": 100_000})

    (found,) = conclude(evidence, "replication.unreplicated-parts").findings
    assert found.observed["tables"] == ["public.chunks"]
    assert examine(database, "replication.unreplicated-parts").outcome is Outcome.PASSED
