from __future__ import annotations

import stat
from pathlib import Path

import psycopg

from checks.evidence.database.facts import PlanNode
from checks.shadow.binaries import EMBEDDED_MAJOR, embedded_folders
from checks.shadow.blueprint import RelationSize
from checks.shadow.clone import LARGEST_DISK_BYTES, Shadow
from checks.shadow.planning import NotPlanned
from checks.shadow.server import EmbeddedServer
from tests.checks.shadow.plans import MANNERS, SCHEMA, STATEMENTS, VIEW_OF_NOTHING, differences, real_plan
from tests.servers import Database


def planned(shadow: Shadow, statement: str) -> PlanNode:
    found = shadow.explain(statement)
    assert isinstance(found, PlanNode), found
    return found


def test_every_node_of_every_plan_is_the_targets(database: Database, programs: Path | None) -> None:
    database.execute(SCHEMA, VIEW_OF_NOTHING, "VACUUM ANALYZE")
    connection = database.connect()

    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        assert shadow.same_major
        assert shadow.disk_bytes < LARGEST_DISK_BYTES
        ranges = connection.info.server_version < 170000
        assert [entry.name for entry in shadow.omissions] == (["public.customers.period"] if ranges else [])
        other = {}
        for statement in STATEMENTS:
            if ranges and "period" in statement:
                continue
            for settings in MANNERS:
                made = shadow.explain(statement, settings=settings)
                assert isinstance(made, PlanNode), made
                if found := differences(real_plan(connection, statement, settings), made):
                    other[statement, str(settings)] = found

    assert other == {}


def test_an_index_is_tried_shown_hidden_and_given_a_size(database: Database, programs: Path | None) -> None:
    database.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, author int, body text)",
        "INSERT INTO notes SELECT i, i % 5000, repeat('x', 100) FROM generate_series(1, 50000) AS i",
        "ANALYZE notes",
    )
    asked = "SELECT * FROM notes WHERE author = $1"
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        before = planned(shadow, asked)
        shadow.apply(
            ["CREATE INDEX tried ON public.notes (author)"],
            [RelationSize("public", "tried", "i", 60, 60, 50000.0, method="btree", table=("public", "notes"))],
        )
        after = planned(shadow, asked)
        shadow.switch({("public", "tried"): False})
        hidden = planned(shadow, asked)
        shadow.switch({("public", "tried"): True})
        shown = planned(shadow, asked)
        database.execute("CREATE INDEX tried ON notes (author)")
        real = real_plan(database.connect(), asked, {})

    assert before.node_type == "Seq Scan"
    assert after.node_type == "Bitmap Heap Scan"
    assert hidden == before
    assert shown == after
    assert differences(real, after) == []


def test_a_table_a_thousand_times_as_large_takes_no_room(database: Database, programs: Path | None) -> None:
    database.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, body text)",
        "INSERT INTO notes SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i",
        "ANALYZE notes",
    )
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        disk = shadow.disk_bytes
        small = planned(shadow, "SELECT count(*) FROM notes")
        heap = shadow.sizes["public", "notes"]
        shadow.resize(
            [RelationSize("public", "notes", "r", heap.pages * 1000, heap.relpages * 1000, heap.reltuples * 1000)]
        )
        large = planned(shadow, "SELECT count(*) FROM notes")

        assert shadow.disk_bytes < disk + 1_000_000
    assert 200 < large.total_cost / small.total_cost < 1100


def test_its_folder_is_closed_and_goes_with_it(database: Database, programs: Path | None) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")

    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        inside = shadow.folder / "server"
        assert stat.S_IMODE(inside.stat().st_mode) == 0o700

    assert not shadow.folder.exists()


def test_what_a_role_may_not_read_is_named_and_not_guessed(database: Database, programs: Path | None) -> None:
    database.execute(
        "CREATE TABLE open_one (id int PRIMARY KEY, body text)",
        "INSERT INTO open_one SELECT i, 'x' FROM generate_series(1, 5000) AS i",
        "CREATE TABLE closed_one (id int PRIMARY KEY)",
        "CREATE VIEW of_both AS SELECT o.id FROM open_one AS o JOIN closed_one AS c USING (id)",
        "ANALYZE",
        f"CREATE ROLE {database.name}_reader LOGIN",
        f"GRANT SELECT ON open_one TO {database.name}_reader",
    )
    dsn = database.server.dsn(database.name, f"{database.name}_reader")
    try:
        with Shadow.of_target(dsn, programs=programs) as shadow:
            names = {entry.name: entry.reason for entry in shadow.omissions}
            plan = planned(shadow, "SELECT * FROM open_one WHERE id = $1")
            unplanned = shadow.explain("SELECT * FROM closed_one WHERE id = $1")
    finally:
        database.execute(f"DROP OWNED BY {database.name}_reader", f"DROP ROLE {database.name}_reader")

    assert set(names) == {"public.closed_one", "public.of_both"}
    assert "pg_read_all_data" in names["public.closed_one"]
    assert plan.node_type == "Index Scan"
    assert isinstance(unplanned, NotPlanned)
    assert "closed_one" in unplanned.detail


def test_a_role_that_reads_all_data_sees_what_a_superuser_sees(database: Database, programs: Path | None) -> None:
    database.execute(SCHEMA, "ANALYZE", f"CREATE ROLE {database.name}_all LOGIN IN ROLE pg_read_all_data, pg_monitor")
    dsn = database.server.dsn(database.name, f"{database.name}_all")
    connection = database.connect()
    other = []
    try:
        with Shadow.of_target(dsn, programs=programs) as shadow:
            names = {entry.name for entry in shadow.omissions if entry.kind != "column"}
            for statement in STATEMENTS:
                made = planned(shadow, statement)
                if differences(real_plan(connection, statement, {}), made):
                    other.append(statement)
    finally:
        database.execute(f"DROP ROLE {database.name}_all")

    assert names == {
        "public.orders_mcv",
        "public.customers_pairs",
        "public.customers_data",
        "public.customers_tags",
    }
    assert [
        one for one in other if not any(word in one for word in ("period", "amount < 20", "age = 8", "GROUP BY 1, 2"))
    ] == []


def test_hostile_schemas_reach_nothing(database: Database, programs: Path | None) -> None:
    """Functions that planning runs, in every language that could do harm, and objects that lead out of the server."""
    trace = Path("/var/tmp") / f"{database.name}-was-here"
    database.execute(
        f"""
        CREATE FUNCTION reach() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN
            BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {trace}'''; EXCEPTION WHEN OTHERS THEN NULL; END;
            BEGIN EXECUTE 'COPY (SELECT 1) TO ''{trace}'''; EXCEPTION WHEN OTHERS THEN NULL; END;
            BEGIN PERFORM lo_export(lo_from_bytea(0, 'x'), '{trace}'); EXCEPTION WHEN OTHERS THEN NULL; END;
            BEGIN SET ROLE postgres; EXCEPTION WHEN OTHERS THEN NULL; END;
            BEGIN EXECUTE 'CREATE TABLE public.written (n int)'; EXCEPTION WHEN OTHERS THEN NULL; END;
            RETURN CASE WHEN current_setting('is_superuser') = 'on' OR has_function_privilege('pg_read_file(text)', 'EXECUTE')
                THEN 1 ELSE 2 END;
        END $$;
        CREATE FUNCTION reach(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.reach()';
        CREATE DOMAIN trap AS text CHECK (reach(VALUE) > 0);
        CREATE TABLE victims (id int PRIMARY KEY, name text, bait trap, CHECK (reach() > 0));
        INSERT INTO victims SELECT i, 'n' || i, 'b' || i % 3 FROM generate_series(1, 1000) AS i;
        CREATE INDEX victims_reach ON victims (reach(name));
        CREATE INDEX victims_partly ON victims (name) WHERE reach() > 0;
        CREATE FUNCTION woken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.reach(); RETURN NEW; END $$;
        CREATE TRIGGER wake BEFORE INSERT ON victims FOR EACH ROW EXECUTE FUNCTION woken();
        ALTER TABLE victims ENABLE ALWAYS TRIGGER wake;
        CREATE FUNCTION eavesdrop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.reach(); END $$;
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER outside FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost');
        CREATE USER MAPPING FOR public SERVER outside OPTIONS (password 'secret');
        CREATE FOREIGN TABLE far (id int) SERVER outside;
        CREATE EXTENSION dblink;
        CREATE FUNCTION size_of(bigint) RETURNS int LANGUAGE internal IMMUTABLE AS 'int84';
        """,
        "ANALYZE victims",
        "DROP TABLE IF EXISTS written",
        "CREATE EVENT TRIGGER listening ON ddl_command_end EXECUTE FUNCTION eavesdrop()",
    )
    trace.unlink(missing_ok=True)
    try:
        with Shadow.of_target(database.dsn, programs=programs) as shadow:
            omitted = {(entry.kind, entry.name) for entry in shadow.omissions}
            plan = shadow.explain("SELECT * FROM victims WHERE id = reach()")
            with shadow.superuser() as superuser:
                made = superuser.execute(
                    "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'written'"
                ).fetchone()
            assert not trace.exists()
    finally:
        database.execute("DROP EVENT TRIGGER listening")
        trace.unlink(missing_ok=True)

    assert made == (0,)
    assert isinstance(plan, PlanNode)
    assert "2" in (plan.index_condition or "") or plan.index_condition is not None
    assert {
        ("extension", "postgres_fdw"), ("extension", "dblink"), ("server", "outside"), ("event trigger", "listening"),
        ("function", "public.size_of"),
    } <= omitted  # fmt: skip


def test_what_the_server_lacks_is_named_and_the_rest_is_there(database: Database, programs: Path | None) -> None:
    database.execute(
        'CREATE COLLATION german (LOCALE = "C.UTF-8")',
        "CREATE TABLE words (id int PRIMARY KEY, word text COLLATE german)",
        "INSERT INTO words SELECT i, md5(i::text) FROM generate_series(1, 3000) AS i",
        "CREATE ROLE shadow_test_role",
        "CREATE POLICY own ON words TO shadow_test_role USING (id > 0)",
        "ANALYZE words",
    )
    try:
        with Shadow.of_target(database.dsn, programs=programs) as shadow:
            plan = planned(shadow, "SELECT * FROM words WHERE id = 7")
            assert shadow.omissions == ()
    finally:
        database.execute("DROP POLICY own ON words", "DROP ROLE shadow_test_role")
    assert plan.relation == "words"


def test_only_single_plannable_statements_are_planned(database: Database, programs: Path | None) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    with Shadow.of_target(database.dsn, programs=programs) as shadow:
        for statement in ("DROP TABLE notes", "SELECT 1; DROP TABLE notes", "SELECT nothing", "ANALYZE", ""):
            assert isinstance(shadow.explain(statement), NotPlanned), statement
        assert planned(shadow, "SELECT * FROM notes").relation == "notes"


def test_a_shadow_is_of_the_servers_programs(database: Database, programs: Path | None) -> None:
    database.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    with Shadow.of_target(database.dsn, programs=programs) as shadow, psycopg.connect(database.dsn) as connection:
        assert shadow.major == connection.info.server_version // 10000
        assert shadow.blueprint.major == shadow.major
        assert EmbeddedServer.superuser not in shadow.blueprint.ddl


def test_a_newer_server_plans_for_an_older_one(database: Database) -> None:
    database.execute(SCHEMA, VIEW_OF_NOTHING, "VACUUM ANALYZE")
    connection = database.connect()
    older = connection.info.server_version // 10000

    with Shadow.of_target(database.dsn, programs=embedded_folders()[0]) as shadow:
        assert (shadow.major, shadow.blueprint.major) == (EMBEDDED_MAJOR, older)
        assert shadow.same_major == (older == EMBEDDED_MAJOR)
        assert {entry.name for entry in shadow.omissions} <= {"public.customers.period"}
        near = 0
        for statement in STATEMENTS:
            cost = planned(shadow, statement).total_cost
            near += abs(cost - real_plan(connection, statement, {}).total_cost) <= 0.05 * cost
    assert near >= 0.9 * len(STATEMENTS)
