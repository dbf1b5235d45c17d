"""The ways to a server that people have: IPv4 and IPv6, service files, PG* variables, options in the DSN, TLS."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.evidence.database.facts import Catalog, Server, Settings
from checks.evidence.database.observe import DatabaseEvidence, observe_database
from checks.shadow.account import server_account
from checks.shadow.server import EmbeddedServer
from tests.servers import start_major

# Servers of tests all have the same port; there is no TLS on Unix sockets.
LOOPBACK = "127.77.3.9"


@contextlib.contextmanager
def _relayed(server: EmbeddedServer, address: str) -> Iterator[int]:
    """A TCP port of that address that leads to the server's socket: the servers of tests all have the same port."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(str(server.socket_folder / f".s.PGSQL.{server.port}"))
                back = threading.Thread(target=copy, args=(there, self.request), daemon=True)
                back.start()
                copy(self.request, there)
                back.join()

    class Listener(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    with Listener((address, 0), Relay) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def port(server: EmbeddedServer) -> Iterator[int]:
    with _relayed(server, "::1") as found:
        yield found


def _check(evidence: DatabaseEvidence) -> None:
    assert isinstance(evidence.server, Server)
    assert evidence.server.user == "postgres"
    assert isinstance(evidence.catalog, Catalog)
    assert isinstance(evidence.settings, Settings)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_by_address(server: EmbeddedServer, address: str) -> None:
    with _relayed(server, address) as port:
        host = f"[{address}]" if ":" in address else address
        _check(observe_database(f"postgresql+asyncpg://postgres@{host}:{port}/postgres"))


def test_by_a_service_file(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text(f"[shop]\nhost=::1\nport={port}\nuser=postgres\ndbname=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    _check(observe_database("service=shop"))
    monkeypatch.setenv("PGSERVICE", "shop")
    _check(observe_database(""))


def test_with_options_in_the_dsn(port: int) -> None:
    """What the options set is this connection's: it is not told as the server's."""
    evidence = observe_database(
        f"host=::1 port={port} user=postgres dbname=postgres options='-c work_mem=77MB -c statement_timeout=0'"
    )
    _check(evidence)
    assert isinstance(evidence.settings, Settings)
    assert evidence.settings.value("work_mem") in {None, "4096"}


@pytest.mark.all
def test_over_tls() -> None:
    """The embedded server has no TLS; those of older majors have."""
    openssl = shutil.which("openssl")
    assert openssl, "this test needs openssl"
    account = server_account()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificate, key = folder / "server.crt", folder / "server.key"
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", f"subjectAltName=IP:{LOOPBACK}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        key.chmod(0o600)
        account.own(key)
        settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        with start_major(17, {**settings, "listen_addresses": LOOPBACK}) as server:
            there = f"host={LOOPBACK} port={server.port} user=postgres dbname=postgres"
            for mode in ("prefer", "require", f"verify-full sslrootcert={certificate}"):
                _check(observe_database(f"{there} sslmode={mode}"))
            with pytest.raises(TargetError) as refused:
                observe_database(f"{there} sslmode=verify-full sslrootcert=system")
            assert "TLS" in str(refused.value)
