"""Services are recognised by what only they have: roles and functions made on a real server, settings and extensions as told."""

from __future__ import annotations

import pytest

from checks.evidence.database.facts import Server
from checks.evidence.database.flavours import HIDES, flavour
from checks.evidence.database.observe import observe_database
from tests.servers import Database

ROLES = {
    "rds_superuser": "rds",
    "rdsadmin": "rds",
    "cloudsqlsuperuser": "cloudsql",
    "alloydbsuperuser": "alloydb",
    "azure_pg_admin": "azure",
    "supabase_admin": "supabase",
    "neon_superuser": "neon",
    "crunchy_superuser": "crunchy",
    "tsdbadmin": "timescale",
}
FUNCTIONS = {"aurora_version": "aurora", "alloydb_version": "alloydb"}


def seen(database: Database) -> str:
    server = observe_database(database.dsn).server
    assert isinstance(server, Server)
    return server.flavour


@pytest.mark.parametrize(("role", "name"), ROLES.items())
def test_by_a_role(database: Database, role: str, name: str) -> None:
    database.execute(f"CREATE ROLE {role}")
    try:
        assert seen(database) == name
    finally:
        database.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(("function", "name"), FUNCTIONS.items())
def test_by_a_function_that_stands_beside_the_roles_of_what_it_is_made_of(
    database: Database, function: str, name: str
) -> None:
    beside = {"aurora": "rds_superuser", "alloydb": "cloudsqlsuperuser"}[name]
    database.execute(
        f"CREATE ROLE {beside}", f"CREATE FUNCTION {function}() RETURNS text LANGUAGE sql AS $$SELECT '1'$$"
    )
    try:
        assert seen(database) == name
    finally:
        database.execute(f"DROP ROLE {beside}")


def test_a_server_of_ones_own(database: Database) -> None:
    database.execute("CREATE ROLE rds_reader; CREATE TABLE aurora_version (id int)")
    try:
        assert seen(database) == "postgresql"
    finally:
        database.execute("DROP ROLE rds_reader")


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("rds", "rds"),
        ("apg_plan_mgmt", "aurora"),
        ("cloudsql", "cloudsql"),
        ("alloydb", "alloydb"),
        ("azure", "azure"),
        ("neon", "neon"),
        ("crunchy", "crunchy"),
        ("citus", "citus"),
        ("hnsw", "postgresql"),
    ],
)
def test_by_a_setting(prefix: str, name: str) -> None:
    """The library that defines it is the service's own: a server without that does not list such a setting."""
    assert flavour((), ("plpgsql", prefix), (), ("plpgsql",)) == name


def test_by_an_extension_and_the_service_before_what_runs_on_it() -> None:
    assert flavour((), (), (), ("timescaledb",)) == "timescale"
    assert flavour((), (), (), ("supabase_vault", "timescaledb")) == "supabase"
    assert flavour(("azure_pg_admin",), ("citus",), (), ("citus",)) == "azure"


def test_each_service_says_what_it_hides() -> None:
    assert set(HIDES) == {
        "aurora",
        "rds",
        "alloydb",
        "cloudsql",
        "azure",
        "supabase",
        "neon",
        "crunchy",
        "timescale",
        "citus",
    }
