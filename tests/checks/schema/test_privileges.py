from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database


def test_schemas_in_which_everybody_may_create(database: Database, role: Callable[..., str]) -> None:
    role("one"), role("two")
    database.execute(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA closed; CREATE SCHEMA opened; "
        "GRANT CREATE, USAGE ON SCHEMA opened TO PUBLIC"
    )

    result = examine(database, "schema.public-can-create")

    assert names(result) == {"opened"}
    assert finding(result, "opened").severity is Severity.MEDIUM
    fix = finding(result, "opened").fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.public-can-create").outcome is Outcome.PASSED


def test_beside_definers_without_a_path_it_is_worse(database: Database, role: Callable[..., str]) -> None:
    role("one")
    database.execute(
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    )

    assert finding(examine(database, "schema.public-can-create"), "public").severity is Severity.HIGH


def test_tables_with_several_owners(database: Database, role: Callable[..., str]) -> None:
    owner, other, admin = role("owner", "NOLOGIN"), role("other", "NOLOGIN"), role("admin")
    database.execute(
        f"""GRANT {owner} TO {admin};
        CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int);
        ALTER TABLE a OWNER TO {owner}; ALTER TABLE b OWNER TO {owner}; ALTER TABLE c OWNER TO {other};
        CREATE SCHEMA apart; CREATE TABLE apart.a (id int); CREATE TABLE apart.b (id int); CREATE TABLE apart.c (id int);
        ALTER TABLE apart.a OWNER TO {owner}; ALTER TABLE apart.b OWNER TO {owner}; ALTER TABLE apart.c OWNER TO {admin};
        CREATE SCHEMA one; CREATE TABLE one.a (id int);"""
    )

    result = examine(database, "schema.ownership-disorder")

    assert names(result) == {"public"}
    assert finding(result, "public").observed == {"owners": {owner: 2, other: 1}, "tables": ["public.c"]}
    fix = finding(result, "public").fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.ownership-disorder").outcome is Outcome.PASSED


def test_roles_that_may_do_too_much(database: Database, role: Callable[..., str]) -> None:
    writer, creator, plain = role("writer"), role("creator", "LOGIN CREATEROLE CREATEDB"), role("plain")
    database.execute(
        f"""GRANT pg_write_server_files TO {writer};
        CREATE TABLE open (id int); GRANT INSERT, SELECT ON open TO PUBLIC; CREATE TABLE closed (id int);
        GRANT ALL ON closed TO {plain}; CREATE SCHEMA shut; CREATE TABLE shut.t (id int); GRANT ALL ON shut.t TO PUBLIC;"""
    )

    result = examine(database, "schema.excessive-privileges")

    mine = {found.subject.name: found.severity for found in result.findings}
    assert {name: mine.get(name) for name in (writer, creator, plain)} == {
        writer: Severity.HIGH, creator: Severity.MEDIUM, plain: None,
    }  # fmt: skip
    assert finding(result, creator).observed["because"] == ["CREATEROLE", "CREATEDB"]
    assert finding(result, "public").observed["tables"] == ["public.open"]
    assert "shut" not in names(result)
    for name in (writer, creator, "public"):
        fix = finding(result, name).fix.sql
        assert fix is not None
        database.execute(fix)
    assert not {writer, creator, "public"} & names(examine(database, "schema.excessive-privileges"))


SENDER = """
def rename(cursor, name, note):
    cursor.execute("UPDATE notes SET name = %s WHERE id = %s", (name, note))

def limit(cursor):
    cursor.execute("SELECT set_config('statement_timeout', '5s', true)")
"""


def test_a_superuser_is_the_applications_where_code_of_it_runs_again_and_again(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    path = repository({"app/notes.py": SENDER})
    database.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE notes (id int, name text)")
    rename = "UPDATE notes SET name = 'a' WHERE id = 1"

    def connects() -> set[str]:
        found = conclude(survey(database, path), "schema.excessive-privileges").findings
        return {entry.title for entry in found if "connects as superuser" in entry.title}

    # What names no table may be anybody's; a statement that ran once may be a migration's.
    database.execute(rename, *["SELECT set_config('statement_timeout', '5s', true)"] * 9)
    assert connects() == set()

    database.execute(*[rename] * 9)
    assert len(connects()) == 1


def test_many_superusers(database: Database, role: Callable[..., str]) -> None:
    for number in range(3):
        role(f"super{number}", "LOGIN SUPERUSER")

    result = examine(database, "schema.excessive-privileges")

    sprawl = [found for found in result.findings if found.discriminator == "superusers"]
    assert [len(found.observed["superusers"]) for found in sprawl] == [4]


@pytest.mark.vector
def test_extensions(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION dblink; CREATE EXTENSION vector; CREATE EXTENSION pg_stat_statements VERSION '1.4'"
    )
    evidence = survey(database, limits={"extensions": 2})

    old = conclude(evidence, "schema.extension-outdated")
    assert names(old) == {"pg_stat_statements"}
    risky = conclude(evidence, "schema.risky-extension")
    assert {found.subject.kind: found.subject.name for found in risky.findings} == {
        "extension": "dblink", "database": database.name,
    }  # fmt: skip
    for found in (finding(old, "pg_stat_statements"), finding(risky, "dblink")):
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "schema.extension-outdated").outcome is Outcome.PASSED
    assert examine(database, "schema.risky-extension").outcome is Outcome.PASSED


def test_extensions_that_an_api_serves(database: Database, api: tuple[str, str]) -> None:
    assert api
    database.execute("CREATE EXTENSION pg_trgm; CREATE SCHEMA apart; CREATE EXTENSION hstore SCHEMA apart")

    result = examine(database, "schema.extension-in-public")

    assert names(result) == {"public"}
    assert finding(result, "public").observed["extensions"] == ["pg_trgm"]
    fix = finding(result, "public").fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.extension-in-public").outcome is Outcome.PASSED
