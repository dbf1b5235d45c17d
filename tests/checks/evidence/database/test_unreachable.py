from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from checks.errors import TargetError
from checks.evidence.database.dsn import understand
from checks.evidence.database.observe import observe_database
from checks.evidence.database.session import Session
from checks.evidence.database.unreachable import unreachable
from checks.shadow.server import EmbeddedServer


def _failure(dsn: str) -> TargetError:
    with pytest.raises(TargetError) as raised:
        observe_database(dsn)
    assert raised.value.hint
    assert "s3cret" not in str(raised.value) + raised.value.hint
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_unknown_host() -> None:
    assert "host name is not known" in str(_failure("postgresql://u:s3cret@no-such-host.invalid/db"))


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Nobody listens on it, and nobody else can.
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "no server listens" in str(_failure(f"postgresql://u:s3cret@127.0.0.1:{port}/db"))
    assert "no server listens" in str(_failure(f"host={tmp_path} user=u password=s3cret dbname=db"))


def test_a_host_that_does_not_answer(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    begun = time.monotonic()
    failure = _failure(f"postgresql://u:s3cret@127.0.0.1:{port}/db?connect_timeout=2")
    assert "does not answer" in str(failure)
    assert time.monotonic() - begun < 30


def test_connecting_can_be_cancelled(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    begun = time.monotonic()
    evidence = observe_database(f"postgresql://u@127.0.0.1:{port}/db?connect_timeout=60", cancelled=cancelled)
    assert time.monotonic() - begun < 30
    assert evidence.server.reason == "not_run"  # type: ignore[union-attr]


def test_something_else_than_postgresql(listener: socket.socket) -> None:
    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    failure = _failure(f"postgresql://u:s3cret@127.0.0.1:{listener.getsockname()[1]}/db?sslmode=require")
    assert "not a PostgreSQL server" in str(failure)


def test_unknown_database_and_role(server: EmbeddedServer) -> None:
    assert "there is no database nowhere" in str(_failure(server.dsn("nowhere")))
    assert "nobody_here" in str(_failure(server.dsn("postgres", "nobody_here")))


def test_tls_that_the_server_lacks(server: EmbeddedServer) -> None:
    # TLS is never tried over a Unix socket, so that the words of libpq are given to it here.
    error = psycopg.OperationalError("connection failed: server does not support SSL, but SSL was required")
    assert "TLS" in str(unreachable(understand(server.dsn()), error))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('FATAL:  password authentication failed for user "u"', "password of u is wrong"),
        ("fe_sendauth: no password supplied", "asks for a password and none was given"),
        ("FATAL:  sorry, too many clients already", "all connections"),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "all connections"),
        ("FATAL:  the database system is starting up", "starting up"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", database "db", no encryption',
            "does not let u in",
        ),
        ('FATAL:  permission denied for database "db"', "may not connect"),
        ('FATAL:  role "u" is not permitted to log in', "u is a role that may not log in"),
        ("FATAL:  unsupported startup parameter: options", "pooler refuses"),
        ("received invalid response to SSL negotiation: H", "not a PostgreSQL server"),
        ("SSL error: certificate verify failed", "TLS"),
        ("FATAL:  Datenbank s3cret gibt es nicht", "gibt es nicht"),
    ],
)
def test_each_trouble_has_a_line_and_a_hint(words: str, told: str) -> None:
    dsn = understand("postgresql://u:s3cret@h/db")
    error = unreachable(dsn, psycopg.OperationalError(f"connection failed: {words}"))
    assert told in str(error)
    assert error.hint
    assert "s3cret" not in str(error)


def test_wrong_password(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS with_password; CREATE ROLE with_password LOGIN PASSWORD 'right'")
        path = Path(connection.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
        before = path.read_text()
        try:
            path.write_text(f"local all with_password scram-sha-256\n{before}")
            connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + 60
            while "asks for a password" not in (told := _told(server.dsn("postgres", "with_password"))):
                assert time.monotonic() < deadline, told
                time.sleep(0.05)
            assert "password of with_password is wrong" in _told(
                server.dsn("postgres", "with_password") + " password=s3cret"
            )
        finally:
            path.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP ROLE with_password")


def _told(dsn: str) -> str:
    try:
        Session(understand(dsn)).close()
    except TargetError as error:
        return str(error).replace("s3cret", "LEAKED")
    return ""
