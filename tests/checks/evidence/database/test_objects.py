"""Views, functions, triggers, policies, partition trees and extended statistics."""

from __future__ import annotations

import pytest

from checks.evidence.database.facts import Catalog
from checks.evidence.database.objects import functions_outside_subqueries
from checks.evidence.database.observe import observe_database
from tests.servers import Database


def catalog_of(database: Database) -> Catalog:
    catalog = observe_database(database.dsn).catalog
    assert isinstance(catalog, Catalog)
    return catalog


def test_views_tell_what_they_are_made_of(database: Database) -> None:
    database.execute(
        """CREATE TABLE base (id int, secret text); CREATE TABLE other (id int);
        CREATE VIEW plain AS SELECT * FROM base;
        CREATE VIEW joined WITH (security_barrier) AS SELECT b.id FROM base b JOIN other USING (id);
        CREATE VIEW nested WITH (check_option = cascaded) AS SELECT * FROM plain;
        CREATE MATERIALIZED VIEW empty AS SELECT * FROM nested WITH NO DATA;
        CREATE VIEW constant AS SELECT 1 AS one"""
    )
    catalog = catalog_of(database)
    names = {table.oid: table.name for table in catalog.tables}
    found = {names[view.table]: view for view in catalog.views}
    assert {name: sorted(names[oid] for oid in view.depends_on) for name, view in found.items()} == {
        "plain": ["base"],
        "joined": ["base", "other"],
        "nested": ["plain"],
        "empty": ["nested"],
        "constant": [],
    }
    assert {name for name, view in found.items() if view.security_barrier} == {"joined"}
    assert found["nested"].check_option == "cascaded"
    assert {name for name, view in found.items() if not view.populated} == {"empty"}


@pytest.mark.since(15)
def test_views_with_the_rights_of_who_reads_them(database: Database) -> None:
    database.execute(
        """CREATE VIEW invoked WITH (security_invoker) AS SELECT 1 AS one;
        CREATE VIEW owned WITH (security_invoker = off) AS SELECT 1 AS one; CREATE VIEW plain AS SELECT 1 AS one"""
    )
    catalog = catalog_of(database)
    names = {table.oid: table.name for table in catalog.tables}
    assert {names[view.table] for view in catalog.views if view.security_invoker} == {"invoked"}


def test_functions_in_full(database: Database) -> None:
    database.execute(
        """CREATE FUNCTION open(a int, b text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1';
        CREATE FUNCTION closed() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'SELECT 1';
        REVOKE EXECUTE ON FUNCTION closed FROM PUBLIC;
        CREATE PROCEDURE done() LANGUAGE sql AS 'SELECT 1';
        CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)"""
    )
    found = {function.name: function for function in catalog_of(database).functions}
    assert {name: function.kind for name, function in found.items()} == {
        "open": "function",
        "closed": "function",
        "done": "procedure",
        "total": "aggregate",
    }
    assert found["open"].subject.path == ("public", "open", "a integer, b text")
    assert (found["open"].volatility, found["open"].parallel) == ("immutable", "safe")
    assert {name for name, function in found.items() if not function.executable_by_public} == {"closed"}
    assert (found["closed"].search_path, found["open"].search_path) == ("pg_catalog, pg_temp", None)
    assert (found["closed"].security_definer, found["closed"].owner) == (True, "postgres")


def test_triggers_tell_when_they_fire_and_whether(database: Database) -> None:
    database.execute(
        """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent);
        CREATE TRIGGER a BEFORE INSERT OR UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER b AFTER DELETE ON parent EXECUTE FUNCTION touch();
        CREATE TRIGGER c AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE VIEW shown AS SELECT * FROM parent;
        CREATE TRIGGER d INSTEAD OF DELETE ON shown FOR EACH ROW EXECUTE FUNCTION touch();
        ALTER TABLE parent DISABLE TRIGGER b; ALTER TABLE parent ENABLE ALWAYS TRIGGER c;
        CREATE TABLE parts (id int) PARTITION BY HASH (id);
        CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TRIGGER e AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION touch()"""
    )
    catalog = catalog_of(database)
    names = {table.oid: table.name for table in catalog.tables}
    found = {(names[trigger.table], trigger.name): trigger for trigger in catalog.triggers}
    assert set(found) == {
        ("parent", "a"),
        ("parent", "b"),
        ("parent", "c"),
        ("shown", "d"),
        ("parts", "e"),
        ("parts_0", "e"),
    }
    first = found["parent", "a"]
    assert (first.timing, first.events, first.per_row, first.enabled) == (
        "before",
        ("insert", "update"),
        True,
        "origin",
    )
    assert first.function == ("public", "touch")
    assert (found["parent", "b"].enabled, found["parent", "b"].per_row) == ("disabled", False)
    assert found["parent", "c"].enabled == "always"
    assert found["shown", "d"].timing == "instead of"
    assert found["parts_0", "e"].parent == found["parts", "e"].oid
    assert catalog.triggers_of(catalog.table_by_name["public", "child"].oid) == []


def test_policies_tell_what_is_called_for_each_row(database: Database) -> None:
    database.execute(
        "DROP ROLE IF EXISTS r_app; CREATE ROLE r_app",
        """CREATE SCHEMA auth;
        CREATE FUNCTION auth.uid() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
        CREATE TABLE notes (owner int, tenant text, body text);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY; ALTER TABLE notes FORCE ROW LEVEL SECURITY;
        CREATE POLICY each_row ON notes USING (owner = auth.uid());
        CREATE POLICY once ON notes FOR SELECT TO r_app USING (owner = (SELECT auth.uid()));
        CREATE POLICY held ON notes AS RESTRICTIVE FOR INSERT WITH CHECK (
            tenant = current_setting('S3CRET.tenant') AND lower(body) <> 'S3CRET' AND owner IN (SELECT auth.uid())
        )""",
    )
    try:
        catalog = catalog_of(database)
    finally:
        database.execute("DROP OWNED BY r_app; DROP ROLE r_app")
    found = {policy.name: policy for policy in catalog.policies}
    assert found["each_row"].calls_per_row == ("auth.uid",)
    assert found["once"].calls_per_row == ()
    assert found["held"].calls_per_row == ("current_setting",)
    assert (found["once"].command, found["once"].roles, found["each_row"].roles) == ("select", ("r_app",), ("",))
    assert (found["held"].permissive, found["each_row"].permissive) == (False, True)
    assert found["held"].using is None
    assert "current_setting( $1" in (found["held"].check or "")
    assert "S3CRET" not in repr(catalog)
    [notes] = catalog.tables
    assert (notes.row_security, notes.row_security_forced) == (True, True)
    assert [policy.name for policy in catalog.policies_of(notes.oid)] == ["each_row", "held", "once"]


def test_braces_in_names_do_not_confuse_a_stored_expression() -> None:
    tree = r"{A :name \{SUBLINK :funcid 7 :args ({SUBLINK :q {QUERY :x {F :funcid 8}} :y 1} {G :funcid 9})}"
    assert functions_outside_subqueries(tree) == ("7", "9")


def test_partition_trees(database: Database) -> None:
    database.execute(
        """CREATE TABLE events (at date, kind text) PARTITION BY RANGE (at);
        CREATE TABLE events_rest PARTITION OF events DEFAULT PARTITION BY LIST (kind);
        CREATE TABLE plain (id int)"""
    )
    catalog = catalog_of(database)
    events, rest, plain = (catalog.table_by_name["public", name] for name in ("events", "events_rest", "plain"))
    assert (events.partition_strategy, events.default_partition) == ("range", rest.oid)
    assert (rest.partition_strategy, rest.default_partition) == ("list", None)
    assert (plain.partition_strategy, plain.default_partition) == (None, None)


def test_extended_statistics(database: Database) -> None:
    database.execute(
        """CREATE TABLE places (city text, zip text, doc jsonb);
        CREATE STATISTICS pair (ndistinct, dependencies) ON city, zip FROM places;
        ALTER STATISTICS pair SET STATISTICS 500;
        CREATE STATISTICS inside ON (doc ->> 'S3CRET') FROM places"""
    )
    found = {entry.name: entry for entry in catalog_of(database).extended_statistics}
    assert (found["pair"].kinds, found["pair"].columns, found["pair"].target) == (
        ("ndistinct", "dependencies"),
        (1, 2),
        500,
    )
    assert found["inside"].kinds == ("expressions",)
    assert found["inside"].target is None
    assert len(found["inside"].expressions) == 1
