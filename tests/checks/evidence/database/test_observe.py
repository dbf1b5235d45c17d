"""The whole observation: what it leaves untouched, what it says under each kind of role, and how it ends early."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import (
    Activity,
    Catalog,
    PlannerStatistics,
    Plans,
    Replication,
    Server,
    Settings,
    Statements,
    Usage,
)
from checks.evidence.database.observe import DatabaseEvidence, observe_database
from checks.evidence.database.session import MARKER
from checks.evidence.database.statements import NOT_READABLE
from checks.model import Reason, Unobserved
from checks.shadow.server import EmbeddedServer
from tests.checks.survey import OPTED_IN
from tests.servers import Database, wait_until_set

SECRETS = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE accounts (
        id bigserial PRIMARY KEY, email text DEFAULT 'S3CRET-default', note text CHECK (note <> 'S3CRET-check'),
        kind text GENERATED ALWAYS AS (coalesce(email, 'S3CRET-generated')) STORED, doc jsonb
    );
    INSERT INTO accounts (email, note, doc) SELECT 'S3CRET-row', 'n', '{"key": "S3CRET-json"}' FROM generate_series(1, 500);
    CREATE INDEX ON accounts (id) WHERE email = 'S3CRET-predicate';
    CREATE INDEX ON accounts ((email || 'S3CRET-expression'));
    CREATE VIEW shown AS SELECT * FROM accounts WHERE email = 'S3CRET-view' AND id > 998877;
    COMMENT ON TABLE accounts IS 'S3CRET-comment';
    CREATE FUNCTION body() RETURNS text LANGUAGE sql SET application_name = 'S3CRET-function' AS $$SELECT 'S3CRET-body'$$;
    CREATE POLICY p ON accounts USING (email = 'S3CRET-policy');
    ANALYZE accounts;
"""


def fill(database: Database) -> None:
    """Words and numbers everywhere that evidence must not hold."""
    database.execute(SECRETS)
    if database.offers("vector"):
        database.execute("CREATE EXTENSION vector; ALTER TABLE accounts ADD v vector(3) DEFAULT '[998877,0,0]'")


def observed(database: Database, user: str = "postgres") -> DatabaseEvidence:
    return observe_database(database.server.dsn(database.name, user))


@pytest.fixture
def roles(database: Database) -> Iterator[dict[str, str]]:
    """A role of each kind, by what it sees."""
    made = {"full": "r_full", "monitor": "r_monitor", "plain": "r_plain"}
    database.execute(
        "DROP ROLE IF EXISTS r_full, r_monitor, r_plain",
        "CREATE ROLE r_full LOGIN IN ROLE pg_monitor, pg_read_all_data; CREATE ROLE r_monitor LOGIN IN ROLE pg_monitor;"
        "CREATE ROLE r_plain LOGIN",
    )
    try:
        yield made
    finally:
        database.execute("DROP ROLE r_full, r_monitor, r_plain")


def test_an_empty_database(database: Database) -> None:
    evidence = observed(database)
    assert isinstance(evidence.catalog, Catalog)
    assert msgspec.structs.replace(evidence.catalog, system_tables=(), highest_oid=None) == Catalog()
    assert isinstance(evidence.server, Server)
    assert evidence.server.database == database.name
    assert evidence.server.user_sees == "superuser"
    assert (evidence.server.role, evidence.server.flavour) == ("primary", "postgresql")
    assert evidence.server.major == database.major
    assert evidence.server.size_bytes
    assert evidence.server.system_identifier
    assert not evidence.server.through_pooler
    assert evidence.statements == Unobserved(
        Reason.EXTENSION_MISSING,
        "CREATE EXTENSION pg_stat_statements; in this database, "
        "with shared_preload_libraries = 'pg_stat_statements' and a restart",
    )
    assert isinstance(evidence.plans, Unobserved)
    for name in ("planner_statistics", "access", "usage", "settings", "activity", "freeze_ages", "replication"):
        assert not isinstance(getattr(evidence, name), Unobserved), name
    assert evidence.statements_sent <= 54
    assert evidence.server_ms > 0


def test_evidence_holds_no_literal_and_no_row(database: Database) -> None:
    fill(database)
    database.execute(
        f"ALTER DATABASE \"{database.name}\" SET app.jwt_secret = 'S3CRET-setting'",
        f'ALTER DATABASE "{database.name}" SET search_path = public',
    )
    connection = database.connect()
    connection.execute("SELECT * FROM accounts WHERE email = 'S3CRET-statement' AND id = 998877")
    connection.execute("SELECT * FROM shown ORDER BY email || 'S3CRET-order'")
    connection.execute("CREATE TABLE made AS SELECT 'S3CRET-ctas' AS a")
    connection.execute("DO $$BEGIN PERFORM 'S3CRET-do'; END$$")
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("ALTER ROLE no_such_role PASSWORD 'S3CRET-password'")
    evidence = observe_database(
        database.dsn + " password=S3CRET-dsn", code=["SELECT * FROM accounts WHERE email = 'x' AND id = 1"]
    )
    encoded = msgspec.json.encode(msgspec.structs.replace(evidence, identified={}))
    assert b"S3CRET" not in encoded
    assert b"998877" not in encoded
    assert isinstance(evidence.settings, Settings)
    assert evidence.settings.value("search_path", "", database.name) == "public"
    assert evidence.settings.value("app.jwt_secret", "", database.name) == "(set)"


def _digest(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, object]:
    """Every row of every catalog and table, and every sequence, in one figure each."""
    names = connection.execute(
        "SELECT oid::regclass::text, relkind FROM pg_class WHERE relkind IN ('r', 'S') "
        "AND relnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace) AND relname <> 'pg_statistic'"
    ).fetchall()
    found = {}
    for name, kind in names:
        row = "(x.last_value, x.is_called, x.log_cnt)" if kind in (b"S", "S") else "x"
        digest = f"SELECT md5(coalesce(string_agg({row}::text, '' ORDER BY {row}::text), '')) FROM {name} AS x"
        found[str(name)] = connection.execute(digest.encode()).fetchone()
    found["next transaction"] = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    return found


def test_nothing_is_changed(database: Database) -> None:
    fill(database)
    connection = database.connect()
    connection.execute("SELECT count(*) FROM accounts WHERE id = 5")
    connection.execute("UPDATE accounts SET note = 'm' WHERE id = 6")
    connection.execute("SELECT pg_stat_force_next_flush()")
    before = _digest(connection)
    code = ["UPDATE accounts SET note = 'z'", "DELETE FROM accounts", "INSERT INTO accounts (email) VALUES ('x')"]
    evidence = observe_database(database.dsn, code=code)
    assert isinstance(evidence.plans, Plans)
    assert evidence.plans.plans
    assert set(evidence.identified) == set(code)
    assert _digest(connection) == before


def test_only_reading_statements_are_sent_all_marked_and_in_read_only_transactions(database: Database) -> None:
    fill(database)
    database.connect().execute("SELECT count(*) FROM accounts WHERE id = 5")
    database.execute("ALTER SYSTEM SET pg_stat_statements.track = 'all'", "SELECT pg_reload_conf()")
    try:
        wait_until_set(database.dsn, "pg_stat_statements.track", "all")
        database.execute("SELECT pg_stat_statements_reset()")
        evidence = observed(database)
        rows = (
            database.connect()
            .execute(
                "SELECT query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
                "WHERE d.datname = current_database()"
            )
            .fetchall()
        )
    finally:
        database.execute("ALTER SYSTEM RESET pg_stat_statements.track", "SELECT pg_reload_conf()")
    texts = [
        text
        for (text,) in rows
        if "pg_stat_statements_reset" not in text and "ALTER SYSTEM" not in text and "reload_conf" not in text
    ]
    ours = [text for text in texts if MARKER in text]
    assert len(ours) > 25
    for text in texts:
        if MARKER not in text:
            assert text.upper().startswith(("BEGIN", "COMMIT", "ROLLBACK")), text
            assert not text.upper().startswith("BEGIN") or "READ ONLY" in text.upper()
        else:
            begins = ("SELECT", "WITH", "EXPLAIN", "SET /* pgsurveyor */ LOCAL", "SAVEPOINT", "ROLLBACK", "(")
            assert text.startswith(begins), text
            assert "ANALYZE" not in text.split(")")[0]
    assert isinstance(evidence.statements, Statements)
    assert not any(MARKER in entry.text or "pg_catalog" in entry.text for entry in evidence.statements.entries)


def test_no_lock_above_access_share(database: Database) -> None:
    fill(database)
    database.execute("SELECT pg_stat_statements_reset()")
    database.connect().execute("SELECT count(*) FROM accounts WHERE id = 5")
    watcher = database.connect()
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            rows = watcher.execute(
                "SELECT l.locktype, l.mode || ' ' || coalesce(l.relation::regclass::text, '') "
                "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE a.application_name = 'pgsurveyor' AND a.datname = current_database()"
            ).fetchall()
            # Every connection locks its database for a moment when it starts (RowExclusiveLock on an object).
            seen.update(mode for kind, mode in rows if kind == "relation")

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(5):
        observed(database)
    done.set()
    thread.join()
    assert len(seen) > 10
    assert {lock for lock in seen if not lock.startswith("AccessShareLock")} == set()


def test_a_lock_that_conflicts_with_more_than_access_share_does_not_stop_it(database: Database) -> None:
    fill(database)
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE accounts, pg_class, pg_statistic, pg_proc IN EXCLUSIVE MODE")
        holder.execute("ALTER SEQUENCE accounts_id_seq CACHE 2")
        evidence = observed(database)
        holder.rollback()
    for name in set(DatabaseEvidence.__struct_fields__) - OPTED_IN:
        assert not isinstance(getattr(evidence, name), Unobserved), name


@pytest.mark.parametrize("catalog", ["pg_sequence", "pg_proc"])
def test_a_locked_catalog_costs_what_needs_it_and_little_time(database: Database, catalog: str) -> None:
    fill(database)
    with database.connect(autocommit=False) as holder:
        holder.execute(f"LOCK TABLE {catalog} IN ACCESS EXCLUSIVE MODE".encode())
        begun = time.monotonic()
        evidence = observed(database)
        assert time.monotonic() - begun < 30
        holder.rollback()
    gap = evidence.catalog
    assert isinstance(gap, Unobserved)
    assert gap.reason == Reason.TIMED_OUT
    if catalog == "pg_sequence":
        assert isinstance(evidence.usage, Usage)
        assert isinstance(evidence.statements, Statements)


def test_what_each_role_sees(database: Database, roles: dict[str, str]) -> None:
    fill(database)
    database.connect().execute("SELECT count(*) FROM accounts WHERE id = 5")
    others = database.connect()
    others.execute("SELECT 1")
    for sees, role in [("superuser", "postgres"), *roles.items()]:
        evidence = observed(database, role)
        assert isinstance(evidence.server, Server)
        assert evidence.server.user_sees == sees
        for section in (evidence.catalog, evidence.usage, evidence.settings, evidence.activity, evidence.replication):
            assert not isinstance(section, Unobserved)
        assert isinstance(evidence.catalog, Catalog)
        assert isinstance(evidence.planner_statistics, PlannerStatistics)
        assert isinstance(evidence.settings, Settings)
        assert isinstance(evidence.activity, Activity)
        assert isinstance(evidence.replication, Replication)
        assert isinstance(evidence.statements, Statements)
        assert isinstance(evidence.plans, Plans)
        assert len(evidence.catalog.indexes) == 3
        reads_rows = sees in {"superuser", "full"}
        monitors = sees != "plain"
        assert bool(evidence.planner_statistics.columns) == reads_rows
        assert evidence.planner_statistics.hidden_tables == (0 if reads_rows else 1)
        [sequence] = evidence.catalog.sequences
        assert (sequence.readable, sequence.last_value) == ((True, 500) if reads_rows else (False, None))
        assert evidence.settings.hidden == (not monitors)
        assert evidence.activity.states_hidden == (not monitors)
        assert evidence.replication.standbys_hidden == (not monitors)
        assert bool(evidence.statements.entries) == monitors
        assert (evidence.statements.hidden > 0) == (not monitors)
        scanned = {node.relation for plan in evidence.plans.plans for node in plan.root.walk()}
        assert ("accounts" in scanned) == reads_rows


def test_a_role_that_may_see_nothing(database: Database, roles: dict[str, str]) -> None:
    fill(database)
    database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC")
    evidence = observed(database, roles["plain"])
    assert isinstance(evidence.catalog, Catalog)
    assert evidence.statements == Unobserved(
        Reason.NOT_PERMITTED,
        "GRANT USAGE ON SCHEMA public TO r_plain; GRANT SELECT ON public.pg_stat_statements TO r_plain;",
    )


def test_cancelling_ends_within_a_second_with_what_there_is(database: Database) -> None:
    fill(database)
    cancelled = threading.Event()
    moment: list[float] = []

    def progress(sentence: str) -> None:
        if "planner statistics" in sentence:
            cancelled.set()
            moment.append(time.monotonic())

    evidence = observe_database(database.dsn, progress=progress, cancelled=cancelled)
    assert time.monotonic() - moment[0] < 5
    assert isinstance(evidence.catalog, Catalog)
    assert isinstance(evidence.usage, Unobserved)
    assert evidence.usage.reason == Reason.NOT_RUN


def test_a_lost_connection_keeps_what_was_observed(database: Database) -> None:
    fill(database)
    killer = database.connect()

    def progress(sentence: str) -> None:
        if "usage" in sentence:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'pgsurveyor' AND datname = current_database()"
            )

    evidence = observe_database(database.dsn, progress=progress)
    assert isinstance(evidence.catalog, Catalog)
    for section in (evidence.usage, evidence.statements, evidence.plans, evidence.activity):
        assert isinstance(section, Unobserved)
        assert section.reason == Reason.CONNECTION_LOST


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_in_another_encoding(server: EmbeddedServer, database: Database, encoding: str) -> None:
    name = f"encoded_{encoding.lower()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'".encode())
    try:
        with psycopg.connect(server.dsn(name), autocommit=True, client_encoding=encoding) as connection:
            connection.execute(b'CREATE EXTENSION pg_stat_statements; CREATE TABLE "caf\xe9" (id int PRIMARY KEY)')
            connection.execute(b'SELECT * FROM "caf\xe9" WHERE id = 1')
        evidence = observe_database(server.dsn(name))
        assert isinstance(evidence.catalog, Catalog)
        tables = {table.name for table in evidence.catalog.tables if not table.extension}
        assert tables == {"caf\N{REPLACEMENT CHARACTER}" if encoding == "SQL_ASCII" else "café"}
        assert isinstance(evidence.plans, Plans)
        assert msgspec.json.encode(evidence)
        # Such a text makes the view unreadable in each other database.
        database.execute("CREATE EXTENSION pg_stat_statements")
        assert (observed(database).statements == NOT_READABLE) == (encoding == "SQL_ASCII")
    finally:
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute("SELECT pg_stat_statements_reset()")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_progress_is_told_in_sentences(database: Database) -> None:
    told: list[str] = []
    observe_database(database.dsn, progress=told.append)
    assert told[0].startswith("connecting to postgres@")
    assert len(told) > 8
    assert all(sentence and "password" not in sentence for sentence in told)
