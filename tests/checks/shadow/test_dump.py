"""How pg_dump is told the connection: by its environment alone, over TLS where the target asks for it, and within bounds."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.evidence.database.dsn import understand
from checks.shadow.account import server_account
from checks.shadow.binaries import embedded_folders
from checks.shadow.clone import Shadow
from checks.shadow.dump import DumpProgram, dump_schema, find_dump_program
from checks.shadow.reading import read_blueprint
from tests.servers import Database, cache_folder, start_major

LOOPBACK = "127.0.0.1"


def test_a_locked_table_ends_it_soon(database: Database, programs: Path | None) -> None:
    database.execute("CREATE TABLE busy (id int PRIMARY KEY)", "CREATE TABLE idle (id int PRIMARY KEY)")
    other = database.connect()
    with other.transaction():
        other.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        with pytest.raises(TargetError) as refused:
            Shadow.of_target(database.dsn, programs=programs)
        assert time.monotonic() - begun < 10
    assert "lock" in str(refused.value)
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        assert {path for path, size in shadow.sizes.items() if size.kind == "r"} >= {("public", "busy")}


def test_what_a_program_is_told_is_not_in_its_arguments(tmp_path: Path) -> None:
    """A program that tells what it was given, in place of pg_dump."""
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$0 $*"\nenv\n')
    program.chmod(0o755)
    dsn = understand(
        "postgresql://app:s3cret@db.example/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem&options=-c%20jit%3Doff"
    )

    told = dump_schema(DumpProgram(program, 18), dsn, tls=True, encoding="UTF8", excluded=[("a b", 'c"d')]).text

    arguments, *environment = told.splitlines()
    assert "s3cret" not in arguments
    assert "db.example" not in arguments
    assert '--exclude-table="a b"."c""d"' in arguments
    assert "--schema-only" in arguments
    assert {
        "PGHOST=db.example", "PGUSER=app", "PGPASSWORD=s3cret", "PGDATABASE=shop", "PGSSLMODE=verify-full",
        "PGSSLROOTCERT=/etc/ca.pem", "PGOPTIONS=-c jit=off",
    } <= set(environment)  # fmt: skip


def test_it_ends_when_the_review_does(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    begun = time.monotonic()
    with pytest.raises(TargetError):
        dump_schema(
            DumpProgram(program, 18), understand("dbname=x"), tls=False, encoding="UTF8", cancelled=cancelled.is_set
        )
    assert time.monotonic() - begun < 5


@pytest.mark.all
def test_over_tls() -> None:
    """The embedded pg_dump has no TLS; one that has is found, or asked for."""
    openssl = shutil.which("openssl")
    assert openssl, "this test needs openssl"
    newer = cache_folder() / "17" / "bin"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificate, key = folder / "server.crt", folder / "server.key"
        subprocess.run(
            [*(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
             *("-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(key), "-out", str(certificate))],
            check=True, capture_output=True,
        )  # fmt: skip
        key.chmod(0o600)
        server_account().own(key)
        settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        with start_major(17, {**settings, "listen_addresses": LOOPBACK}) as server:
            database = Database(server)
            database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
            there = f"host={LOOPBACK} port={server.port} user=postgres dbname={database.name}"
            for mode in ("prefer", "require", f"verify-full sslrootcert={certificate}"):
                blueprint = read_blueprint(f"{there} sslmode={mode}", programs=newer)
                assert "CREATE TABLE public.notes" in blueprint.ddl
            assert find_dump_program(17, embedded_folders()[0]).path.parent == embedded_folders()[0]
            with contextlib.suppress(TargetError):
                assert find_dump_program(17, embedded_folders()[0], tls=True).path.parent != embedded_folders()[0]
            database.drop()
