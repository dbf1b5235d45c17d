from __future__ import annotations

from collections.abc import Callable

import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

FUNCTIONS = """
    CREATE FUNCTION definer_mutable() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    CREATE FUNCTION definer_fixed() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1';
    CREATE FUNCTION definer_closed() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS 'SELECT 1';
    REVOKE EXECUTE ON FUNCTION definer_closed FROM PUBLIC;
    CREATE FUNCTION definer_of_trigger() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION invoker(text, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
"""


def test_functions_with_the_rights_of_their_owner(database: Database, role: Callable[..., str]) -> None:
    login = role("login")
    database.execute(FUNCTIONS, f"GRANT USAGE ON SCHEMA public TO {login}")
    evidence = survey(database)

    mutable = conclude(evidence, "schema.function-search-path-mutable")
    assert {found.subject.name: found.severity for found in mutable.findings} == {
        "public.definer_mutable()": Severity.HIGH,
        "public.definer_of_trigger()": Severity.LOW,
    }
    public = conclude(evidence, "schema.definer-function-public")
    assert {found.subject.name: found.severity for found in public.findings} == {
        "public.definer_mutable()": Severity.MEDIUM,
        "public.definer_fixed()": Severity.MEDIUM,
    }
    for found in (*mutable.findings, *public.findings):
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    evidence = survey(database)
    assert conclude(evidence, "schema.function-search-path-mutable").outcome is Outcome.PASSED
    assert conclude(evidence, "schema.definer-function-public").outcome is Outcome.PASSED


def test_functions_that_an_api_serves(database: Database, api: tuple[str, str]) -> None:
    anonymous, _ = api
    database.execute(
        FUNCTIONS,
        "CREATE SCHEMA internal; CREATE FUNCTION internal.f() RETURNS int LANGUAGE sql SECURITY DEFINER "
        "SET search_path = '' AS 'SELECT 1'",
    )
    evidence = survey(database)

    mutable = conclude(evidence, "schema.function-search-path-mutable")
    assert finding(mutable, "public").observed["functions"] == ["public.invoker(text, integer)"]
    public = conclude(evidence, "schema.definer-function-public")
    assert names(public) == {"public.definer_mutable()", "public.definer_fixed()"}
    assert finding(public, "public.definer_fixed()").observed["anonymous"] == [anonymous]


def test_views_that_show_what_their_reader_may_not_see(
    database: Database, api: tuple[str, str], role: Callable[..., str]
) -> None:
    anonymous, signed_in = api
    plain = role("plain", "NOLOGIN")
    database.execute(
        f"""CREATE SCHEMA auth; CREATE TABLE auth.users (id int PRIMARY KEY, email text);
        CREATE SCHEMA internal;
        CREATE TABLE guarded (id int PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE TABLE internal.hidden (id int PRIMARY KEY); CREATE TABLE open (id int PRIMARY KEY);
        CREATE VIEW past AS SELECT * FROM guarded; CREATE VIEW above AS SELECT * FROM past;
        CREATE VIEW designed AS SELECT * FROM internal.hidden; CREATE VIEW harmless AS SELECT * FROM open;
        CREATE VIEW people AS SELECT * FROM auth.users; CREATE VIEW not_granted AS SELECT * FROM guarded;
        CREATE VIEW bound AS SELECT * FROM guarded; GRANT SELECT ON guarded TO {plain}; ALTER VIEW bound OWNER TO {plain};
        CREATE VIEW internal.apart AS SELECT * FROM guarded;
        GRANT SELECT ON past, above, designed, harmless, people, bound, internal.apart, open TO {anonymous}, {signed_in};"""
    )

    result = examine(database, "schema.view-with-owner-rights")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.past": Severity.HIGH,
        "public.above": Severity.HIGH,
        "public.people": Severity.CRITICAL,
    }
    assert finding(result, "public.above").observed["past_row_security"] == ["public.guarded"]


@pytest.mark.since(15)
def test_views_with_the_rights_of_their_reader(database: Database, api: tuple[str, str]) -> None:
    anonymous, _ = api
    database.execute(
        f"""CREATE TABLE guarded (id int PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE VIEW inner_view WITH (security_invoker = true) AS SELECT * FROM guarded;
        CREATE VIEW past AS SELECT * FROM guarded; CREATE VIEW outer_view AS SELECT * FROM inner_view;
        GRANT SELECT ON inner_view, outer_view, past TO {anonymous}"""
    )

    result = examine(database, "schema.view-with-owner-rights")

    assert names(result) == {"public.past", "public.outer_view"}
    for found in result.findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "schema.view-with-owner-rights").outcome is Outcome.PASSED


def test_what_an_api_shows_of_sensitive_columns_and_other_objects(database: Database, api: tuple[str, str]) -> None:
    anonymous, signed_in = api
    database.execute(
        f"""CREATE TABLE people (id int PRIMARY KEY, date_of_birth date, password_hash text, prompt_tokens int);
        ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY everyone ON people FOR SELECT USING (true);
        CREATE TABLE own (id int PRIMARY KEY, api_key text); ALTER TABLE own ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON own FOR SELECT USING (id = 1);
        CREATE TABLE usage (id int PRIMARY KEY, total_tokens int, token_type text, secret_expires_at timestamptz);
        ALTER TABLE usage ENABLE ROW LEVEL SECURITY; CREATE POLICY everyone ON usage FOR SELECT USING (true);
        GRANT SELECT ON people, own, usage TO {signed_in};
        CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM people; GRANT SELECT ON totals TO {anonymous};
        CREATE MATERIALIZED VIEW closed AS SELECT 1 AS one;"""
    )
    evidence = survey(database)

    exposed = conclude(evidence, "schema.sensitive-column-exposed")
    assert names(exposed) == {"public.people"}
    assert finding(exposed, "public.people").observed["columns"] == ["date_of_birth", "password_hash"]
    objects = conclude(evidence, "schema.object-exposed-to-api")
    assert names(objects) == {"public.totals"}
    fix = finding(objects, "public.totals").fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.object-exposed-to-api").outcome is Outcome.PASSED


def test_secrets_that_public_may_read(database: Database) -> None:
    database.execute(
        """CREATE TABLE secrets (id int, api_key text); GRANT SELECT ON secrets TO PUBLIC;
        CREATE TABLE closed (id int, api_key text); CREATE TABLE words (id int, word text); GRANT SELECT ON words TO PUBLIC"""
    )
    evidence = survey(database)

    assert names(conclude(evidence, "schema.sensitive-column-exposed")) == {"public.secrets"}
    assert conclude(evidence, "schema.object-exposed-to-api").outcome is Outcome.NOT_APPLICABLE
    assert conclude(evidence, "schema.extension-in-public").outcome is Outcome.NOT_APPLICABLE
