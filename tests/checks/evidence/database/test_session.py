from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from checks.errors import TargetError
from checks.evidence.database import gaps, session
from checks.evidence.database.dsn import understand
from checks.evidence.database.query import query
from checks.evidence.database.server import check_version
from checks.evidence.database.session import Cancelled, ConnectionLost, Session
from checks.model import Reason
from tests.servers import Database


@pytest.fixture
def reader(database: Database) -> Iterator[Session]:
    with Session(understand(database.dsn)) as made:
        yield made


def test_every_transaction_is_read_only_and_has_its_manners(reader: Session) -> None:
    names = ("transaction_read_only", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
             "search_path", "max_parallel_workers_per_gather", "application_name", "jit")  # fmt: skip
    with reader.transaction():
        [row] = reader.rows("SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in names))
    assert tuple(row) == ("on", "5s", "200ms", "30s", "pg_catalog", "0", "pgsurveyor", "off")
    with reader.transaction({}, ends=True), pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.rows("CREATE TABLE t (id int)")
    with reader.transaction({}):
        [row] = reader.rows("SELECT current_setting('search_path') AS search_path")
    assert row.search_path != "pg_catalog"


def test_blocks_with_the_same_settings_share_a_transaction(reader: Session) -> None:
    def started() -> object:
        return reader.rows("SELECT now() AS at")[0].at

    with reader.transaction():
        first = started()
    with reader.transaction():
        assert started() == first
    with reader.transaction(ends=True):
        assert started() == first
    with reader.transaction():
        second = started()
    assert second != first
    with pytest.raises(psycopg.errors.DivisionByZero), reader.transaction():
        reader.rows("SELECT 1 / 0")
    with reader.transaction():
        assert started() not in {first, second}


def test_what_the_server_refuses_is_no_rollback_in_its_counters(database: Database) -> None:
    with Session(understand(database.dsn)) as reader:
        for _ in range(3):
            with pytest.raises(psycopg.errors.UndefinedTable), reader.transaction({}, ends=True, may_fail=True):
                reader.check_single("SELECT * FROM nowhere")
        with reader.transaction({}, ends=True, may_fail=True):
            assert reader.rows("SELECT 1 AS one")[0].one == 1
        with reader.transaction({}, ends=True), pytest.raises(psycopg.errors.InvalidSavepointSpecification):
            reader.rows("ROLLBACK TO SAVEPOINT pgsurveyor")
    assert _rolled_back(database) == 1


def _rolled_back(database: Database) -> int:
    """Transactions, once the first has been counted."""
    with psycopg.connect(database.server.dsn("postgres"), autocommit=True) as connection:
        for _ in range(100):
            row = connection.execute(
                "SELECT xact_rollback FROM pg_stat_database WHERE datname = %s", [database.name]
            ).fetchone()
            if row is not None and row[0]:
                return int(row[0])
            time.sleep(0.05)
    raise AssertionError("nothing was counted")


def test_one_snapshot(reader: Session, database: Database) -> None:
    with reader.transaction(one_snapshot=True):
        reader.rows("SELECT 1 AS a")
        database.execute("CREATE TABLE later (id int)")
        assert not reader.rows("SELECT 1 AS a FROM pg_class WHERE relname = 'later'")
    with reader.transaction():
        assert reader.rows("SELECT 1 AS a FROM pg_class WHERE relname = 'later'")


def test_the_server_parses_one_statement_and_no_more(reader: Session) -> None:
    with reader.transaction():
        reader.check_single("SELECT $1::int")
    with pytest.raises(psycopg.errors.SyntaxError), reader.transaction():
        reader.check_single("SELECT 1; SELECT 2")


def test_what_runs_is_cancelled_within_a_second(database: Database) -> None:
    cancelled = threading.Event()
    with Session(understand(database.dsn), cancelled) as reader:
        threading.Timer(0.2, cancelled.set).start()
        begun = time.monotonic()
        with pytest.raises(Cancelled), reader.transaction():
            reader.rows("SELECT pg_sleep(4)")
        assert time.monotonic() - begun < 3.5
        with pytest.raises(Cancelled), reader.transaction():
            pass
        with reader.transaction({}, ends=True, even_if_cancelled=True):
            assert reader.rows("SELECT 1 AS one")[0].one == 1
    running = database.connect().execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)' AND state = 'active'"
    )
    assert running.fetchone() == (0,)


def test_a_lost_connection(reader: Session, database: Database) -> None:
    with reader.transaction():
        [row] = reader.rows("SELECT pg_backend_pid() AS pid")
    database.connect().execute("SELECT pg_terminate_backend(%s)", [row.pid])
    database.wait_until(f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {row.pid}")
    with pytest.raises(ConnectionLost), reader.transaction():
        reader.rows("SELECT 1 AS one")
    with pytest.raises(ConnectionLost), reader.transaction():
        pass


def test_a_server_that_stops_answering_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "STATEMENT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(session, "_GRACE_S", 0.3)
    with Session(understand(database.dsn)) as reader:
        begun = time.monotonic()
        with pytest.raises(ConnectionLost), reader.transaction({}):
            reader.rows("SELECT pg_sleep(60)")
        assert time.monotonic() - begun < 30


def test_a_dsn_that_leads_to_an_older_server(reader: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    check_version(reader)
    for number, told in (
        (130012, "runs PostgreSQL 13; 14 is the oldest"),
        (90624, "runs PostgreSQL 9.6"),
        (0, "does not tell"),
    ):
        monkeypatch.setattr(Session, "version_num", number)
        with pytest.raises(TargetError, match=told):
            check_version(reader)


def test_a_query_has_variants_by_major_and_a_marker() -> None:
    assert "pg_get_loaded_modules" not in query("extensions", 17)
    assert "pg_get_loaded_modules" in query("extensions", 18)
    assert query("extensions", 99) == query("extensions", 18)
    assert query("tables", 14).startswith("WITH /* pgsurveyor */ RECURSIVE")
    assert query("statements_info", 14, pg_stat_statements='"x".y', pg_stat_statements_info="z").count('"x".y') == 1
    with pytest.raises(KeyError):
        query("nothing", 14)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT * FROM pg_authid", Reason.NOT_PERMITTED),
        ("SELECT * FROM pg_catalog.not_there", Reason.SERVER_VERSION),
        ("SELECT not_there() ", Reason.SERVER_VERSION),
        ("SELECT 1 / 0", Reason.NOT_RUN),
    ],
)
def test_what_errors_mean(database: Database, statement: str, reason: Reason) -> None:
    database.execute("DROP ROLE IF EXISTS r_nobody; CREATE ROLE r_nobody LOGIN")
    try:
        with Session(understand(database.server.dsn(database.name, "r_nobody"))) as reader:
            with pytest.raises(psycopg.Error) as raised, reader.transaction():
                reader.rows(statement)
            gap = gaps.gap(raised.value, "GRANT it")
        assert gap.reason == reason
        assert gap.unlock
    finally:
        database.execute("DROP ROLE r_nobody")


def test_no_start_up_option_is_sent(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the server first: a proxy in between reads the start-up packet."""
    monkeypatch.delenv("PGOPTIONS", raising=False)
    path = f"{database.server.socket_folder}/.s.PGSQL.{database.server.port}"
    packets: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def pass_on() -> None:
            peer, _ = listening.accept()
            packets.append(peer.recv(4096))
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(path)
                there.sendall(packets[0])
                there.recv(1)
            peer.close()

        thread = threading.Thread(target=pass_on)
        thread.start()
        with pytest.raises(TargetError):
            Session(understand(f"host=127.0.0.1 port={listening.getsockname()[1]} user=postgres dbname={database.name} "
                               "sslmode=disable gssencmode=disable"))  # fmt: skip
        thread.join()
    sent = packets[0][8:].split(b"\x00")
    names = {name.decode() for name in sent[0::2] if name}
    assert names == {"user", "database", "application_name", "client_encoding"}
