"""Roles, schemas and grants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.evidence.database.facts import Access, Catalog
from checks.evidence.database.observe import observe_database
from tests.servers import Database


@pytest.fixture
def with_roles(database: Database) -> Iterator[Database]:
    database.execute(
        "DROP ROLE IF EXISTS r_owner, r_reader, r_admin",
        "CREATE ROLE r_owner; CREATE ROLE r_reader LOGIN NOINHERIT CONNECTION LIMIT 7 VALID UNTIL '2030-01-01 00:00Z';"
        "CREATE ROLE r_admin CREATEDB CREATEROLE BYPASSRLS REPLICATION VALID UNTIL 'infinity';"
        "GRANT r_owner, pg_read_all_stats TO r_reader",
    )
    try:
        yield database
    finally:
        database.execute("DROP OWNED BY r_owner, r_reader, r_admin CASCADE; DROP ROLE r_owner, r_reader, r_admin")


def test_roles_and_grants(with_roles: Database) -> None:
    with_roles.execute(
        """CREATE SCHEMA app AUTHORIZATION r_owner; GRANT USAGE ON SCHEMA app TO r_reader;
        CREATE TABLE app.a (id serial, secret text); CREATE TABLE app.b (id int, secret text); CREATE TABLE app.mine (id int);
        ALTER TABLE app.mine OWNER TO r_owner; GRANT SELECT ON app.mine TO r_owner;
        GRANT SELECT, INSERT ON app.a, app.b TO r_reader; GRANT SELECT ON app.a TO PUBLIC;
        GRANT UPDATE (secret) ON app.b TO PUBLIC; GRANT USAGE ON SEQUENCE app.a_id_seq TO r_reader WITH GRANT OPTION;
        CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION app.f FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.f TO r_reader;
        ALTER DEFAULT PRIVILEGES FOR ROLE r_owner IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC"""
    )
    evidence = observe_database(with_roles.dsn)
    access, catalog = evidence.access, evidence.catalog
    assert isinstance(access, Access)
    assert isinstance(catalog, Catalog)
    reader, admin = access.role_by_name["r_reader"], access.role_by_name["r_admin"]
    assert (reader.can_login, reader.inherits, reader.connection_limit) == (True, False, 7)
    assert reader.valid_until is not None
    assert reader.member_of == ("pg_read_all_stats", "r_owner")
    assert (admin.creates_databases, admin.creates_roles, admin.bypasses_row_security, admin.replicates) == (True,) * 4
    assert (admin.superuser, admin.can_login, admin.valid_until, admin.connection_limit) == (False, False, None, None)
    assert access.role_by_name["postgres"].superuser
    assert not any(role.name.startswith("pg_") for role in access.roles)
    oids = {table.name: table.oid for table in catalog.tables}
    names = {oid: name for name, oid in oids.items()}
    relations = {
        (grant.grantee, grant.privileges): grant.objects for grant in access.grants if grant.kind == "relation"
    }
    assert {key: {names[oid] for oid in objects} for key, objects in relations.items()} == {
        ("r_reader", ("INSERT", "SELECT")): {"a", "b"},
        ("", ("SELECT",)): {"a"},
    }
    [column] = [grant for grant in access.grants if grant.kind == "column"]
    assert (column.grantee, column.privileges, column.objects) == ("", ("UPDATE",), (oids["b"],))
    [sequence] = [grant for grant in access.grants if grant.kind == "sequence"]
    assert sequence.privileges == ("USAGE*",)
    [function] = [grant for grant in access.grants if grant.kind == "function"]
    assert (function.grantee, function.objects) == ("r_reader", (catalog.functions[0].oid,))
    schema = next(entry for entry in access.schemas if entry.name == "app")
    assert schema.owner == "r_owner"
    assert [(grant.grantee, grant.privileges) for grant in access.grants_on("schema", schema.oid)] == [
        ("r_reader", ("USAGE",))
    ]
    [public] = [grant for grant in access.grants if grant.kind == "database" and not grant.grantee]
    assert public.privileges == ("CONNECT", "TEMPORARY")
    [default] = access.default_grants
    assert (default.owner, default.schema, default.kind, default.grantee) == ("r_owner", "app", "relation", "")
    assert default.privileges == ("SELECT",)


def test_a_plain_login_sees_them_too(with_roles: Database) -> None:
    with_roles.execute("CREATE TABLE a (id int); GRANT SELECT ON a TO r_owner")
    evidence = observe_database(with_roles.server.dsn(with_roles.name, "r_reader"))
    assert isinstance(evidence.access, Access)
    assert [grant.grantee for grant in evidence.access.grants if grant.kind == "relation"] == ["r_owner"]
