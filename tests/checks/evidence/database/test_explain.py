from __future__ import annotations

import psycopg
import pytest

from checks.evidence.database.explain import role_settings
from checks.evidence.database.facts import Plans, RoleSetting, Server, Setting, Settings, Statements
from checks.evidence.database.observe import observe_database
from tests.servers import Database


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute(
        """CREATE EXTENSION pg_stat_statements;
        CREATE TABLE orders (id bigint PRIMARY KEY, status text, total numeric);
        INSERT INTO orders SELECT g, 'open', g FROM generate_series(1, 20000) g; ANALYZE orders;"""
    )
    return database


def _plans(database: Database) -> tuple[Plans, Statements]:
    evidence = observe_database(database.dsn)
    assert isinstance(evidence.plans, Plans)
    assert isinstance(evidence.statements, Statements)
    return evidence.plans, evidence.statements


def test_generic_plans_of_what_ran(shop: Database) -> None:
    connection = shop.connect()
    connection.execute("SELECT * FROM orders WHERE id = %s", [7])
    connection.execute("SELECT * FROM orders WHERE status = 'open' AND total > 5 ORDER BY total DESC LIMIT 3")
    connection.execute("UPDATE orders SET status = 'done' WHERE id = 8")
    connection.execute("SELECT * FROM orders FOR UPDATE SKIP LOCKED LIMIT 1")
    plans, statements = _plans(shop)
    by_text = {statements.by_id[plan.query_id].text: plan for plan in plans.plans}
    lookup = by_text["SELECT * FROM orders WHERE id = $1"]
    assert lookup.planned_as == "postgres"
    assert (lookup.root.node_type, lookup.root.relation, lookup.root.index) == ("Index Scan", "orders", "orders_pkey")
    assert lookup.root.index_condition == "(orders.id = $1)"
    top = by_text["SELECT * FROM orders WHERE status = $1 AND total > $2 ORDER BY total DESC LIMIT $3"]
    kinds = [node.node_type for node in top.root.walk()]
    assert kinds[0] == "Limit"
    assert "Seq Scan" in kinds
    scan = next(node for node in top.root.walk() if node.node_type == "Seq Scan")
    assert scan.schema == "public"
    assert scan.filter == "((orders.total > $2) AND (orders.status = $1))"
    assert any(text.startswith("UPDATE orders") for text in by_text)
    assert any("SKIP LOCKED" in text for text in by_text)


def test_statements_are_planned_as_their_role_sees_tables(shop: Database) -> None:
    shop.execute(
        """DROP ROLE IF EXISTS app_of_shop; CREATE ROLE app_of_shop LOGIN;
        CREATE SCHEMA app_of_shop AUTHORIZATION app_of_shop;
        CREATE TABLE app_of_shop.mine (id int PRIMARY KEY); GRANT ALL ON app_of_shop.mine TO app_of_shop;
        CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.theirs (id int); GRANT ALL ON SCHEMA elsewhere TO app_of_shop;
        GRANT ALL ON elsewhere.theirs TO app_of_shop;"""
    )
    try:
        as_app = shop.connect(user="app_of_shop")
        as_app.execute("SELECT * FROM mine")
        plans, statements = _plans(shop)
        [plan] = [plan for plan in plans.plans if statements.by_id[plan.query_id].text == "SELECT * FROM mine"]
        assert (plan.planned_as, plan.root.schema) == ("app_of_shop", "app_of_shop")
        shop.execute(f'ALTER ROLE app_of_shop IN DATABASE "{shop.name}" SET search_path = elsewhere')
        shop.connect(user="app_of_shop").execute("SELECT * FROM theirs")
        plans, statements = _plans(shop)
        [plan] = [plan for plan in plans.plans if statements.by_id[plan.query_id].text == "SELECT * FROM theirs"]
        assert plan.root.schema == "elsewhere"
        [gone] = [entry for entry in plans.unplanned if statements.by_id[entry.query_id].text == "SELECT * FROM mine"]
        assert gone.reason == "not_parsed"
        assert "app_of_shop" in gone.unlock
    finally:
        shop.execute("DROP OWNED BY app_of_shop CASCADE; DROP ROLE app_of_shop")


def test_role_settings_come_from_the_role_and_not_from_us() -> None:
    settings = Settings(
        entries=(Setting("search_path", '"$user", public'), Setting("work_mem", "4096", "kB")),
        role_settings=(
            RoleSetting("app", "", "random_page_cost", "1.1"),
            RoleSetting("app", "", "statement_timeout", "1s"),
            RoleSetting("reviewer", "", "work_mem", "1GB"),
            RoleSetting("other", "", "enable_seqscan", "off"),
        ),
    )
    server = Server("db", "18.6", 180006, "primary", "postgresql", "reviewer", "full", None, None, None, None)  # type: ignore[arg-type]
    assert role_settings(settings, "app", server) == {
        "search_path": '"app", public'.replace('"app"', "app"),
        "random_page_cost": "1.1",
        "work_mem": "4096",
    }


def test_code_is_identified_by_the_server(shop: Database) -> None:
    shop.connect().execute("SELECT * FROM orders WHERE status = 'open' AND id = 5")
    code = [
        "SELECT * FROM orders WHERE status = $1 AND id = $2",
        "select * from orders where status = 'open' and id = 5",
        "SELECT * FROM nowhere",
        "DROP TABLE orders",
        "SELECT 1; DROP TABLE orders",
    ]
    evidence = observe_database(shop.dsn, code=code)
    assert isinstance(evidence.statements, Statements)
    [ran] = [
        entry for entry in evidence.statements.entries if "status" in entry.text and entry.text.startswith("SELECT")
    ]
    assert evidence.identified[code[1]] == ran.query_id
    assert set(evidence.identified) == {code[0], code[1]}
    assert shop.connect().execute("SELECT count(*) FROM orders").fetchone() == (20000,)


def test_code_is_identified_by_the_constants_that_its_driver_writes(shop: Database) -> None:
    connection = shop.connect()
    connection.execute("SELECT id FROM orders WHERE status = 'open' AND id = 5 AND total > 1.5 LIMIT 7")
    connection.execute("SELECT total FROM orders WHERE id = %s", ["5"])
    connection.execute("SELECT total FROM orders WHERE id = 5")
    code = [
        "SELECT id FROM orders WHERE status = $1 AND id = $2 AND total > $3 LIMIT $4",
        "SELECT total FROM orders WHERE id = $1",
        "SELECT status FROM orders WHERE id = $1",
    ]
    evidence = observe_database(shop.dsn, code=code)
    assert isinstance(evidence.statements, Statements)
    by_text = {entry.text: entry.query_id for entry in evidence.statements.entries}
    [written_in] = [query_id for text, query_id in by_text.items() if "LIMIT" in text]
    assert evidence.identified[code[0]] == written_in
    assert evidence.identified[code[1]] in evidence.statements.by_id
    assert evidence.identified[code[2]] not in evidence.statements.by_id


def test_a_statement_whose_tables_may_not_be_read_says_what_to_grant(shop: Database) -> None:
    shop.connect().execute("SELECT * FROM orders WHERE id = 1")
    shop.execute("DROP ROLE IF EXISTS only_monitor; CREATE ROLE only_monitor LOGIN IN ROLE pg_monitor")
    try:
        evidence = observe_database(shop.server.dsn(shop.name, "only_monitor"))
        assert isinstance(evidence.plans, Plans)
        assert evidence.plans.plans == ()
        reasons = {entry.reason: entry.unlock for entry in evidence.plans.unplanned}
        assert "GRANT pg_read_all_data TO only_monitor" in reasons["not_permitted"]
    finally:
        shop.execute("DROP ROLE only_monitor")


def test_what_is_certain_to_be_refused_is_not_asked(shop: Database) -> None:
    shop.execute("CREATE TABLE gone (id int)")
    connection = shop.connect()
    connection.execute("SELECT * FROM orders WHERE id = 1")
    connection.execute("SELECT * FROM gone")
    shop.execute("DROP TABLE gone; DROP ROLE IF EXISTS only_monitor; CREATE ROLE only_monitor LOGIN IN ROLE pg_monitor")
    try:
        code = ["SELECT total FROM orders WHERE id = $1", "SELECT a FROM elsewhere WHERE id = $1"]
        evidence = observe_database(shop.server.dsn(shop.name, "only_monitor"), code=code)
        assert isinstance(evidence.plans, Plans)
        assert isinstance(evidence.statements, Statements)
        why = {evidence.statements.by_id[entry.query_id].text: entry for entry in evidence.plans.unplanned}
        assert why["SELECT * FROM orders WHERE id = $1"].reason == "not_permitted"
        assert why["SELECT * FROM gone"].sqlstate == "42P01"
        assert evidence.identified == {}
        assert _refused(shop) == 0
    finally:
        shop.execute("DROP ROLE only_monitor")


def _refused(database: Database) -> int:
    """Transactions of this database that were rolled back."""
    with psycopg.connect(database.server.dsn("postgres"), autocommit=True) as connection:
        row = connection.execute("SELECT xact_rollback FROM pg_stat_database WHERE datname = %s", [database.name])
        return int(row.fetchall()[0][0])


def test_a_locked_table_costs_one_lock_timeout(shop: Database) -> None:
    shop.connect().execute("SELECT * FROM orders WHERE id = 1")
    with shop.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        plans, statements = _plans(shop)
        reasons = {statements.by_id[entry.query_id].text: entry.reason for entry in plans.unplanned}
        assert reasons["SELECT * FROM orders WHERE id = $1"] == "timed_out"
        blocker.rollback()


def test_no_plan_holds_a_literal(shop: Database) -> None:
    shop.execute("CREATE VIEW secret_orders AS SELECT * FROM orders WHERE status = 'SECRET' AND total < 4711")
    shop.connect().execute("SELECT * FROM secret_orders ORDER BY total + 4711")
    plans, _ = _plans(shop)
    filters = [node.filter for plan in plans.plans for node in plan.root.walk() if node.filter]
    assert any("status" in text for text in filters)
    assert "SECRET" not in repr(plans)
    assert "4711" not in repr(plans)
