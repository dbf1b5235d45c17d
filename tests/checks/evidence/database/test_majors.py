"""The same observation on every supported major, and through PgBouncer in transaction mode."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from checks.evidence.database.facts import (
    Access,
    Catalog,
    PlannerStatistics,
    Plans,
    Rates,
    Replication,
    Server,
    Settings,
    Statements,
    Usage,
)
from checks.evidence.database.node import Manner
from checks.evidence.database.observe import DatabaseEvidence, observe_database
from checks.evidence.database.query import _variants, query
from checks.model import Unobserved
from checks.shadow.account import server_account
from checks.shadow.server import EmbeddedServer, start
from tests.checks.survey import OPTED_IN
from tests.servers import OLDER_MAJORS, TEST_SETTINGS, Database, PrimaryAndStandby, start_major

pytestmark = pytest.mark.all

POOLER_PORT = 6432
GROUPS = {"plain": "", "monitor": "IN ROLE pg_monitor", "full": "IN ROLE pg_monitor, pg_read_all_data"}

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE accounts (id bigserial PRIMARY KEY, email text DEFAULT 'S3CRET', doc jsonb, made timestamptz DEFAULT now());
    INSERT INTO accounts (email) SELECT 'a' || g FROM generate_series(1, 5000) g;
    CREATE UNIQUE INDEX ON accounts (lower(email)) WHERE email IS NOT NULL;
    CREATE INDEX ON accounts USING gin (doc jsonb_path_ops);
    CREATE TABLE visits (account bigint REFERENCES accounts, at date) PARTITION BY RANGE (at);
    CREATE TABLE visits_26 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE FUNCTION ours(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN $1; END$$;
    CREATE VIEW shown AS SELECT * FROM accounts WHERE email = ours('x');
    CREATE PUBLICATION told FOR TABLE accounts;
    ANALYZE accounts;
"""


@pytest.fixture(scope="module", params=OLDER_MAJORS)
def old_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with start_major(request.param) as running:
        yield running


@pytest.fixture
def old(old_server: EmbeddedServer) -> Iterator[Database]:
    fresh = Database(old_server)
    try:
        yield fresh
    finally:
        fresh.drop()


def _used(database: Database) -> None:
    database.execute(SCHEMA)
    connection = database.connect()
    connection.execute("SELECT * FROM accounts WHERE lower(email) = 'a5' AND id > 7 AND email IS NOT NULL")
    connection.execute("SELECT * FROM shown")
    connection.execute("SELECT count(*) FROM accounts")
    # A text has no type of its own, so that the server finds one, as it does for a statement without values.
    connection.execute("SELECT doc FROM accounts WHERE id = %s", ["5"])


def _check_whole(evidence: DatabaseEvidence, major: int) -> None:
    for name in set(evidence.__struct_fields__) - OPTED_IN:
        assert not isinstance(getattr(evidence, name), Unobserved), (name, getattr(evidence, name))
    assert isinstance(evidence.server, Server)
    assert evidence.server.major == major
    assert isinstance(evidence.catalog, Catalog)
    assert {table.name for table in evidence.catalog.tables} >= {"accounts", "visits", "visits_26", "shown"}
    [sequence] = evidence.catalog.sequences
    assert sequence.last_value == 5000
    assert isinstance(evidence.usage, Usage)
    accounts = evidence.catalog.table_by_name["public", "accounts"]
    if major > 14:  # The collector of 14 and before tells later.
        assert evidence.usage.table_by_oid[accounts.oid].inserted == 5000
    assert isinstance(evidence.replication, Replication)
    assert evidence.replication.published_tables == (accounts.oid,)
    assert isinstance(evidence.settings, Settings)
    assert evidence.settings.by_name["lock_timeout"].value == "0"
    [publication] = evidence.replication.publications
    assert (publication.name, publication.tables) == ("told", (accounts.oid,))
    assert publication.publishes == ("insert", "update", "delete", "truncate")
    assert (evidence.usage.wal is not None, evidence.usage.conflicts is not None) == (True, True)
    checkpoints = evidence.usage.checkpoints
    assert checkpoints is not None
    assert (checkpoints.written_by_backends is None) == (major >= 17)
    assert (checkpoints.done is None) == (major < 18)
    names = {table.oid: table.name for table in evidence.catalog.tables}
    views = {names[view.table]: {names[oid] for oid in view.depends_on} for view in evidence.catalog.views}
    assert views["shown"] == {"accounts"}
    assert evidence.catalog.table_by_name["public", "visits"].partition_strategy == "range"
    [ours] = [function for function in evidence.catalog.functions if function.name == "ours"]
    assert (ours.volatility, ours.executable_by_public) == ("immutable", True)
    assert isinstance(evidence.access, Access)
    assert evidence.access.role_by_name["postgres"].superuser
    assert "S3CRET" not in repr(evidence)


def _plan_relations(evidence: DatabaseEvidence) -> dict[str, set[str | None]]:
    assert isinstance(evidence.plans, Plans)
    assert isinstance(evidence.statements, Statements)
    return {
        evidence.statements.by_id[plan.query_id].text: {node.relation for node in plan.root.walk()}
        for plan in evidence.plans.plans
    }


def _reasons(evidence: DatabaseEvidence) -> dict[str, str]:
    assert isinstance(evidence.plans, Plans)
    assert isinstance(evidence.statements, Statements)
    return {evidence.statements.by_id[entry.query_id].text: entry.reason for entry in evidence.plans.unplanned}


def test_an_older_major(old: Database) -> None:
    _used(old)
    code = ["SELECT doc FROM accounts WHERE id = $1", "SELECT * FROM shown"]
    evidence = observe_database(old.dsn, code=code)
    with old.connect() as connection:
        major = connection.info.server_version // 10000
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    _check_whole(evidence, major)
    planned = _plan_relations(evidence)
    assert planned["SELECT doc FROM accounts WHERE id = $1"] == {"accounts"}
    assert planned["SELECT count(*) FROM accounts"] == {None, "accounts"}
    assert _reasons(evidence)["SELECT * FROM shown"] == "calls_user_code"
    assert isinstance(evidence.statements, Statements)
    assert evidence.identified[code[0]] in evidence.statements.by_id
    assert code[1] not in evidence.identified


@pytest.mark.parametrize("sees", ["plain", "monitor", "full"])
def test_an_older_major_under_each_role(old: Database, sees: str) -> None:
    _used(old)
    old.execute("DROP ROLE IF EXISTS r_some", f"CREATE ROLE r_some LOGIN {GROUPS[sees]}")
    try:
        _check_role(observe_database(old.server.dsn(old.name, "r_some")), sees)
    finally:
        old.execute("DROP ROLE r_some")


def _check_role(evidence: DatabaseEvidence, sees: str) -> None:
    """What each role sees of what `_used` made and did, wherever it looks from."""
    for name in set(evidence.__struct_fields__) - OPTED_IN:
        assert not isinstance(getattr(evidence, name), Unobserved), (name, getattr(evidence, name))
    assert isinstance(evidence.server, Server)
    assert evidence.server.user_sees == sees
    assert isinstance(evidence.statements, Statements)
    assert (evidence.statements.hidden > 0) == (sees == "plain")
    assert isinstance(evidence.catalog, Catalog)
    assert evidence.catalog.sequences[0].readable == (sees in {"full", "superuser"})
    assert isinstance(evidence.settings, Settings)
    assert evidence.settings.hidden == (sees == "plain")
    assert isinstance(evidence.planner_statistics, PlannerStatistics)
    assert bool(evidence.planner_statistics.columns) == (sees in {"full", "superuser"})
    assert isinstance(evidence.plans, Plans)
    scanned = {node.relation for plan in evidence.plans.plans for node in plan.root.walk()}
    assert ("accounts" in scanned) == (sees in {"full", "superuser"})
    assert isinstance(evidence.access, Access)
    assert evidence.access.role_by_name["r_some"].can_login


@pytest.mark.parametrize("sees", ["plain", "monitor", "full", "superuser"])
def test_each_role_on_a_standby(primary_and_standby: PrimaryAndStandby, sees: str) -> None:
    primary, standby = primary_and_standby
    database = Database(primary)
    role = "ALTER ROLE r_some SUPERUSER" if sees == "superuser" else "SELECT 1"
    database.execute("DROP ROLE IF EXISTS r_some", f"CREATE ROLE r_some LOGIN {GROUPS.get(sees, '')}", role)
    try:
        _used(database)
        _wait_for(standby, primary)
        with psycopg.connect(standby.dsn(database.name)) as connection:
            connection.execute("SELECT count(*) FROM accounts")
        evidence = observe_database(standby.dsn(database.name, "r_some"))
        _check_role(evidence, sees)
        assert isinstance(evidence.server, Server)
        assert evidence.server.is_standby
    finally:
        database.drop()
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            connection.execute("DROP ROLE r_some")


def _wait_for(standby: EmbeddedServer, primary: EmbeddedServer) -> None:
    with psycopg.connect(primary.dsn()) as connection:
        written = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert written is not None
    deadline = time.monotonic() + 20
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        while connection.execute("SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", written).fetchone() == (True,):
            assert time.monotonic() < deadline, "the standby does not catch up"
            time.sleep(0.05)


@pytest.mark.parametrize("sees", ["plain", "monitor", "full", "superuser"])
def test_each_role_through_a_transaction_pooler(database: Database, sees: str) -> None:
    role = "ALTER ROLE r_some SUPERUSER" if sees == "superuser" else "SELECT 1"
    database.execute("DROP ROLE IF EXISTS r_some", f"CREATE ROLE r_some LOGIN {GROUPS.get(sees, '')}", role)
    try:
        _used(database)
        with pooled(database.server, "r_some") as pooler:
            evidence = observe_database(f"{pooler} dbname={database.name}")
        _check_role(evidence, sees)
        assert isinstance(evidence.server, Server)
        assert evidence.server.through_pooler
    finally:
        database.execute("DROP ROLE r_some")


def test_an_older_standby(old_server: EmbeddedServer) -> None:
    evidence = observe_database(old_server.standby("sby").dsn())
    assert isinstance(evidence.server, Server)
    assert evidence.server.is_standby
    assert isinstance(evidence.replication, Replication)
    assert evidence.replication.receiver_state == "streaming"
    for name in ("catalog", "usage", "settings", "activity", "freeze_ages", "planner_statistics"):
        assert not isinstance(getattr(evidence, name), Unobserved), name


def test_a_library_that_is_not_loaded() -> None:
    with start(TEST_SETTINGS | {"shared_preload_libraries": ""}) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        gap = observe_database(server.dsn()).statements
        assert isinstance(gap, Unobserved)
        assert gap.reason == "extension_missing"
        assert gap.unlock.startswith("shared_preload_libraries")


def test_an_unknown_newer_major_gets_the_newest_variants() -> None:
    assert all(0 in variants for variants in _variants().values())
    for name, variants in _variants().items():
        assert query(name, 99).split(None, 1)[1:] != [], name
        assert query(name, 99) == query(name, max([18, *variants])), name


def test_what_only_newer_majors_know_of_publications_and_rates(old: Database) -> None:
    old.execute("CREATE TABLE a (id int PRIMARY KEY, b text); CREATE TABLE c (id int)")
    with old.connect() as connection:
        major = connection.info.server_version // 10000
    if major >= 15:
        old.execute(
            "CREATE PUBLICATION few FOR TABLE a (id) WHERE (id > 998877); CREATE PUBLICATION many FOR TABLES IN SCHEMA public"
        )
    else:
        old.execute("CREATE PUBLICATION few FOR TABLE a")
    old.execute(
        "CREATE SUBSCRIPTION told CONNECTION 'host=nowhere password=S3CRET' PUBLICATION p1, p2 WITH (connect = false)"
    )
    try:
        evidence = observe_database(old.dsn, manner=Manner(watch_s=0.2))
    finally:
        old.execute("ALTER SUBSCRIPTION told SET (slot_name = NONE)", "DROP SUBSCRIPTION told")
    assert isinstance(evidence.replication, Replication)
    assert isinstance(evidence.rates, Rates)
    [subscription] = evidence.replication.subscribed
    assert (subscription.name, subscription.enabled, subscription.slot_name) == ("told", False, "told")
    assert (subscription.publications, subscription.worker_running) == (("p1", "p2"), False)
    assert (subscription.apply_errors is None) == (major < 15)
    publications = {publication.name: publication for publication in evidence.replication.publications}
    assert len(publications["few"].tables) == 1
    assert bool(publications["few"].filtered) == bool(publications["few"].column_lists) == (major >= 15)
    if major >= 15:
        assert publications["many"].schemas == ("public",)
    assert "S3CRET" not in repr(evidence)
    assert "998877" not in repr(evidence)


@contextlib.contextmanager
def pooled(server: EmbeddedServer, user: str = "postgres") -> Iterator[str]:
    """The beginning of a DSN that leads through PgBouncer."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    assert program, "these tests need PgBouncer: scripts/install-debian-packages"
    account = server_account()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={server.socket_folder} port={server.port} user={user}\n"
            f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = {POOLER_PORT}\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 20\nlogfile = {folder}/log\n"
        )
        for path in (folder, configuration):
            account.own(path)
        process = subprocess.Popen(
            [program, "-q", str(configuration)], cwd="/", stderr=subprocess.DEVNULL, **account.process_arguments()
        )
        try:
            deadline = time.monotonic() + 10
            while not (folder / f".s.PGSQL.{POOLER_PORT}").exists():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield f"host={folder} port={POOLER_PORT} user={user}"
        finally:
            process.terminate()
            process.wait(10)


def test_through_a_transaction_pooler(database: Database) -> None:
    _used(database)
    with pooled(database.server) as pooler:
        code = ["SELECT doc FROM accounts WHERE id = $1"]
        evidence = observe_database(f"{pooler} dbname={database.name}", code=code)
        _check_whole(evidence, 18)
        assert isinstance(evidence.server, Server)
        assert evidence.server.through_pooler
        assert _plan_relations(evidence)["SELECT doc FROM accounts WHERE id = $1"] == {"accounts"}
        assert set(evidence.identified) == set(code)
        with psycopg.connect(f"{pooler} dbname={database.name}", autocommit=True, prepare_threshold=None) as connection:
            for name, value in (("search_path", '"$user", public'), ("statement_timeout", "0"), ("lock_timeout", "0")):
                assert connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)
            assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_an_older_major_through_a_transaction_pooler(old: Database) -> None:
    _used(old)
    with pooled(old.server) as pooler:
        evidence = observe_database(f"{pooler} dbname={old.name}")
        with old.connect() as connection:
            major = connection.info.server_version // 10000
        _check_whole(evidence, major)
        if major < 16:
            assert _reasons(evidence)["SELECT doc FROM accounts WHERE id = $1"] == "needs_direct_connection"
            assert _plan_relations(evidence)["SELECT count(*) FROM accounts"] == {None, "accounts"}
        else:
            assert "SELECT doc FROM accounts WHERE id = $1" in _plan_relations(evidence)
