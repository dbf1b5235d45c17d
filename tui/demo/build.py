"""Builds the demo's database: roles, the application's own migrations, rows, and then its use."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from checks.shadow.server import EmbeddedServer
from tui.demo.statements import APPLICATION
from tui.demo.workload import use

DATABASE = "deskhand"
OWNER = "assistant_owner"
SURVEYOR = "surveyor"
SEED = Path(__file__).parent / "seed"
NEVER_ANALYZED = "billing.usage_records"
NO_TRANSACTION = "-- migrate: no transaction"
FIRST_AFTER_THE_ROWS = "0010"
CHUNKS = "chunks.sql"
VECTOR_INDEXES = "0010_vector_indexes.sql"

Progress = Callable[[str], None]


def build(server: EmbeddedServer, *, vectors: bool, progress: Progress) -> None:
    """Fills an empty server. Raises psycopg.Error."""
    progress("Creating roles and the database")
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        # A build that is interrupted is thrown away: nothing has to reach the disk before its end.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        connection.execute(f"CREATE ROLE {SURVEYOR} LOGIN IN ROLE pg_monitor, pg_read_all_data")
    with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
        roles = (APPLICATION / "deploy" / "roles.sql").read_text("utf-8")
        _script(connection, roles if vectors else _without_vectors(roles))
    with psycopg.connect(server.dsn(DATABASE, OWNER), autocommit=True) as owner:
        _script(owner, (APPLICATION / "deploy" / "grants.sql").read_text("utf-8"))
        migrations = sorted((APPLICATION / "migrations").glob("*.sql"))
        progress("Applying the application's migrations")
        owner.execute("CREATE TABLE schema_migrations (version text NOT NULL, applied_at timestamptz DEFAULT now())")
        for path in migrations:
            if path.name < FIRST_AFTER_THE_ROWS:
                _migrate(owner, path, vectors)
        progress("Filling tables")
        _fill(server, vectors)
        progress("Applying later migrations")
        for path in migrations:
            if path.name >= FIRST_AFTER_THE_ROWS and path.name != VECTOR_INDEXES:
                _migrate(owner, path, vectors)
    with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('warehouse_trial', 'pgoutput')")
        _analyze(connection)
        connection.execute("SELECT pg_stat_statements_reset()")
        for counters in ("wal", "bgwriter", "checkpointer"):
            # What filling the tables wrote is not the application's.
            connection.execute("SELECT pg_stat_reset_shared(%s)", [counters])
    progress("Using the application")
    use(lambda role: server.dsn(DATABASE, role), vectors=vectors)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET fsync")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CHECKPOINT")


def _migrate(owner: psycopg.Connection[Any], path: Path, vectors: bool) -> None:
    """Applies one migration as api/scripts/migrate.py does: one that runs without a transaction may fail and still counts."""
    script = path.read_text("utf-8")
    if not vectors:
        script = _without_vectors(script)
    try:
        _script(owner, script)
    except psycopg.errors.UniqueViolation:
        if not script.startswith(NO_TRANSACTION):
            raise
    owner.execute("INSERT INTO schema_migrations (version) VALUES (%s)", [path.name])


def _fill(server: EmbeddedServer, vectors: bool) -> None:
    """Loads the rows over two connections at once; the vector indexes are made as soon as the vectors are there."""
    errors: list[BaseException] = []

    def load(*names: str) -> None:
        try:
            with psycopg.connect(server.dsn(DATABASE), autocommit=True) as connection:
                for name in names:
                    _script(connection, (SEED / name).read_text("utf-8"))
            if CHUNKS in names:
                with psycopg.connect(server.dsn(DATABASE, OWNER), autocommit=True) as owner:
                    # Parallel builds need more shared memory than a container has by default.
                    owner.execute("SET max_parallel_maintenance_workers = 0")
                    _migrate(owner, APPLICATION / "migrations" / VECTOR_INDEXES, vectors)
        except BaseException as error:
            errors.append(error)

    people, documents = ["people.sql"], ["documents.sql"]
    if vectors:
        people += ["topics.sql", "memories.sql"]
        documents += ["topics.sql", CHUNKS]
    else:
        documents.append("without_vectors.sql")
    threads = [threading.Thread(target=load, args=names) for names in (people, documents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _analyze(connection: psycopg.Connection[Any]) -> None:
    tables = connection.execute(
        """
        SELECT format('%%I.%%I', n.nspname, c.relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'billing') AND c.relkind IN ('r', 'p') AND c.oid <> %s::regclass
        """,
        [NEVER_ANALYZED],
    ).fetchall()
    names = ", ".join(name for (name,) in tables)
    _script(connection, f"VACUUM (ANALYZE) {names}")


def _without_vectors(script: str) -> str:
    """The migration for a server that cannot run pgvector: arrays in place of vectors, and no index on them."""
    statements = [
        part
        for part in script.split(";")
        if not re.search(r"EXTENSION (IF NOT EXISTS )?vector|USING (hnsw|ivfflat)", part)
    ]
    return re.sub(r"vector\(\d+\)", "real[]", ";".join(statements))


def _script(connection: psycopg.Connection[Any], script: str) -> None:
    """Runs a file of ours, which may hold several statements."""
    connection.execute(script)
